"""Which tools there are, and which of them a policy offers."""

from collections.abc import Mapping
from typing import Any

from agent.models.interface import ToolSpec
from agent.tools import bash, plan, reading, searching, writing
from agent.tools.interface import Tool
from policies.policy import Policy

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
    return tuple(
        ToolSpec(name=tool.name, description=tool.description, schema=tool.schema())
        for tool in tools.values()
    )
