#!/bin/sh
# harbor 0.26.0: of a tool result in several text parts, the export for training keeps the first, silently.
#
# One would expect all text of a trajectory that harbor's own validator accepts to arrive in the conversations that are
# made of it: the export refuses images and audio with an error of its own, "to prevent silent data loss" (its words).
#
# What happens: since version 1.6 of the trajectory format a message or a result may be a list of parts, and a list of
# texts is no image, so it passes. Of a result's parts only the first one's text is taken; the others are gone without
# a word. A list as the agent's own message ends in a TypeError, which ends the export of the whole job.
#
# Seen on 2026-11-29 (a result of the parts "exit code 2" and "main.c:3: error: expected ';'"):
#   valid: True
#   user: exit code 2
#   assistant: A semicolon is missing.
#   the agent's message in two parts: valid: True, TypeError
#
# It matters to whoever trains on what agents did: clients of the Model Context Protocol hand results on as lists of
# parts, so a model learns to name a missing semicolon from "exit code 2" alone. Writing results as one string avoids it.
#
# Needs Python 3.12 or newer, as harbor does.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python=
for name in python3 python3.12 python3.13 python3.14; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
        python=$name
        break
    fi
done
[ -n "$python" ] || { echo "needs Python 3.12 or newer on PATH"; exit 1; }
"$python" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check harbor==0.26.0 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - "$tmp" <<'PY_END'
import json
import sys
from pathlib import Path

from harbor.utils.traces_utils import extract_conversations_from_trajectory
from harbor.utils.trajectory_validator import TrajectoryValidator

RUN = {"agent_name": "a", "model_name": "m", "model_provider": "p", "start_time": "", "run_id": "r"}


def texts(*parts):
    return [{"type": "text", "text": part} for part in parts]


def trajectory(name, message):
    call = {"tool_call_id": "1", "function_name": "bash", "arguments": {"command": "make"}}
    result = {"source_call_id": "1", "content": texts("exit code 2", "main.c:3: error: expected ';'")}
    turn = {"message": message, "tool_calls": [call], "observation": {"results": [result]}}
    steps = [
        {"step_id": 1, "source": "user", "message": "Mend the build."},
        {"step_id": 2, "source": "agent", **turn},
        {"step_id": 3, "source": "agent", "message": "A semicolon is missing."},
    ]
    agent = {"name": "a", "version": "1", "model_name": "m"}
    file = Path(sys.argv[1], name)
    file.write_text(json.dumps({"schema_version": "ATIF-v1.8", "agent": agent, "steps": steps}))
    print("valid:", TrajectoryValidator().validate(file))
    return file


last = extract_conversations_from_trajectory(trajectory("plain.json", "Building."), RUN)[-1]
said = [(turn["role"], turn["content"]) for turn in last["conversations"][2:]]
for role, content in said:
    print(f"{role}: {content}")
try:
    extract_conversations_from_trajectory(trajectory("parts.json", texts("Building.", "Then more.")), RUN)
    ended = "no error"
except TypeError as error:
    ended = type(error).__name__
print("the agent's message in two parts:", ended)
if said != [("user", "exit code 2"), ("assistant", "A semicolon is missing.")] or ended != "TypeError":
    sys.exit("CHANGED: the export no longer treats parts in this way")
PY_END
