#!/bin/sh
# swe-rex 1.4.0 (with bashlex 0.18): of two files that one command writes by here-documents the first gets both, and
# the second is not made, with exit code 0.
#
# One would expect a command of several lines to do what bash does with it.
#
# What happens: a session has bashlex cut the command into its single commands, and joins them by " ; " into one, so
# that bash gives one prompt and not several. A here-document ends at a line with nothing but its delimiter, and that
# line is now "EOF ; cat >b.txt <<EOF". So the first one goes on to the next EOF, through the second command. With two
# delimiters it has no end, and the command runs into its timeout; and after a line that ends in "&", the ";" is a
# syntax error, so that nothing of the command runs. "bash -n", which the session asks beforehand, sees the command as
# it was. With <<'EOF' all is well: that bashlex can't read, so the command is sent as it is.
#
# Seen on 2026-11-30 (exit code, what is there afterwards; each command writes "one" to a.txt, then "two" to b.txt):
#   <<EOF twice:      0, a.txt: one | EOF ; cat >b.txt <<EOF | two
#   <<EOF and <<END:  CommandTimeoutError, nothing
#   & and a new line: 2, nothing
#   <<'EOF' twice:    0, a.txt: one, b.txt: two
#
# It matters to whoever runs agents by SWE-ReX, as SWE-agent does: two small files in one go, or a server in the
# background and a request to it, are what models write. The first kind of command leaves a broken file, a missing one
# and no sign of it; whether it does depends on two quotes, which models set or leave out as they please.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check swe-rex==1.4.0 bashlex==0.18 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

cd "$tmp"
HOME="$tmp" "$tmp/venv/bin/python" - <<'PY_END'
import asyncio, logging, shutil, sys
from pathlib import Path

from swerex.exceptions import CommandTimeoutError
from swerex.runtime.abstract import BashAction, CreateBashSessionRequest
from swerex.runtime.local import LocalRuntime

logging.disable(logging.CRITICAL)
BOTH = "cat >a.txt <<EOF\none\nEOF\ncat >b.txt <<EOF\ntwo\nEOF"


async def run(command):
    """What is there after the command has run in a session of its own, in an empty folder."""
    folder = Path("work").absolute()
    folder.mkdir()
    runtime = LocalRuntime()
    await runtime.create_session(CreateBashSessionRequest(startup_timeout=30))
    await runtime.run_in_session(BashAction(command=f"cd {folder}"))
    try:
        status = (await runtime.run_in_session(BashAction(command=command, timeout=5, check="silent"))).exit_code
    except CommandTimeoutError as error:
        status = type(error).__name__
    await runtime.close()
    files = [f"{file.name}: " + " | ".join(file.read_text().splitlines()) for file in sorted(folder.iterdir())]
    shutil.rmtree(folder)
    return f"{status}, {', '.join(files) or 'nothing'}"


async def main():
    changed = False
    for what, command, expected in (
        ("<<EOF twice:     ", BOTH, "0, a.txt: one | EOF ; cat >b.txt <<EOF | two"),
        ("<<EOF and <<END: ", BOTH.replace("b.txt <<EOF", "b.txt <<END")[:-3] + "END", "CommandTimeoutError, nothing"),
        ("& and a new line:", "echo one >a.txt &\necho two >b.txt\nwait", "2, nothing"),
        ("<<'EOF' twice:   ", BOTH.replace("<<EOF", "<<'EOF'"), "0, a.txt: one, b.txt: two"),
    ):
        seen = await run(command)
        print(what, seen)
        changed |= seen != expected
    if changed:
        sys.exit("CHANGED: swe-rex no longer joins the lines of a command in this way")


asyncio.run(main())
PY_END
