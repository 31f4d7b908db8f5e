"""Tool calls: decided, asked about, run or refused, and how each ended."""

from collections.abc import Mapping
from typing import Literal

from agent.record.events.recorded import RecordedModel
from policies.decision import Decision
from policies.frozen import dataclass
from sandbox.results import Ending, LimitMet

WhyRefused = Literal["unknown tool", "malformed", "denied", "not approved", "torn", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptImage:
    """An image as the record names it."""

    media_type: str
    sha256: str
    size_bytes: int


class CallStarted(RecordedModel):
    """A tool call that is about to run, with the decision that let it."""

    event: Literal["call_started"] = "call_started"
    number: int
    """Counts over the run, from 1."""
    tool_use_id: str
    tool: str
    arguments: Mapping[str, object]
    decision: Decision


class CallRefused(RecordedModel):
    """A tool call that did not run: unknown, malformed, denied, not approved, torn or too late."""

    event: Literal["call_refused"] = "call_refused"
    number: int
    """Counts over the run, from 1."""
    tool_use_id: str
    tool: str
    arguments: Mapping[str, object]
    why: WhyRefused
    decision: Decision | None
    text: str
    """What the model is told."""


class ApprovalAnswered(RecordedModel):
    """A person was asked about a call."""

    event: Literal["approval_answered"] = "approval_answered"
    number: int
    """The call's number."""
    digest: str
    """The call's digest, as `policies.decision.digest` makes it."""
    answer: Literal["approved", "approved before", "declined"]
    """``approved before``: for the rest of a chat."""


class CallEnded(RecordedModel):
    """A tool call that ran has ended, or nobody knows whether it has."""

    event: Literal["call_ended"] = "call_ended"
    number: int
    """Counts over the run, from 1."""
    tool_use_id: str
    tool: str
    is_error: bool
    exit_code: int | None
    """None for a tool that is not a command."""
    ending: Ending | None
    """How a command ended; None for a tool that is not a command."""
    seconds: float
    text: str
    """What the model is told."""
    brief: str
    """One line for a person."""
    refused: tuple[str, ...] = ()
    """Programs that the kernel refused under the call, by path; hostile text."""
    limits: tuple[LimitMet, ...] = ()
    """Limits that the call's processes were held to, though it ended by itself."""
    images: tuple[KeptImage, ...] = ()
    """Shown to the model after the text; their bytes lie in the record's ``images``."""

    @property
    def failed(self) -> bool:
        """It is an error, or a command that did not exit with 0."""
        return self.is_error or self.exit_code not in {None, 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRefusal:
    """A program that the kernel refused."""

    call: int
    """Number of the tool call."""
    program: str
    """Absolute path in the container; hostile text."""
