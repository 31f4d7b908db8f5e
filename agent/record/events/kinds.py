"""Every kind of event there is, and a line of a record as the event it was.

Those for the screen only have no line in the record; what they show is in a later event.
"""

from collections.abc import Callable, Mapping
from typing import cast, get_args

from agent.errors import RecordError
from agent.models.interface import Usage
from agent.record.events import conversation, lifecycle, workspace
from agent.record.events.recorded import RecordedModel
from agent.untrusted_text import one_line
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is being prepared."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """A piece of the model's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPiece:
    """A piece of the model's summary of its thinking."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDiscarded:
    """The stream broke; the pieces since the last reply are void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPiece:
    """Output of a running command."""

    stream: str
    """``stdout`` or ``stderr``."""
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUsed:
    """What is used of the budget, and allowed of it, after a reply."""

    turns: int
    turns_allowed: int
    used: Usage
    usd: float | None
    usd_allowed: float | None
    left_s: float


Live = Progress | TextPiece | ThinkingPiece | TextDiscarded | OutputPiece | BudgetUsed


Recorded = (
    lifecycle.RunStarted
    | lifecycle.Forked
    | lifecycle.Resumed
    | lifecycle.SandboxReady
    | conversation.CallReserved
    | conversation.ModelCalled
    | conversation.ModelRetry
    | conversation.ModelReplied
    | conversation.ReplyDiscarded
    | conversation.ResultsShortened
    | conversation.ResultsCleared
    | conversation.HistorySummarised
    | conversation.UserMessageAdded
    | conversation.ContextShown
    | conversation.TextFormChosen
    | conversation.CallStarted
    | conversation.CallRefused
    | conversation.ApprovalAnswered
    | conversation.CallEnded
    | conversation.ImagesWithdrawn
    | workspace.ChangesTracked
    | workspace.ChangesRescanned
    | workspace.WorkspaceRestored
    | lifecycle.Notice
    | lifecycle.RequestAwaited
    | conversation.RequestWithdrawn
    | workspace.PatchApplied
    | lifecycle.ConversationEnded
    | workspace.Exported
    | workspace.ExportFailed
    | workspace.VerificationEnded
    | workspace.ReviewStarted
    | workspace.ReviewerReplied
    | workspace.ReviewerCalled
    | workspace.OpinionGiven
    | lifecycle.RunEnded
)
Event = Live | Recorded
Emit = Callable[[Event], None]

KINDS: Mapping[str, type[RecordedModel]] = {
    str(made.defaults["event"]): made for made in get_args(Recorded)
}
"""The models, by the name that stands in a line as ``event``."""


def decode(row: Mapping[str, object]) -> Recorded:
    """The event of one line, without what the line has beside it (``seq``, ``time``, ``prev``).

    Raises:
        RecordError: it has not the shape that we write.
    """
    kind = row.get("event")
    made = KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise RecordError(f"there is no event {one_line(str(kind), 60)!r}")
    if made is conversation.ModelCalled:
        # Written until November 2026, and read by nobody.
        row = {name: row[name] for name in row if name != "system_sha256"}
    return cast("Recorded", made.read(row, str(kind)))
