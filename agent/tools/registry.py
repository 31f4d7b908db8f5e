"""Which tools there are, and which of them a policy offers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from agent.models.interface import ToolSpec
from agent.tools import bash, plan, reading, searching, writing
from agent.tools.interface import Tool
from policies.policy import Policy
from sandbox.threads import Recent, Same

ALL: Mapping[str, Tool[Any]] = {
    tool.name: tool
    for tool in (
        bash.TOOL,
        reading.READ,
        writing.WRITE,
        writing.EDIT,
        writing.DELETE,
        reading.LIST,
        searching.TOOL,
        plan.TOOL,
    )
}

WRITING = frozenset({"bash", "write_file", "edit_file", "delete_file"})
"""Those whose calls may change files."""


def offered(policy: Policy) -> dict[str, Tool[Any]]:
    """The tools a policy lists, in the order above: the same prefix for each of its runs."""
    return {name: tool for name, tool in ALL.items() if name in policy.tools}


def specs(tools: Mapping[str, Tool[Any]]) -> tuple[ToolSpec, ...]:
    return tuple(_SPECS.get(Same(tool), partial(_spec, tool)) for tool in tools.values())


_SPECS = Recent[ToolSpec](len(ALL))


def _spec(tool: Tool[Any]) -> ToolSpec:
    return ToolSpec(name=tool.name, description=tool.description, schema=tool.schema())
