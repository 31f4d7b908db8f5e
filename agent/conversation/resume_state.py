"""What a run's record says of it, for the process that takes it up.

Pure, from lines to values. Owns what can't be given back as it was, and the time that was worked.
What the events come to is `agent.record.run_state`'s. Refuses to know files and containers.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from agent.errors import RecordError
from agent.models.interface import Opaque, Reply, ToolUse
from agent.record.conversation_state import ConversationState, Recall, nothing_kept
from agent.record.events.conversation import (
    CallEnded,
    CallRefused,
    ContextShown,
    HistorySummarised,
    ModelReplied,
    UserMessageAdded,
)
from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import (
    Forked,
    RequestAwaited,
    Resumed,
    RunStarted,
    SandboxReady,
)
from agent.record.events.recorded import Lossy, count_losses, is_whole
from agent.record.outcome import Conversation
from agent.record.reader import RecordLine
from agent.record.run_state import RunState, fold
from policies.frozen import dataclass

_NOT_WHOLE = (
    "the program that runs this session ended before this call was made, and its arguments were "
    "too long to record, or held a secret. Make it again if you still want it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeState:
    """A run that another process began."""

    state: RunState
    log: tuple[Recorded, ...]
    """The events that came to `state`."""
    worked_s: float
    lossy: Lossy
    ended: Conversation | None
    """How the conversation ended: it is not gone on with."""
    forked: Forked | None = None
    """Set where the record was another run's, and this process begins a new run with it."""

    @property
    def conversation(self) -> ConversationState:
        return self.state.conversation

    @property
    def started(self) -> RunStarted:
        """The first event."""
        if self.state.started is None:
            raise AssertionError("it was read, so it has begun")
        return self.state.started


def resume_state_of(lines: Sequence[RecordLine], recall: Recall = nothing_kept) -> ResumeState:
    """The run as its record tells it.

    Args:
        recall: gives an image that the model was shown, or None.

    Raises:
        RecordError: the record does not begin as one.
    """
    if not lines or not isinstance(lines[0].event, RunStarted):
        raise RecordError("the record has no beginning: nothing can be resumed from it")
    log = tuple(_safe(line.event) for line in lines)
    state = fold(log, recall)
    lossy = losses(log)
    if state.conversation.inexact_thinking:
        lossy = replace(lossy, exact_thinking=False)
    return ResumeState(
        state=state,
        log=log,
        worked_s=_worked_s(lines),
        lossy=lossy,
        ended=state.conversation.ended,
    )


def losses(log: Sequence[Recorded]) -> Lossy:
    """What of a conversation can't be given back as it was."""
    cut = redacted = 0
    exact = True
    for event in log:
        match event:
            case CallEnded() | CallRefused() | UserMessageAdded() | ContextShown():
                pass
            case ModelReplied(reply=reply):
                blocks = reply.message.blocks
                exact &= all(is_whole(block) for block in blocks if isinstance(block, Opaque))
            case HistorySummarised(block=block):
                exact &= is_whole(block)
            case _:
                continue
        more = count_losses(event)
        cut, redacted = cut + more[0], redacted + more[1]
    return Lossy(cut=cut, redacted=redacted, exact_thinking=exact)


def _safe(event: Recorded) -> Recorded:
    """A reply with no call in it that would be made otherwise than the model asked for it."""
    if not isinstance(event, ModelReplied):
        return event
    blocks = tuple(
        replace(block, problem=_NOT_WHOLE)
        if isinstance(block, ToolUse) and not block.problem and not is_whole(block.arguments)
        else block
        for block in event.reply.message.blocks
    )
    if blocks == event.reply.message.blocks:
        return event
    reply: Reply = replace(event.reply, message=replace(event.reply.message, blocks=blocks))
    return event.replaced({"reply": reply})


def _worked_s(lines: Sequence[RecordLine]) -> float:
    """Seconds of all sittings, each from its ready sandbox to the last that it wrote; without those
    in which a chat waited for its person."""
    total = 0.0
    waiting = False
    begun: datetime | None = None
    newest: datetime | None = None
    for line in lines:
        match line.event:
            case Resumed() | RunStarted():
                if begun is not None and newest is not None:
                    total += (newest - begun).total_seconds()
                begun, waiting = None, False
            case SandboxReady():
                begun, waiting = line.time, False
            case UserMessageAdded() if waiting:
                begun, waiting = line.time, False
            case RequestAwaited() if begun is not None:
                total += (line.time - begun).total_seconds()
                begun, waiting = None, True
            case _:
                pass
        newest = line.time
    if begun is not None and newest is not None:
        total += (newest - begun).total_seconds()
    return max(0.0, total)
