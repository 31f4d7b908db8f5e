#!/bin/sh
# agent-client-protocol 0.12.1 (the Python SDK of ACP): a key of a request's _meta that is called like a parameter
# takes the parameter's place, and nothing says so.
#
# One would expect _meta to come beside the arguments. The protocol reserves it for whatever clients and agents
# attach, and says that nothing is to be assumed about its keys; and the arguments have been validated by then.
#
# What happens: the router unpacks _meta into the keyword arguments of the agent's method, after those of the
# request itself. session_id, cwd, prompt and message are also what tracing tools call their own things. A client
# that attaches {"session_id": "trace-7"} to session/prompt has its prompt served, or refused, under that name; the
# value is not validated, so a number comes where the method's signature says str. Where no name is the same, a method
# written without **kwargs answers -32603 to any _meta, traceparent included. Clients in Python fall into the same the
# other way round: keyword arguments that a call does not know are sent as _meta.
#
# Seen on 2026-11-29:
#   sent sessionId 's-1', the agent's method got session_id 'trace-7'
#   sent cwd '/src', the agent's method got cwd 7
#   sent _meta traceparent, the agent answered -32603 to a method without **kwargs
#
# It matters to whoever serves ACP in Python: ids that are looked up, and paths that are opened, have to be taken from
# a request whose _meta was removed before the SDK sees it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check agent-client-protocol==0.12.1 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - <<'PY_END'
import asyncio, logging, sys
from acp._transport import memory_transport_pair
from acp.agent.connection import AgentSideConnection
from acp.schema import CloseSessionResponse, NewSessionResponse, PromptResponse

logging.disable(logging.CRITICAL)
got = {}


class Agent:
    """Keeps what its methods are called with."""

    async def prompt(self, session_id, prompt, **kwargs):
        got["session_id"] = session_id
        return PromptResponse(stop_reason="end_turn")

    async def new_session(self, cwd, mcp_servers=None, additional_directories=None, **kwargs):
        got["cwd"] = cwd
        return NewSessionResponse(session_id="s-1")

    async def close_session(self, session_id):
        return CloseSessionResponse()


async def main():
    ours, theirs = memory_transport_pair()
    agent = AgentSideConnection(Agent(), ours, use_unstable_protocol=True)

    async def answer(method, params):
        await theirs.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return await theirs.receive()

    text = [{"type": "text", "text": "go on"}]
    await answer("session/prompt", {"sessionId": "s-1", "prompt": text, "_meta": {"session_id": "trace-7"}})
    print(f"sent sessionId 's-1', the agent's method got session_id {got['session_id']!r}")
    await answer("session/new", {"cwd": "/src", "mcpServers": [], "_meta": {"cwd": 7}})
    print(f"sent cwd '/src', the agent's method got cwd {got['cwd']!r}")
    meta = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    said = await answer("session/close", {"sessionId": "s-1", "_meta": meta})
    code = said.get("error", {}).get("code")
    print(f"sent _meta traceparent, the agent answered {code} to a method without **kwargs")
    await agent.close()
    if (got, code) != ({"session_id": "trace-7", "cwd": 7}, -32603):
        sys.exit("CHANGED: _meta does not take the place of arguments")


asyncio.run(main())
PY_END
