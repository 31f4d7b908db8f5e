"""Every kind of event there is, and a line of a record as the event it was."""

from collections.abc import Callable, Mapping
from typing import cast, get_args

from agent.errors import RecordError
from agent.record.events.calls import ApprovalAnswered, CallEnded, CallRefused, CallStarted
from agent.record.events.conversation import (
    ContextShown,
    HistorySummarised,
    ImagesWithdrawn,
    ModelCalled,
    ModelReplied,
    ModelRetry,
    ReplyDiscarded,
    RequestWithdrawn,
    ResultsCleared,
    ResultsShortened,
    UserMessageAdded,
)
from agent.record.events.lifecycle import (
    ConversationEnded,
    Forked,
    Notice,
    RequestAwaited,
    Resumed,
    RunEnded,
    RunStarted,
    SandboxReady,
)
from agent.record.events.live import (
    BudgetUsed,
    OutputPiece,
    Progress,
    TextDiscarded,
    TextPiece,
    ThinkingPiece,
)
from agent.record.events.recorded import RecordedModel
from agent.record.events.workspace import (
    ChangesRescanned,
    ChangesTracked,
    Exported,
    ExportFailed,
    PatchApplied,
    VerificationEnded,
    WorkspaceRestored,
)
from agent.untrusted_text import one_line

Recorded = (
    RunStarted
    | Forked
    | Resumed
    | SandboxReady
    | ModelCalled
    | ModelRetry
    | ModelReplied
    | ReplyDiscarded
    | ResultsShortened
    | ResultsCleared
    | HistorySummarised
    | UserMessageAdded
    | ContextShown
    | CallStarted
    | CallRefused
    | ApprovalAnswered
    | CallEnded
    | ImagesWithdrawn
    | ChangesTracked
    | ChangesRescanned
    | WorkspaceRestored
    | Notice
    | RequestAwaited
    | RequestWithdrawn
    | PatchApplied
    | ConversationEnded
    | Exported
    | ExportFailed
    | VerificationEnded
    | RunEnded
)
Live = Progress | TextPiece | ThinkingPiece | TextDiscarded | OutputPiece | BudgetUsed
Event = Live | Recorded
Emit = Callable[[Event], None]

KINDS: Mapping[str, type[RecordedModel]] = {
    made.model_fields["event"].default: made for made in get_args(Recorded)
}
"""By the name that stands in a line as ``event``."""


def decode(row: Mapping[str, object]) -> Recorded:
    """The event of one line, without what the line has beside it (``seq``, ``time``, ``prev``).

    Raises:
        RecordError: it has not the shape that we write.
    """
    kind = row.get("event")
    made = KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise RecordError(f"there is no event {one_line(str(kind), 60)!r}")
    return cast("Recorded", made.read(row, str(kind)))
