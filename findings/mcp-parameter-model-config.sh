#!/bin/sh
# mcp 2.3.0 (the Python SDK of the Model Context Protocol, with pydantic 2.14.4) loses a tool's parameter that
# is called model_config, and hands a tool something else than the client sent for one called model_extra.
#
# One would expect each parameter of a decorated function to be in the tool's input schema and to get the
# client's value, or the decorator to refuse the name. Names such as "schema", "json" or "copy", which a
# pydantic model also has, are indeed taken care of.
#
# What happens: the SDK builds a pydantic model from the function. "model_config: dict = {}" is not refused, as
# it is without a default, but taken as the configuration of that model: the parameter is missing in the schema,
# the client's value is dropped, and the call succeeds with the default. "model_extra: str" stands in the schema
# but is no longer required, and the function gets None, whatever the client sends.
#
# Seen on 2026-11-29 (parameter, its place in the schema, what the function got for "sent"):
#   model_name   required {'value': 'sent'}
#   model_config missing  {}
#   model_extra  optional None
#
# It matters to whoever publishes tools for machine learning, where model_config is what a parameter is called:
# a model never sees that it could choose, an older client that still sends the value is ignored without a
# word, and no test of the plain function shows it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check mcp==2.3.0 pydantic==2.14.4 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" -W ignore - <<'PY_END'
import asyncio, sys
from mcp import Client
from mcp.server import MCPServer

server = MCPServer("demo")
got = {}


@server.tool()
def with_name(model_name: dict) -> str:
    got["model_name"] = model_name
    return "ok"


@server.tool()
def with_config(model_config: dict = {}) -> str:
    got["model_config"] = model_config
    return "ok"


@server.tool()
def with_extra(model_extra: str) -> str:
    got["model_extra"] = model_extra
    return "ok"


async def main():
    sent = {"model_name": {"value": "sent"}, "model_config": {"value": "sent"}, "model_extra": "sent"}
    places = {}
    async with Client(server) as client:
        schemas = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        for name, value in sent.items():
            tool = "with_" + name.removeprefix("model_")
            schema = schemas[tool]
            required = name in schema.get("required", [])
            places[name] = "required" if required else "optional" if name in schema["properties"] else "missing"
            assert not (await client.call_tool(tool, {name: value})).is_error
            print(f"{name:12} {places[name]:8} {got[name]}")
    if got["model_name"] != sent["model_name"]:
        sys.exit("CHANGED: an ordinary parameter no longer arrives")
    if (places["model_config"], got["model_config"]) != ("missing", {}):
        sys.exit("CHANGED: model_config is no longer lost")
    if (places["model_extra"], got["model_extra"]) != ("optional", None):
        sys.exit("CHANGED: model_extra is no longer replaced")


asyncio.run(main())
PY_END
