#!/bin/sh
# anthropic 2.11.0: a command that prints 4046 bytes and succeeds has failed, for the SDK's own bash tool.
#
# One would expect the tool set that comes with the SDK for self-hosted agents to report a command's exit status
# whatever the command prints, and the next command's output to be its own.
#
# What happens: the persistent shell prints a mark and the status behind a command's output, and the session reads in
# pieces of up to 4096 bytes until it sees the mark. It does not wait for the status behind the mark. Where output and
# mark end with a piece, that is at 4046 bytes of output, at 8142 and so on in steps of 4096, the status is not there
# yet: it counts as -1, so the tool raises an error for a command that succeeded. The real status arrives when the next
# command is read, and stands before that one's output. A longer status is cut at the same place: 127 can arrive as 12.
#
# Seen on 2026-11-29 (bytes printed, exit status, output of `echo ok` afterwards; in 26 to 40 of 40 tries):
#   4044   0  'ok'
#   4045   0  '\nok'
#   4046  -1  '0\nok'
#   4047   0  'ok'
#   8142  -1  '0\nok'
#
# It matters to whoever runs agents on this tool set: up to one in four thousand of the commands that print much turns
# from passed to failed, and a model that asks for a number next gets two lines. No log tells it from a real failure.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check anthropic==2.11.0 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - "$tmp" <<'PY_END'
import sys
from collections import Counter

import anyio
from anthropic.lib.tools.agent_toolset import BashSession

TRIES = 40
SIZES = {4044: (0, "ok"), 4045: (0, "\nok"), 4046: (-1, "0\nok"), 4047: (0, "ok"), 8142: (-1, "0\nok")}


async def main():
    changed = False
    session = await BashSession.start(sys.argv[1])
    await session.exec("true")
    for size, expected in SIZES.items():
        seen = Counter()
        for _ in range(TRIES):
            printed = await session.exec(f"printf '%{size}s' x")
            assert len(printed.output) == size
            seen[printed.exit_code, (await session.exec("echo ok")).output] += 1
        (code, output), times = seen.most_common(1)[0]
        print(f"{size}  {code:2}  {output!r}  ({times} of {TRIES})")
        # Where the shell is slow, a piece may end elsewhere: once is enough.
        changed |= expected not in seen or (expected == (0, "ok") and len(seen) > 1)
    await session.close()
    if changed:
        sys.exit("CHANGED: the status behind the mark is no longer lost in this way")


anyio.run(main)
PY_END
