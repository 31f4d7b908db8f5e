#!/bin/sh
# mcp 2.3.0 (the Python SDK of the Model Context Protocol, with pydantic 2.14.4): the text and the structured content
# of one result say different things, where a tool returns several objects of a subclass of what it declares.
#
# One would expect the two to say the same. The protocol has the text for a model and for older clients, and asks that
# it be the structured content as JSON.
#
# What happens: the text is made of the value that the function returned, with all its fields. The structured content
# is made of a model that the SDK builds around the declared type, and there pydantic gives of an object in a list only
# the fields that the list's type declares. A single object is not wrapped, so its structured content has all fields:
# "-> Hit" and "-> list[Hit]" differ, and so do "-> Hit" and "-> Hit | None". The schema does not forbid the fields
# that are left out, and no client can tell that there were more.
#
# Seen on 2026-11-29 (declared type, text, structured content; each returns LineHit(path="a.py", line=7), a Hit):
#   Hit            {'path': 'a.py', 'line': 7} {'path': 'a.py', 'line': 7}
#   Hit | None     {'path': 'a.py', 'line': 7} {'result': {'path': 'a.py'}}
#   list[Hit]      {'path': 'a.py', 'line': 7} {'result': [{'path': 'a.py'}]}
#   dict[str, Hit] {'first': {'path': 'a.py', 'line': 7}} {'first': {'path': 'a.py'}}
#
# It matters to whoever publishes tools, and to whoever replays what they gave. A search that finds one thing and one
# that finds several look alike in a test that reads the text; a host that hands its model the structured content, as
# many do where there is some, hides the line numbers from it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check mcp==2.3.0 pydantic==2.14.4 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" -W ignore - <<'PY_END'
import asyncio, json, sys
from mcp import Client
from mcp.server import MCPServer
from pydantic import BaseModel


class Hit(BaseModel):
    path: str


class LineHit(Hit):
    line: int


server = MCPServer("search")
hit = LineHit(path="a.py", line=7)


@server.tool()
def one() -> Hit:
    return hit


@server.tool()
def perhaps() -> Hit | None:
    return hit


@server.tool()
def several() -> list[Hit]:
    return [hit]


@server.tool()
def named() -> dict[str, Hit]:
    return {"first": hit}


whole, cut = {"path": "a.py", "line": 7}, {"path": "a.py"}
expected = {
    "one": ("Hit", whole, whole),
    "perhaps": ("Hit | None", whole, {"result": cut}),
    "several": ("list[Hit]", whole, {"result": [cut]}),
    "named": ("dict[str, Hit]", {"first": whole}, {"first": cut}),
}


async def main():
    changed = False
    async with Client(server) as client:
        for tool, (declared, text, structured) in expected.items():
            result = await client.call_tool(tool, {})
            (content,) = result.content
            told = json.loads(content.text)
            print(f"{declared:14} {told} {result.structured_content}")
            changed |= (told, result.structured_content) != (text, structured)
    if changed:
        sys.exit("CHANGED: text and structured content no longer differ in this way")


asyncio.run(main())
PY_END
