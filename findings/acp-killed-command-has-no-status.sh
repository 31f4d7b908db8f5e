#!/bin/sh
# agent-client-protocol 0.12.1 (the Python SDK of ACP, with pydantic 2.14.4) sends nothing at all for the exit
# code of a command that a signal killed, and drops other fields that do not fit from what its user sends.
#
# One would expect a value that does not fit a field to raise where the message is built, as other fields of this
# SDK do. Being lenient with what a peer sent is declared in the protocol's schema.
#
# What happens: the leniency sits in the message classes, so it also acts on one's own values. A terminal of a
# client in Python naturally answers with the returncode of its process, which is negative after a signal. The
# field wants zero or more, so the answer goes out empty, with neither a code nor a signal, and no error on
# either side. In the same way a variable whose value is a number vanishes from env, and a cwd that is a Path
# from terminal/create, whereas the cwd of session/new, of the same type, raises.
#
# Seen on 2026-11-29:
#   returncode -9, sent {}, the agent sees exit_code None, signal None
#   env ['CI', 'JOBS'] and cwd /src/app asked for, sent env ['CI'] and cwd None
#   session/new with the same cwd: ValidationError
#
# It matters to whoever writes either end. A build that ran out of memory and one whose status is not known look
# the same, and "if result.exit_code: failed()" takes them for a success; a command runs in another folder than
# the agent asked for, and nothing in a log says so.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check agent-client-protocol==0.12.1 pydantic==2.14.4 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - <<'PY_END'
import asyncio, pathlib, socket, sys
from acp.agent.connection import AgentSideConnection
from acp.client.connection import ClientSideConnection
from acp.connection import StreamDirection
from acp.schema import CreateTerminalRequest, NewSessionRequest, WaitForTerminalExitResponse
from pydantic import ValidationError

sent = []


class Terminals:
    """A client with one command, which a signal ends."""

    async def wait_for_terminal_exit(self, session_id, terminal_id, **kwargs):
        process = await asyncio.create_subprocess_exec("sleep", "60")
        process.kill()
        await process.wait()
        sent.append(process.returncode)
        return WaitForTerminalExitResponse(exit_code=process.returncode)


def note(event):
    if event.direction is StreamDirection.INCOMING and "result" in event.message:
        sent.append(event.message["result"])


async def main():
    ends = [await asyncio.open_connection(sock=end) for end in socket.socketpair()]
    client = ClientSideConnection(Terminals(), ends[0][1], ends[0][0])
    agent = AgentSideConnection(object(), ends[1][1], ends[1][0], observers=[note])
    status = await agent.wait_for_terminal_exit(session_id="s", terminal_id="t")
    print(f"returncode {sent[0]}, sent {sent[1]}, the agent sees exit_code {status.exit_code}, signal {status.signal}")
    await agent.close()
    await client.close()
    if (sent, status.exit_code, status.signal) != ([-9, {}], None, None):
        sys.exit("CHANGED: the status of a killed command is sent, or refused")


asyncio.run(main())

cwd = pathlib.Path("/src/app")
env = [{"name": "CI", "value": "1"}, {"name": "JOBS", "value": 4}]
request = CreateTerminalRequest(session_id="s", command="pytest", cwd=cwd, env=env)
names = [variable.name for variable in request.env]
print(f"env ['CI', 'JOBS'] and cwd {cwd} asked for, sent env {names} and cwd {request.cwd}")
if (names, request.cwd) != (["CI"], None):
    sys.exit("CHANGED: terminal/create keeps or refuses what does not fit")
try:
    NewSessionRequest(cwd=cwd, mcp_servers=[])
    sys.exit("CHANGED: session/new takes a Path")
except ValidationError as error:
    print(f"session/new with the same cwd: {type(error).__name__}")
PY_END
