#!/bin/sh
# agent-client-protocol 0.12.1 (the Python SDK of ACP, with pydantic 2.14.4) leaves out of a tool call's raw input and
# output whatever is as it usually is, where they are pydantic models.
#
# One would expect rawInput and rawOutput, which the protocol has for the tool's own values, of any form, to arrive as
# they are handed over: a dict does, its nulls and zeros included.
#
# What happens: the SDK dumps its messages with exclude_none and exclude_defaults, to keep them short. The two fields
# are of type Any, so pydantic dumps a model in them by its own class and with the same flags. The SDK knows the
# defaults of its own messages at both ends; those of a tool's arguments and results nobody knows at the other end.
# What an agent's framework already has for its tools are such models, so that this is what is handed over.
#
# Seen on 2026-11-29 (what was handed over, what the client was told):
#   dict, exit code 0:  {'exit_code': 0, 'failed': 0, 'log': None}
#   model, exit code 0: {}
#   model, exit code 2: {'exit_code': 2}
#   model within a dict: {'attempt': 1, 'result': {}}
#
# It matters to whoever shows or keeps what an agent did: a test run that went well says nothing at all, a failed one
# does not say that it counted no failure, and of a call with the usual arguments nobody sees with which it was made. A
# model_dump() before it is handed over is what helps.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check agent-client-protocol==0.12.1 pydantic==2.14.4 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - <<'PY_END'
import asyncio, socket, sys
from acp.agent.connection import AgentSideConnection
from acp.client.connection import ClientSideConnection
from acp.helpers import update_tool_call
from pydantic import BaseModel

told = asyncio.Queue()


class TestRun(BaseModel):
    """What some agent's tool gives."""

    exit_code: int = 0
    failed: int = 0
    log: str | None = None


class Client:
    async def session_update(self, session_id, update, **kwargs):
        await told.put(update.raw_output)


async def main():
    ends = [await asyncio.open_connection(sock=end) for end in socket.socketpair()]
    client = ClientSideConnection(Client(), ends[0][1], ends[0][0])
    agent = AgentSideConnection(object(), ends[1][1], ends[1][0])
    got = []
    for what, value in (
        ("dict, exit code 0: ", TestRun().model_dump()),
        ("model, exit code 0:", TestRun(exit_code=0, failed=0)),
        ("model, exit code 2:", TestRun(exit_code=2, failed=0)),
        ("model within a dict:", {"attempt": 1, "result": TestRun()}),
    ):
        await agent.session_update(session_id="s", update=update_tool_call("call-1", raw_output=value))
        got.append(await told.get())
        print(what, got[-1])
    await agent.close()
    await client.close()
    if got[0] != {"exit_code": 0, "failed": 0, "log": None}:
        sys.exit("CHANGED: a dict no longer arrives as it is")
    if got[1:] != [{}, {"exit_code": 2}, {"attempt": 1, "result": {}}]:
        sys.exit("CHANGED: what equals its default no longer vanishes")


asyncio.run(main())
PY_END
