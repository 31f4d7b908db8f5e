"""The agent's own tools for files, as they are: arguments, checks, descriptions and work.

Each gets the handle as one more argument; nothing else is said of them a second time.
"""

import inspect
import operator
from typing import Annotated, Any, cast

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult
from pydantic import BaseModel

from agent.servers.mcp import called
from agent.servers.mcp.arguments import Handle, effects
from agent.servers.mcp.refusals import refusing
from agent.servers.mcp.results import ToolOutput
from agent.servers.mcp.sandboxes import Sandboxes
from agent.tools import reading, searching, writing
from agent.tools.interface import Tool

_TOOLS: tuple[tuple[Tool[Any], str], ...] = (
    (reading.READ, "Read a file"),
    (writing.WRITE, "Write a file"),
    (writing.EDIT, "Edit a file"),
    (writing.DELETE, "Delete a file"),
    (reading.LIST, "List a directory"),
    (searching.TOOL, "Search files"),
)
_READING = frozenset({reading.READ.name, reading.LIST.name, searching.TOOL.name})


def add_file_tools(server: MCPServer, sandboxes: Sandboxes) -> None:
    for tool, title in _TOOLS:
        reads_only = tool.name in _READING
        server.add_tool(
            _as_function(tool, sandboxes),
            name=tool.name,
            description=tool.description,
            annotations=effects(title, reads_only=reads_only),
        )


def _as_function(tool: Tool[Any], sandboxes: Sandboxes) -> Any:
    """A function with the arguments of a tool, which is how the SDK takes one."""
    model: type[BaseModel] = tool.arguments
    defaults: dict[str, object] = {}

    @refusing
    async def call(sandbox: str, **given: object) -> CallToolResult:
        arguments = {name: value for name, value in given.items() if value != defaults.get(name)}
        return called.tool_result(await sandboxes.of(sandbox).call(tool.name, arguments))

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("sandbox", kind, annotation=Handle)]
    for name, field in model.model_fields.items():
        optional_text = field.annotation == str | None
        kept = str if optional_text else field.annotation
        default: Any = inspect.Parameter.empty
        if not field.is_required():
            default = defaults[name] = "" if optional_text else field.default
        annotation = operator.getitem(cast("Any", Annotated), (kept, field))
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
    result = Annotated[CallToolResult, ToolOutput]
    call.__name__ = tool.name
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        parameters, return_annotation=result
    )
    call.__annotations__ = {
        **{parameter.name: parameter.annotation for parameter in parameters},
        "return": result,
    }
    return call
