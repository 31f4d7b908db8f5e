"""The ``update_plan`` tool: the model's own list of steps, for the person who watches."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from agent.tools.interface import Arguments, Tool, ToolAnswer, ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol


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
