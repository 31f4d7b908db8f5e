"""Every kind of event there is, and a line of a record as the event it was."""

from collections.abc import Callable, Mapping
from typing import cast, get_args

from agent.errors import RecordError
from agent.record.events import calls, conversation, lifecycle, live, review, workspace
from agent.record.events.recorded import RecordedModel
from agent.untrusted_text import one_line

Recorded = (
    lifecycle.RunStarted
    | lifecycle.Forked
    | lifecycle.Resumed
    | lifecycle.SandboxReady
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
    | calls.CallStarted
    | calls.CallRefused
    | calls.ApprovalAnswered
    | calls.CallEnded
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
    | review.ReviewStarted
    | review.ReviewerReplied
    | review.ReviewerCalled
    | review.OpinionGiven
    | lifecycle.RunEnded
)
Event = live.Live | Recorded
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
    return cast("Recorded", made.read(row, str(kind)))
