"""What a run's record says of the conversation so far, for the process that takes it up.

A pure function from events to values. What was called and has no end in the record is never made
again: it may have been done wholly, in part or not at all, and the model is told so. Owns the
rebuilding of the history; refuses to know files and containers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from agent.conversation.budget import BudgetSpent
from agent.conversation.loop_detection import LoopDetector
from agent.conversation.window import NO_ANSWER, ContextWindow, SummaryNotes
from agent.errors import RecordError
from agent.models.interface import (
    AssistantMessage,
    Image,
    Message,
    Opaque,
    Reply,
    StopReason,
    Text,
    ToolResult,
    Usage,
    UserMessage,
    images_in,
    uses_of,
    without_images,
    worked,
)
from agent.record.events.decoding import Lossy, decode, losses
from agent.record.events.types import (
    CallEnded,
    CallRefused,
    CallStarted,
    ContextShown,
    ConversationEnded,
    Event,
    Forked,
    HistorySummarised,
    ImagesWithdrawn,
    KeptImage,
    ModelCalled,
    ModelReplied,
    ReplyDiscarded,
    RequestAwaited,
    RequestWithdrawn,
    ResultsCleared,
    ResultsShortened,
    RunStarted,
    SandboxReady,
    UserMessageAdded,
)
from agent.record.outcome import Conversation

IN_DOUBT = (
    "Not known: the program that runs this session ended while this ran. It may have been done "
    "wholly, in part or not at all: look before you repeat it."
)
NOT_REACHED = (
    "Not run: the program that runs this session ended before it came to this call. Make it again "
    "if you still want it."
)
STARTED_AGAIN = (
    "The program that runs this session ended and was started again, and the sandbox's command "
    "server with it: the workspace is as it was; files in /tmp may be gone, the working directory "
    "and exported variables are reset, and background processes are ended."
)


IMAGE_GONE = (
    "[The image that was shown here is no longer kept: read the file again to see it as it is now.]"
)

_NOT_SAID = frozenset({StopReason.CONTEXT_WINDOW, StopReason.COMPACTION, StopReason.REFUSAL})
"""Ends of a reply that is none, and no part of the conversation."""

Recall = Callable[[KeptImage], Image | None]


def nothing_kept(_image: KeptImage) -> None:
    """A record without the bytes of its images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn:
    """The newest reply, where not all that it asks for has been answered."""

    reply: Reply
    results: tuple[ToolResult, ...]
    """Of its first calls, in order."""
    in_doubt: CallStarted | None
    """The call after those, where it was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeState:
    started: RunStarted
    began: datetime
    ready: SandboxReady | None
    """None where the orchestrator ended before the container was ready."""
    history: tuple[Message, ...]
    """Without the open turn."""
    asked: bool
    """The task was said."""
    orders: tuple[str, ...]
    """What the operator asked for, and took back, in order."""
    view: ContextWindow
    """What of it is sent."""
    turn: OpenTurn | None
    ended: Conversation | None
    """How the conversation had ended, where it had."""
    exported: Mapping[str, object] | None
    """The newest ``exported`` line."""
    over: Mapping[str, object] | None
    """The ``run_ended`` line, where nothing came after it."""
    spent: BudgetSpent
    calls: int
    repetition: LoopDetector
    in_vain: int
    pid: int
    """Of the process that worked on it last."""
    lossy: Lossy
    log: tuple[Event, ...]
    forked: Forked | None = None
    """It is another run's, and this process begins a new one with it."""

    @property
    def images(self) -> tuple[Image, ...]:
        """Those that the model was shown."""
        return images_in(self.history, self.turn.results if self.turn is not None else ())


@dataclass
class _ResumeWalk:
    """The state of going through the events, one after the other."""

    history: list[Message] = field(default_factory=list)
    view: ContextWindow = field(default_factory=ContextWindow)
    reply: Reply | None = None
    results: list[ToolResult] = field(default_factory=list)
    words: list[Text] = field(default_factory=list)
    running: CallStarted | None = None
    repetition: LoopDetector = field(default_factory=LoopDetector)
    calls: int = 0
    turns: int = 0
    used: Usage = field(default_factory=Usage)
    last: Usage = field(default_factory=Usage)
    usd: float | None = None
    in_vain: int = 0
    ended: Conversation | None = None
    asked: bool = False
    orders: list[str] = field(default_factory=list)
    before: tuple[tuple[Message, ...], ContextWindow] = ((), ContextWindow())
    """The history and what was sent of it when the newest order was given."""
    recall: Recall = nothing_kept
    gone: bool = False
    """An image that the model was shown can't be shown again."""

    def take(self, event: Event) -> None:
        match event:
            case UserMessageAdded() | ContextShown() | RequestAwaited() | RequestWithdrawn():
                self._told(event)
            case ModelCalled():
                self.close()
                self.ended = None
            case ModelReplied():
                self.close()
                self.reply = event.reply
                self.turns, self.used, self.last = event.turn, event.used, event.reply.usage
                self.usd = event.usd
            case ReplyDiscarded() | ResultsCleared() | ResultsShortened() | HistorySummarised():
                self._room(event)
            case CallStarted():
                self.running = event
                self.calls = max(self.calls, event.number)
            case CallEnded():
                failed = event.is_error or event.exit_code not in {None, 0}
                self._result(event, is_error=event.is_error, failed=failed)
            case ImagesWithdrawn() if self.history:
                self.history[-1] = without_images(self.history[-1], event.text)
            case CallRefused():
                self.calls = max(self.calls, event.number)
                self._result(event, is_error=True, failed=True)
            case ConversationEnded():
                self.ended = event.outcome
            case _:
                pass

    def _told(
        self, event: UserMessageAdded | ContextShown | RequestAwaited | RequestWithdrawn
    ) -> None:
        match event:
            case UserMessageAdded():
                if event.what != "note":
                    self._order(event.text)
                self.asked = True
                self.words.append(Text(text=event.text))
            case ContextShown():
                self.words.append(Text(text=event.text))
                self.ended = None
            case RequestAwaited():
                # Nothing is left to do of it: without its person a chat can only be exported.
                self.close()
                self.ended = event.outcome
                self.in_vain, self.repetition = 0, LoopDetector()
            case RequestWithdrawn():
                self.reply, self.running, self.results, self.words = None, None, [], []
                self.history, self.view = list(self.before[0]), self.before[1]
                self.orders.pop()
            case _:
                assert_never(event)

    def _order(self, text: str) -> None:
        # It is answered from here on, be it that first room is to be made for it.
        self.close()
        self.ended = None
        self.in_vain, self.repetition = 0, LoopDetector()
        self.before = (tuple(self.history), self.view)
        self.orders.append(text)

    def _result(self, event: CallEnded | CallRefused, *, is_error: bool, failed: bool) -> None:
        uses = uses_of(self.reply) if self.reply is not None else []
        position = len(self.results)
        if position >= len(uses):
            return  # told a second time, by a process that took the turn up again
        text, images = self._shown(event)
        self.results.append(
            ToolResult(tool_use_id=event.tool_use_id, text=text, is_error=is_error, images=images)
        )
        self.running = None
        asked = self.reply is not None and self.reply.stop is StopReason.TOOL_USE
        if asked and not (isinstance(event, CallRefused) and event.why == "stopped"):
            self.repetition.note(uses[position], failed=failed, result=event.text)

    def _shown(self, event: CallEnded | CallRefused) -> tuple[str, tuple[Image, ...]]:
        kept = event.images if isinstance(event, CallEnded) else ()
        images = tuple(image for item in kept if (image := self.recall(item)) is not None)
        if len(images) == len(kept):
            return event.text, images
        self.gone = True
        return f"{event.text}\n{IMAGE_GONE}", images

    def _room(
        self, event: ReplyDiscarded | ResultsCleared | ResultsShortened | HistorySummarised
    ) -> None:
        """Take what was used beside the replies, and what is sent no more."""
        match event:
            case ReplyDiscarded():
                self.used, self.usd = event.used, event.usd
            case ResultsCleared():
                self.view = self.view.clear(through=event.through, bare=event.bare)
            case ResultsShortened():
                self.view = self.view.shorten(event.reply, event.most_bytes)
            case HistorySummarised():
                self.used, self.usd = event.used, event.usd
                head = event.block or SummaryNotes(text=event.notes, orders=event.orders)
                self.view = self.view.summarise(head, through=event.through, bare=event.bare)
            case _:
                assert_never(event)

    def close(self) -> None:
        """The turn was answered whole: another request, or reply, came after it."""
        if self.reply is not None and self.reply.stop not in _NOT_SAID:
            self.in_vain = 0 if worked(self.reply) else self.in_vain + 1
            blocks = self.reply.message.blocks or (Text(text=NO_ANSWER),)
            self.history.append(AssistantMessage(blocks=blocks))
        said: tuple[Text | ToolResult, ...] = (*self.results, *self.words)
        if said and self.history and isinstance(newest := self.history[-1], UserMessage):
            self.history.pop()
            said = (*newest.blocks, *said)
        if said:
            self.history.append(UserMessage(blocks=said))
        self.reply, self.running = None, None
        self.results, self.words = [], []

    def open_turn(self) -> OpenTurn | None:
        """The newest reply where something of it is left to do; else it is closed."""
        reply = self.reply
        if reply is None or (self.words and self.running is None):
            # Words of ours come last in a turn.
            self.close()
            return None
        return OpenTurn(reply=reply, results=tuple(self.results), in_doubt=self.running)


def resume_state_of(
    rows: Sequence[Mapping[str, object]], recall: Recall = nothing_kept
) -> ResumeState:
    """The run as its record tells it.

    Args:
        recall: gives an image that the model was shown, or None.

    Raises:
        RecordError: the record does not begin as one, or has lines of another shape.
    """
    events = [(row, event) for row in rows if (event := decode(row)) is not None]
    walk = _ResumeWalk(recall=recall)
    started: RunStarted | None = None
    ready: SandboxReady | None = None
    pid = 0
    for _, event in events:
        match event:
            case RunStarted():
                started = event
            case SandboxReady():
                ready = event
        pid = getattr(event, "pid", pid)
        walk.take(event)
    if started is None:
        raise RecordError("the record has no beginning: nothing can be resumed from it")
    turn = walk.open_turn()
    last = rows[-1]
    lossy = losses(list(rows))
    if walk.gone and any(_has_opaque(message) for message in walk.history):
        # Thinking is bound to every byte before it.
        lossy = replace(lossy, exact_thinking=False)
    return ResumeState(
        started=started,
        began=_time(rows[0]),
        ready=ready,
        history=tuple(walk.history),
        asked=walk.asked,
        orders=tuple(walk.orders) or ((started.task,) if walk.asked else ()),
        view=walk.view,
        turn=turn,
        ended=walk.ended,
        exported=next((row for row in reversed(rows) if row.get("event") == "exported"), None),
        over=last if last.get("event") == "run_ended" else None,
        spent=BudgetSpent(
            turns=walk.turns,
            used=walk.used,
            last=walk.last,
            usd=walk.usd,
            seconds=_worked_s(rows),
        ),
        calls=walk.calls,
        repetition=walk.repetition,
        in_vain=walk.in_vain,
        pid=pid,
        lossy=lossy,
        log=tuple(event for _, event in events),
    )


def _has_opaque(message: Message) -> bool:
    return any(isinstance(block, Opaque) for block in message.blocks)


def _worked_s(rows: Sequence[Mapping[str, object]]) -> float:
    """Seconds of all sittings, each from its ready sandbox to the last that it wrote; without those
    in which a chat waited for its person."""
    total = 0.0
    waiting = False
    begun: datetime | None = None
    newest: datetime | None = None
    for row in rows:
        kind = row.get("event")
        if kind in {"resumed", "run_started"}:
            if begun is not None and newest is not None:
                total += (newest - begun).total_seconds()
            begun, waiting = None, False
        newest = _time(row)
        if kind == "sandbox_ready" or (kind == "user_message_added" and waiting):
            begun, waiting = newest, False
        elif kind == "request_awaited" and begun is not None:
            total += (newest - begun).total_seconds()
            begun, waiting = None, True
    if begun is not None and newest is not None:
        total += (newest - begun).total_seconds()
    return max(0.0, total)


def _time(row: Mapping[str, object]) -> datetime:
    try:
        return datetime.fromisoformat(str(row.get("time")))
    except ValueError as error:
        raise RecordError(f"line {row.get('seq')} of the record has no time") from error
