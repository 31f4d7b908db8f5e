"""Which tools there are, and which of them a policy offers.

``update_plan`` is here too, the model's own list of steps for the person who watches: it is the one
that does nothing with a sandbox.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, model_validator

from agent.models.interface import ToolSpec
from agent.tools import bash, reading, searching, writing
from agent.tools.interface import Arguments, Tool, ToolAnswer, ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.policy import Policy


class PlanStatus(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    DONE = "done"


class PlanItem(Arguments):
    step: Annotated[str, Field(min_length=1, max_length=500, description="What is to be done.")]
    # Not strict: in JSON a status is a string, which strict mode would not take for the enum.
    status: Annotated[PlanStatus, Field(strict=False)]


class PlanArguments(Arguments):
    items: Annotated[
        list[PlanItem],
        Field(max_length=50, description="The whole plan, in order; it replaces the last one."),
    ]

    @model_validator(mode="after")
    def _one_at_a_time(self) -> "PlanArguments":
        if sum(item.status is PlanStatus.IN_PROGRESS for item in self.items) > 1:
            raise ValueError("one step at most may be in_progress")
        return self


DESCRIPTION = """\
Show your plan to the person who watches. Give the whole list each time; one item at most may \
be in_progress. Worth it for work of three steps and more. It changes nothing in the sandbox."""


def act(arguments: PlanArguments, _sandbox: SandboxProtocol, _context: ToolContext) -> ToolAnswer:
    done = sum(1 for item in arguments.items if item.status is PlanStatus.DONE)
    summary = f"{done} of {len(arguments.items)} steps done"
    return ToolAnswer(text=f"Plan shown: {summary}.", brief=summary)


TOOL = Tool(name="update_plan", description=DESCRIPTION, arguments=PlanArguments, act=act)


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
        TOOL,
    )
}

WRITING = frozenset({"bash", "write_file", "edit_file", "delete_file"})
"""Those whose calls may change files."""


def offered(policy: Policy) -> dict[str, Tool[Any]]:
    """The tools a policy lists, in the order above: the same prefix for each of its runs."""
    return {name: tool for name, tool in ALL.items() if name in policy.tools}


def specs(tools: Mapping[str, Tool[Any]]) -> tuple[ToolSpec, ...]:
    return tuple(map(_spec, tools.values()))


@lru_cache(len(ALL) + 1)  # a reviewer has one of its own
def _spec(tool: Tool[Any]) -> ToolSpec:
    return ToolSpec(name=tool.name, description=tool.description, schema=tool.schema())
