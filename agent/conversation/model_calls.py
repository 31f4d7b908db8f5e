"""One request to the model, from the messages to the whole reply.

asked ─► streamed ─► (broken off, asked again) ─► counted and told

Owns what is told of it as it comes, and that neither money nor time is spent past what is left of
them while it does. Refuses to know what a reply means (`loop`) and how much of the history goes
into a request (`compaction`).
"""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from agent.conversation.budget import Budget, BudgetReached
from agent.conversation.tool_form import ToolFormChoice
from agent.conversation.window import bytes_of
from agent.errors import ModelError
from agent.interrupts import Interrupts
from agent.models.interface import (
    Discarded,
    Message,
    Model,
    Reply,
    Request,
    Retrying,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolSpec,
    Usage,
    uses_of,
)
from agent.record.events.conversation import (
    CallReserved,
    ModelCalled,
    ModelReplied,
    ModelRetry,
    ReplyDiscarded,
)
from agent.record.events.kinds import TextDiscarded, TextPiece, ThinkingPiece
from agent.record.events.lifecycle import Notice
from agent.record.journal import Journal

if TYPE_CHECKING:
    from agent.conversation.run_share import PaidCall, RunShare
    from agent.models.text_calls.streaming import StreamedWords

_ESTIMATED = (
    "the service does not say what an answer used, or less than its words can have: its tokens are "
    "estimated by its size, and against budget.usd it counts for the longest it could have been"
)


@dataclass(kw_only=True, eq=False)
class ModelCaller:
    """Asks the model of one run. Mutable: it counts what comes."""

    model: Model
    budget: Budget
    system: str
    tools: tuple[ToolSpec, ...]
    server_tools: tuple[str, ...]
    form: ToolFormChoice
    interrupts: Interrupts
    journal: Journal
    share: "RunShare | None" = None
    _paid: "PaidCall | None" = None
    _asking: int = 0
    _came_bytes: int = 0
    _in_flight_from_s: float = math.inf
    """Monotonic time from which a request is under way, as far as this run alone can tell."""
    _estimates: bool = False
    _streamed: "StreamedWords | None" = None

    def turn(self, messages: tuple[Message, ...], *, max_tokens: int) -> Reply:
        """A turn of the conversation, of which `messages` are sent.

        Raises:
            ModelError: there is no reply to be had.
            BudgetReached: there is none within the run's budget or its batch's.
            SignalReceived, TimeUp: the wait was broken off.
        """
        emit = self.journal.emit
        with self._paid_for(max(1, self.budget.answer_tokens(max_tokens))) as tokens:
            request = self._request(messages, tokens)
            emit(
                ModelCalled(
                    turn=self.budget.turns + 1,
                    messages=len(self.journal.state.conversation.history),
                )
            )
            started = time.monotonic()
            self._stream_anew()
            reply = self._get(request, self._on_event)
            self.budget.add(reply.usage, came_bytes=bytes_of((reply.message,)))
            reply = self._read(reply)
        if self._streamed is not None and not uses_of(reply):
            self._show(self._streamed.rest())
        self._own_up(reply.usage)
        emit(
            ModelReplied(
                turn=self.budget.turns,
                reply=reply,
                seconds=time.monotonic() - started,
                used=self.budget.used,
                usd=self.budget.usd,
            )
        )
        emit(self.budget.reading())
        return reply

    def aside(self, messages: tuple[Message, ...], *, max_tokens: int, compact: bool) -> Reply:
        """A reply that is no turn of the conversation: shown to nobody, and counted as used.

        Raises: as `turn`.
        """
        with self._paid_for(max_tokens) as tokens:
            reply = self._get(self._request(messages, tokens, compact=compact), self._aside)
            self.budget.add_void(reply.usage, came_bytes=bytes_of((reply.message,)))
            return self._read(reply)

    @contextmanager
    def _paid_for(self, max_tokens: int) -> Generator[int]:
        """Inside, one call is paid for: by what the runs of a batch have together, or by its own
        budget where a run is alone; gives how long its answer may be."""
        budget = self.budget
        self._came_bytes, self._in_flight_from_s = 0, math.inf
        with nullcontext() if self.share is None else self.share.paid(budget, max_tokens) as paid:
            self._paid = paid
            try:
                most = max_tokens if paid is None else paid.answer_tokens
                tokens = max(1, budget.answer_tokens(most))
                self._reserve(tokens)
                yield tokens
            except (ModelError, BudgetReached):
                raise
            except BaseException:
                if self._was_in_flight():
                    # It is billed, and nobody says how much.
                    self._discard(Usage(uncounted_replies=1))
                raise
            finally:
                self._paid = None

    def _was_in_flight(self) -> bool:
        """Whether the call that was just broken off had reached the service."""
        if self._came_bytes:
            return True
        known = None if self.share is None else self.share.in_flight
        return time.monotonic() >= self._in_flight_from_s if known is None else known

    def _reserve(self, answer_tokens: int) -> None:
        """Note what the next call may cost, before it is made: a killed process tells no bill."""
        budget = self.budget
        most = budget.worst(answer_tokens)
        usage = Usage(input_tokens=most.input_tokens, output_tokens=answer_tokens)
        usd = None
        if most.input_usd is not None:
            answer_usd = answer_tokens * (most.usd_per_answer_token or 0.0)
            usd = (budget.usd or 0.0) + most.input_usd + answer_usd
        self.journal.emit(CallReserved(used=budget.used + usage, usd=usd))

    def _discard(self, usage: Usage) -> None:
        budget = self.budget
        budget.add_void(usage, came_bytes=self._came_bytes)
        self._came_bytes = 0
        self.journal.emit(ReplyDiscarded(usage=usage, used=budget.used, usd=budget.usd))

    def _request(
        self, messages: tuple[Message, ...], max_tokens: int, *, compact: bool = False
    ) -> Request:
        request = Request(
            system=self.system,
            tools=self.tools,
            messages=messages,
            max_tokens=max_tokens,
            server_tools=self.server_tools,
            compact=compact,
        )
        label = self.form.label
        if label is None:
            return request
        from agent.models.text_calls import rendering  # noqa: PLC0415 - most runs have none

        return rendering.request_in_text(request, label)

    def _read(self, reply: Reply) -> Reply:
        label = self.form.label
        if label is None:
            return reply
        from agent.models.text_calls import rendering  # noqa: PLC0415 - as above

        return rendering.reply_with_call(reply, label, use_id=f"text_{self.budget.turns}")

    def _get(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        self._asking = request.max_tokens

        def heard(event: StreamEvent) -> None:
            if isinstance(event, TextDelta | ThinkingDelta):
                self._came_bytes += len(event.text.encode("utf-8", "replace"))
            on_event(event)

        def ask(listener: Callable[[StreamEvent], None]) -> Reply:
            self._in_flight_from_s = 0.0
            try:
                return self.model.reply(request, listener)
            except Exception:
                # Answered, if only by a refusal; a signal is no Exception.
                self._in_flight_from_s = math.inf
                raise

        # A signal, or the end of the run's time, breaks off the wait, and only the wait: what is
        # recorded afterwards is whole or not there.
        reply = self.interrupts.awaited(ask, heard, left_s=lambda: self.budget.left_s)
        self._came_bytes, self._in_flight_from_s = 0, math.inf
        return reply

    def _aside(self, event: StreamEvent) -> None:
        if not isinstance(event, TextDelta | ThinkingDelta):
            self._on_event(event)

    def _on_event(self, event: StreamEvent) -> None:
        emit, budget = self.journal.emit, self.budget
        match event:
            case TextDelta():
                self._show(
                    event.text if self._streamed is None else self._streamed.shown(event.text)
                )
            case ThinkingDelta():
                emit(ThinkingPiece(text=event.text))
            case Retrying():
                self._in_flight_from_s = time.monotonic() + event.wait_s
                # What broke off was billed: is another attempt still paid for?
                if not budget.affords(self._asking):
                    raise BudgetReached(budget.out_of_money())
                if self._paid is not None:
                    self._paid.again()
                emit(ModelRetry(reason=event.reason, wait_s=event.wait_s, attempt=event.attempt))
                if self.share is None and event.wait_s >= budget.left_s:
                    raise BudgetReached(budget.out_of_time(wait_s=event.wait_s))
                if self.journal.state.spent.reserved is None:
                    self._reserve(self._asking)
            case Discarded():
                self._discard(event.usage)
                emit(TextDiscarded())
                self._stream_anew()
            case _:
                assert_never(event)

    def _show(self, text: str) -> None:
        if text:
            self.journal.emit(TextPiece(text=text))

    def _stream_anew(self) -> None:
        label = self.form.label
        if label is not None:
            from agent.models.text_calls.streaming import StreamedWords  # noqa: PLC0415 - as above

            self._streamed = StreamedWords(label)

    def _own_up(self, usage: Usage) -> None:
        """Tell the person, once, that what is counted from now on is not the service's count."""
        if usage.uncounted_replies and not self._estimates:
            self._estimates = True
            self.journal.emit(Notice(text=_ESTIMATED))
