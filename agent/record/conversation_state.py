"""The conversation as its events tell it: what was said, is still to be answered, and is sent.

Pure. The loop that converses and whoever takes a run up, forks it or looks at it later have their
history from here and from nowhere else; it only grows. What was called and has no end stays open:
whoever goes on with it must not make it again. Refuses to know files and containers.

There are three ways to send less than the history: a turn's results shortened before they are sent,
old results cleared, old turns replaced by a summary. How the messages then read is for
`agent.conversation.window`. Replies count from 1; the messages after a reply, up to the next,
belong to it.
"""

from collections.abc import Callable
from dataclasses import field, replace

from agent.models.interface import (
    AssistantMessage,
    Image,
    Message,
    Opaque,
    Reply,
    StopReason,
    Text,
    ToolResult,
    ToolUse,
    UserMessage,
    images_in,
    uses_of,
    without_images,
    worked,
)
from agent.record.events.conversation import (
    CallEnded,
    CallRefused,
    CallStarted,
    ContextShown,
    HistorySummarised,
    ImagesWithdrawn,
    KeptImage,
    ModelCalled,
    ModelReplied,
    RequestWithdrawn,
    ResultsCleared,
    ResultsShortened,
    TextFormChosen,
    UserMessageAdded,
)
from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import ConversationEnded, RequestAwaited
from agent.record.loop_detection import Repetition
from agent.record.outcome import Conversation
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryNotes:
    """A summary in words, ours or the model's."""

    text: str
    orders: tuple[str, ...]
    """What the operator asked for, word for word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextWindow:
    """What was left out so far, and what stands in its place."""

    head: SummaryNotes | Opaque | None = None
    """Stands for everything up to reply `cut`."""
    cut: int = 0
    cleared: int = 0
    """The results of the replies up to this one are cleared."""
    bare: int = 0
    """Replies up to this one go without the blocks that only their provider understands: those are
    bound to what stood before them, and that is not the same any more."""
    shortened: tuple[tuple[int, int], ...] = ()
    """Replies whose results are cut, with the bytes that are left of each result."""

    @property
    def is_less(self) -> bool:
        """Than the whole history."""
        return self != ContextWindow()

    def after(
        self, event: ResultsCleared | ResultsShortened | HistorySummarised
    ) -> "ContextWindow":
        """What is sent from that event on."""
        match event:
            case ResultsShortened():
                others = tuple(item for item in self.shortened if item[0] != event.reply)
                return replace(self, shortened=(*others, (event.reply, event.most_bytes)))
            case ResultsCleared():
                cleared = max(self.cleared, event.through)
                return replace(self, cleared=cleared, bare=max(self.bare, event.bare))
            case HistorySummarised():
                head = event.block or SummaryNotes(text=event.notes, orders=event.orders)
                bare = max(self.bare, event.bare)
                return replace(self, head=head, cut=event.through, bare=bare)


NO_ANSWER = "(no answer)"
"""Stands for an answer of which nothing is sent: providers take no empty message."""
IMAGE_GONE = (
    "[The image that was shown here is no longer kept: read the file again to see it as it is now.]"
)
_NOT_SAID = frozenset({StopReason.CONTEXT_WINDOW, StopReason.COMPACTION, StopReason.REFUSAL})
"""Ends of a reply that is none, and no part of the conversation."""

Recall = Callable[[KeptImage], Image | None]


def is_said(reply: Reply) -> bool:
    """Whether a reply becomes part of the conversation."""
    return reply.stop not in _NOT_SAID


def nothing_kept(_image: KeptImage) -> None:
    """Recalls from a record without the bytes of its images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn:
    """The newest reply, until something is said after it."""

    reply: Reply
    answered: int = 0
    """So many of its calls have their results, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationState:
    """What was said so far. A message that something was said after is never changed."""

    history: tuple[Message, ...] = ()
    """All of it; the results of an open turn are those that there are."""
    window: ContextWindow = field(default_factory=ContextWindow)
    """What of the history is sent."""
    turn: OpenTurn | None = None
    """None where nothing is left to do of the newest reply."""
    running: CallStarted | None = None
    """A call that was started and has not ended."""
    calls: int = 0
    """Calls so far, those that were refused among them."""
    asked: bool = False
    """Something was said to the model, the task for one."""
    orders: tuple[str, ...] = ()
    """What the operator asked for, and took back, in order."""
    first_request: str | None = None
    """The first that the operator asked for, be it withdrawn later."""
    text_form: TextFormChosen | None = None
    """The newest; None: calls are made as the service has them."""
    ended: Conversation | None = None
    """How the conversation ended, where nothing was said since."""
    in_vain: int = 0
    """Replies in a row in which nothing is done: empty, cut off, paused, or the last word."""
    repetition: Repetition = field(default_factory=Repetition)
    gone: bool = False
    """An image that the model was shown can't be shown again."""
    before: tuple[tuple[Message, ...], ContextWindow] = ((), ContextWindow())
    """The history, and what was sent of it, when the newest order was given."""

    @property
    def unanswered(self) -> list[ToolUse]:
        """The calls of the newest reply that have no result."""
        return [] if self.turn is None else uses_of(self.turn.reply)[self.turn.answered :]

    @property
    def images(self) -> tuple[Image, ...]:
        """Those that the model was shown."""
        return images_in(self.history)

    @property
    def inexact_thinking(self) -> bool:
        """Thinking is bound to every byte before it, and not all of those are there."""
        blocks = (block for message in self.history for block in message.blocks)
        return self.gone and any(isinstance(block, Opaque) for block in blocks)


def converse(  # noqa: C901, PLR0911, PLR0912 - a line for each kind of event
    state: ConversationState, event: Recorded, recall: Recall = nothing_kept
) -> ConversationState:
    """The state after one more event.

    Args:
        recall: gives an image that the model was shown, or None.
    """
    match event:
        case UserMessageAdded():
            ordered = state if event.what == "note" else _ordered(state, event)
            return replace(_said(ordered, Text(text=event.text)), asked=True)
        case ContextShown():
            return replace(_said(state, Text(text=event.text)), ended=None)
        case RequestAwaited():
            # Nothing is left to do of it: without its person a chat can only be exported.
            return replace(_anew(state), ended=event.outcome)
        case RequestWithdrawn():
            history, window = state.before
            orders = state.orders[:-1]
            return replace(
                state, history=history, window=window, turn=None, running=None, orders=orders
            )
        case ModelCalled():
            return replace(state, turn=None, running=None, ended=None)
        case ModelReplied():
            return _replied(state, event.reply)
        case CallStarted():
            return replace(state, running=event, calls=max(state.calls, event.number))
        case CallEnded():
            return _result(state, event, recall)
        case CallRefused():
            counted = replace(state, calls=max(state.calls, event.number))
            return _result(counted, event, recall)
        case ImagesWithdrawn() if state.history:
            newest = without_images(state.history[-1], event.text)
            return replace(state, history=(*state.history[:-1], newest))
        case ResultsCleared() | ResultsShortened() | HistorySummarised():
            return replace(state, window=state.window.after(event))
        case TextFormChosen():
            # It is told by that, and has its chances in this form too.
            return replace(state, text_form=event, in_vain=min(state.in_vain, 1))
        case ConversationEnded():
            return replace(state, ended=event.outcome)
        case _:
            return state


def _ordered(state: ConversationState, event: UserMessageAdded) -> ConversationState:
    # It is answered from here on, even if something is to be left out first.
    first = event.text if event.what == "request" else None
    return replace(
        _anew(state),
        ended=None,
        orders=(*state.orders, event.text),
        first_request=state.first_request if state.first_request is not None else first,
        before=(state.history, state.window),
    )


def _anew(state: ConversationState) -> ConversationState:
    """The turn is over, and what the model repeats or fails to say is counted from here."""
    return replace(state, turn=None, running=None, in_vain=0, repetition=Repetition())


def _said(state: ConversationState, words: Text | ToolResult) -> ConversationState:
    """Words of ours, in the newest message where that is ours too: nothing answered it yet, and
    providers want user and assistant to alternate."""
    if isinstance(words, Text) and state.running is None:
        state = replace(state, turn=None)
    before, blocks = state.history, (words,)
    if before and isinstance(before[-1], UserMessage):
        before, blocks = before[:-1], (*before[-1].blocks, words)
    return replace(state, history=(*before, UserMessage(blocks=blocks)))


def _replied(state: ConversationState, reply: Reply) -> ConversationState:
    state = replace(state, turn=OpenTurn(reply=reply), running=None)
    if not is_said(reply):
        return state
    blocks = reply.message.blocks or (Text(text=NO_ANSWER),)
    return replace(
        state,
        history=(*state.history, AssistantMessage(blocks=blocks)),
        in_vain=0 if worked(reply) else state.in_vain + 1,
    )


def _result(
    state: ConversationState, event: CallEnded | CallRefused, recall: Recall
) -> ConversationState:
    waiting = state.unanswered
    state = replace(state, running=None)
    if state.turn is None or not waiting:
        return state  # of no turn, as in a replay
    kept = event.images if isinstance(event, CallEnded) else ()
    images = tuple(image for item in kept if (image := recall(item)) is not None)
    gone = len(images) < len(kept)
    result = ToolResult(
        tool_use_id=event.tool_use_id,
        text=f"{event.text}\n{IMAGE_GONE}" if gone else event.text,
        is_error=event.is_error if isinstance(event, CallEnded) else True,
        images=images,
    )
    asked = state.turn.reply.stop is StopReason.TOOL_USE
    repetition = state.repetition
    if asked and not (isinstance(event, CallRefused) and event.why == "stopped"):
        failed = event.failed if isinstance(event, CallEnded) else True
        repetition = repetition.after(waiting[0], failed=failed, result=event.text)
    return replace(
        _said(state, result),
        turn=replace(state.turn, answered=state.turn.answered + 1),
        repetition=repetition,
        gone=state.gone or gone,
    )
