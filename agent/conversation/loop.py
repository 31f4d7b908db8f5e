"""The conversation: model ⇄ decide ⇄ sandbox, until one of them ends it.

Owns the history (append-only: a message once in it is never changed) and what each of the model's
reasons to stop means. Refuses to know how a call is made (`calls`), what is left of the budget
(`budget`), and what happens to the files afterwards (`run`).
"""

import hashlib
import time
from collections.abc import Callable
from typing import Literal, assert_never

from agent.conversation.budget import Budget
from agent.conversation.calls_as_text import call_as_text
from agent.conversation.compaction import Compactor
from agent.conversation.loop_detection import LoopDetector, NoLoop, StopForLoop, WarnOfLoop
from agent.conversation.resume_state import (
    IN_DOUBT,
    NOT_REACHED,
    STARTED_AGAIN,
    OpenTurn,
    ResumeState,
)
from agent.conversation.tool_calls import NOT_MADE, ToolExecutor
from agent.conversation.window import NO_ANSWER, bytes_of
from agent.errors import ModelError, ModelRefusedRequest, ModelTooLong
from agent.interrupts import Interrupts, SignalReceived, TimeUp
from agent.models.interface import (
    AssistantMessage,
    Discarded,
    Message,
    Model,
    Reply,
    Request,
    Retrying,
    StopReason,
    StreamEvent,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
    images_in,
    uses_of,
    without_images,
    worked,
)
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.record.events.types import (
    ContextShown,
    Emit,
    ImagesWithdrawn,
    ModelCalled,
    ModelReplied,
    ModelRetry,
    Notice,
    ReplyDiscarded,
    RequestWithdrawn,
    TextDiscarded,
    TextPiece,
    ThinkingPiece,
    UserMessageAdded,
)
from agent.record.outcome import (
    Conversation,
    Finished,
    GaveUp,
    Interrupted,
    LimitReached,
    ModelFailed,
    Refused,
    RunLimit,
    SandboxFailed,
)
from agent.tools import registry
from sandbox.errors import SandboxError

_IN_A_ROW = 5
"""How many answers without substance (empty, cut off, paused) end the run."""

_ASK_FOR_ANSWER = (
    "Your answer was empty. Go on with the task, or say in a few sentences what you did."
)
_ASK_TO_GO_ON = "Your answer was cut off at the limit of its length. Go on where it stopped."
_ASK_AFTER_PAUSE = "Go on."
_TORN = (
    "Nothing ran: your answer was cut off at the limit of its length. Make the call again with "
    "less in it: write a large file in pieces, or explain less before the call."
)
_UNRUN = "Nothing ran: the answer did not end with a request for tools."
_NOT_TAKEN = (
    "The images above were taken out: the service did not take them. They may be broken, or no "
    "images at all; look at the files with other tools."
)
_STOPPED = "The person stopped the request before this one while you were at work on it."
_BROKEN_OFF = (
    "Not known: the person stopped it while it ran. It may have been done wholly, in part or not "
    "at all."
)
_DECLINED = (
    "What the request before this one was, and what was done for it, is no longer part of this "
    "conversation: look at the files before you rely on what you remember of them."
)
_ESTIMATED = (
    "the service does not say what its answers use: their tokens are estimated by their size, and "
    "against budget.usd each counts for the longest that it could have been"
)
_CALL_AS_TEXT = (
    "Nothing ran: you wrote a call of {tool} as text. Make it as a tool call, in the form that "
    "this service has for them. If you only meant to show it, say what you did, without it."
)
_NO_CALLS = "You stopped for a tool call but made none. Make the call, or say what you did."


class _OutOfMoney(Exception):
    """An answer broke off, and what is left does not pay for it again."""


class _WaitTooLong(Exception):
    """The run's time would be over before the service is asked again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class AgentLoop:
    """One conversation about one task."""

    def __init__(
        self,
        *,
        model: Model,
        calls: ToolExecutor,
        budget: Budget,
        system: str,
        server_tools: tuple[str, ...] = (),
        max_tokens: int,
        interrupts: Interrupts,
        emit: Emit,
        facts: ModelInfo = UNKNOWN,
    ) -> None:
        self._model = model
        self._calls = calls
        self._budget = budget
        self._system = system
        self._system_sha256 = hashlib.sha256(system.encode()).hexdigest()
        self._server_tools = server_tools
        self._specs = registry.specs(calls.tools)
        self._interrupts = interrupts
        self._emit = emit
        self._compactor = Compactor(
            facts=facts,
            budget=budget,
            system=system,
            tools=self._specs,
            server_tools=server_tools,
            max_tokens=max_tokens,
            ask=lambda request: self._get(request, self._aside),
            emit=emit,
        )
        self._asking = 0
        self._came_bytes = 0
        self._estimates = False
        self._repetition = LoopDetector()
        self._in_vain = 0
        self._news: list[UserMessageAdded] = []
        self.history: list[Message] = []

    def run(self, task: str) -> Conversation:
        """Work on the task until the conversation ends; every way to end is a value."""
        self._order(task)
        return self._until_ended(None)

    def go_on(self, past: ResumeState, task: str) -> Conversation:
        """As `run`, where another process got to and ended. No call is made a second time."""
        self._repetition = past.repetition
        self._in_vain = past.in_vain
        self.history = list(past.history)
        self._compactor.orders.extend(past.orders)
        newest = (past.turn.reply.message,) if past.turn is not None else ()
        self._compactor.take_up(past.view, (*self.history, *newest), past.spent.last)
        if not past.asked:
            self._order(task)
        if past.forked is None:
            self.inform(STARTED_AGAIN)
        return self._until_ended(past.turn)

    def show(self, context: ContextShown) -> None:
        """Put files of the workspace before what is said next."""
        self._emit(context)
        self._add(context.text)

    def ask(self, text: str) -> Conversation:
        """One more request of a chat, built on all that was said before."""
        self._repetition, self._in_vain = LoopDetector(), 0
        # What happened to the files stays true, whatever becomes of the request.
        self._break_news()
        before, view = list(self.history), self._compactor.view
        worked = self._calls.made
        self._order(text)
        ended = self._until_ended(None)
        if isinstance(ended, Interrupted):
            self.inform(_STOPPED)
        if isinstance(ended, Refused):
            # A model that declined goes on declining as long as what it declined stands there.
            self._emit(RequestWithdrawn())
            self.history = before
            self._compactor.withdraw(view)
            if self._calls.made > worked:
                self.inform(_DECLINED)
        return ended

    def inform(self, text: str, what: Literal["undone", "note"] = "note") -> None:
        """Tell the model, with the next that it is told."""
        self._news.append(UserMessageAdded(text=text, what=what))

    def _until_ended(self, turn: OpenTurn | None) -> Conversation:
        try:
            ended = self._finish(turn) if turn is not None else None
            while ended is None:
                ended = self._turn()
            return ended
        except ModelError as error:
            return ModelFailed(message=str(error))
        except SandboxError as error:
            return SandboxFailed(message=str(error))
        except SignalReceived as signal:
            return Interrupted(signal=signal.name)
        except _OutOfMoney:
            return self._budget.out_of_money()
        except (TimeUp, _WaitTooLong) as over:
            wait_s = over.wait_s if isinstance(over, _WaitTooLong) else None
            return self._budget.out_of_time(wait_s=wait_s)

    def _turn(self) -> Conversation | None:
        # News count in what is to be fitted in.
        self._break_news()
        self._compactor.fit(self.history)
        limit = self._budget.reached()
        if limit is not None:
            return limit
        try:
            reply = self._ask_model()
        except ModelTooLong as error:
            # What is as short as it can be never fitted: that is no limit of the conversation's.
            ended = self._overflow(str(error))
            if ended is None or self._withdraw_images():
                return None
            if not self._compactor.view.is_less:
                raise
            return ended
        except ModelRefusedRequest as error:
            # It may say in unknown words that the conversation is too long: a shorter one tells.
            if self._compactor.nearly_full(self.history) and self._overflow(str(error)) is None:
                return None
            raise
        return self._take(reply, [])

    def _finish(self, turn: OpenTurn) -> Conversation | None:
        """Do what is left of a turn that another process was in the middle of."""
        results = list(turn.results)
        uses = uses_of(turn.reply)
        if turn.in_doubt is not None:
            results.append(self._calls.doubt(turn.in_doubt, IN_DOUBT).result)
            # What comes after it may rest on it.
            rest = uses[len(results) :]
            results += [self._calls.skip(use, "stopped", NOT_REACHED).result for use in rest]
        return self._take(turn.reply, results)

    def _take(self, reply: Reply, results: list[ToolResult]) -> Conversation | None:
        """Act on a reply; `results` are those that its first calls have already."""
        match reply.stop:
            case StopReason.TOOL_USE | StopReason.END_TURN | StopReason.STOP_SEQUENCE:
                return self._answer(reply, results)
            case StopReason.MAX_TOKENS:
                self._append(reply)
                self._answer_unrun(reply, _TORN, results)
                return self._vain("its answers are cut off", _ASK_TO_GO_ON, unless=uses_of(reply))
            case StopReason.PAUSE_TURN:
                self._append(reply)
                self._answer_unrun(reply, _UNRUN, results)
                if worked(reply):
                    # Sent back as it came, for the provider's own tools to go on; newer models
                    # take no other answer of theirs as the last message.
                    self._in_vain = 0
                    return None
                return self._vain(
                    "the service paused its answer again and again",
                    _ASK_AFTER_PAUSE,
                    unless=uses_of(reply),
                )
            case StopReason.REFUSAL:
                words = _text(reply) or reply.detail or "no reason given"
                return Refused(message=words)
            case StopReason.CONTEXT_WINDOW | StopReason.COMPACTION:
                return self._overflow("the conversation has filled it")
            case _:
                assert_never(reply.stop)

    def _overflow(self, detail: str) -> Conversation | None:
        """Go on with less, where there is something to leave out."""
        if self._compactor.overflowed(self.history):
            return None
        return LimitReached(limit=RunLimit.CONTEXT, detail=detail)

    def _answer(self, reply: Reply, results: list[ToolResult]) -> Conversation | None:
        self._append(reply)
        uses = uses_of(reply)
        if uses and reply.stop is StopReason.TOOL_USE:
            self._in_vain = 0
            return self._make(uses, results)
        if uses:
            self._answer_unrun(reply, _UNRUN, results)
            return self._vain("it asks for tools and does not wait for them", None)
        if reply.stop is StopReason.TOOL_USE:
            return self._vain("it stops for tools and asks for none", _NO_CALLS)
        words = _text(reply)
        if not words:
            return self._vain("its answers are empty", _ASK_FOR_ANSWER)
        tool = call_as_text(words, self._calls.tools)
        # A model that has made calls may mean to show one: it is told once.
        if tool and not (self._calls.made and self._in_vain):
            return self._vain("it writes its calls as text", _CALL_AS_TEXT.format(tool=tool))
        return Finished(message=words)

    def _make(self, uses: list[ToolUse], done: list[ToolResult]) -> Conversation | None:
        """Make the calls of one turn, in order; all their results go back in one message.

        Those of its first calls may be there already.
        """
        results = list(done)
        notes: list[str] = []
        ended: Conversation | None = None
        for use in uses[len(done) :]:
            if ended is None and self._interrupts.requested:
                ended = Interrupted(signal=self._interrupts.name)
            if ended is None and self._budget.left_s <= 0:
                ended = self._budget.reached()
            if ended is not None:
                stopped = isinstance(ended, Interrupted)
                words = NOT_MADE if stopped else "Not run: the run ended."
                results.append(self._calls.skip(use, "stopped", words).result)
                continue
            try:
                made = self._calls.make(use, left_s=self._budget.left_s)
            except SignalReceived as signal:
                ended = Interrupted(signal=signal.name)
                results.append(self._calls.broken_off(use, _BROKEN_OFF).result)
                continue
            results.append(made.result)
            verdict = self._repetition.note(use, failed=made.failed, result=made.result.text)
            match verdict:
                case StopForLoop():
                    ended = GaveUp(reason=verdict.reason)
                case WarnOfLoop():
                    notes.append(verdict.words)
                case NoLoop():
                    pass
        warning = self._budget.warning()
        if warning is not None:
            notes.append(warning)
        self._reply_with(results, notes)
        if ended is None and self._interrupts.requested:
            ended = Interrupted(signal=self._interrupts.name)
        return ended

    # -- the model -------------------------------------------------------------------------

    def _ask_model(self) -> Reply:
        # A turn that the service paused must stay the last message.
        if isinstance(self.history[-1], UserMessage):
            restated = self._compactor.restated(self.history)
            if restated is not None:
                self.inform(restated)
                self._break_news()
        try:
            return self._asked()
        except ModelTooLong:
            raise
        except ModelRefusedRequest:
            if not self._withdraw_images():
                raise
        return self._asked()

    def _withdraw_images(self) -> bool:
        """What only looks like an image, or is too large a one, must not end a run, nor stand in
        each later request. False: there is none in what is said now."""
        if not self.history or not images_in(self.history[-1:]):
            return False
        self._emit(ImagesWithdrawn(text=_NOT_TAKEN))
        self.history[-1] = without_images(self.history[-1], _NOT_TAKEN)
        return True

    def _asked(self) -> Reply:
        self._emit(
            ModelCalled(
                turn=self._budget.turns + 1,
                system_sha256=self._system_sha256,
                messages=len(self.history),
            )
        )
        request = Request(
            system=self._system,
            tools=self._specs,
            messages=self._compactor.messages(self.history),
            max_tokens=max(1, self._budget.answer_tokens(self._compactor.max_tokens)),
            server_tools=self._server_tools,
        )
        started = time.monotonic()
        reply = self._get(request, self._on_event)
        self._budget.add(reply.usage, came_bytes=bytes_of((reply.message,)))
        self._own_up(reply.usage)
        self._emit(
            ModelReplied(
                turn=self._budget.turns,
                reply=reply,
                seconds=time.monotonic() - started,
                used=self._budget.used,
                usd=self._budget.usd,
            )
        )
        self._emit(self._budget.reading())
        return reply

    def _get(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        self._asking = request.max_tokens
        self._came_bytes = 0

        def heard(event: StreamEvent) -> None:
            if isinstance(event, TextDelta | ThinkingDelta):
                self._came_bytes += len(event.text.encode("utf-8", "replace"))
            on_event(event)

        # A signal, or the end of the run's time, breaks off the wait, and only the wait: what is
        # recorded afterwards is whole or not there.
        with self._interrupts.within(self._budget.left_s):
            return self._model.reply(request, heard)

    def _aside(self, event: StreamEvent) -> None:
        """As `_on_event`, for an answer that is not part of the conversation."""
        if not isinstance(event, TextDelta | ThinkingDelta):
            self._on_event(event)

    def _on_event(self, event: StreamEvent) -> None:
        match event:
            case TextDelta():
                self._emit(TextPiece(text=event.text))
            case ThinkingDelta():
                self._emit(ThinkingPiece(text=event.text))
            case Retrying():
                # What broke off was billed: is another attempt still paid for?
                if not self._budget.affords(self._asking):
                    raise _OutOfMoney
                self._emit(
                    ModelRetry(reason=event.reason, wait_s=event.wait_s, attempt=event.attempt)
                )
                if event.wait_s >= self._budget.left_s:
                    raise _WaitTooLong(event.wait_s)
            case Discarded():
                self._budget.add_void(event.usage, came_bytes=self._came_bytes)
                self._came_bytes = 0
                self._emit(
                    ReplyDiscarded(usage=event.usage, used=self._budget.used, usd=self._budget.usd)
                )
                self._emit(TextDiscarded())
            case _:
                assert_never(event)

    def _own_up(self, usage: Usage) -> None:
        """Tell the person, once, that what is counted from now on is not the service's count."""
        if usage.uncounted_replies and not self._estimates:
            self._estimates = True
            self._emit(Notice(text=_ESTIMATED))

    # -- the history -----------------------------------------------------------------------

    def _append(self, reply: Reply) -> None:
        # Providers take no empty message, and want user and assistant to alternate.
        blocks = reply.message.blocks or (Text(text=NO_ANSWER),)
        self.history.append(AssistantMessage(blocks=blocks))
        self._compactor.answered(self.history, reply.usage)

    def _order(self, text: str) -> None:
        self._put(UserMessageAdded(text=text, what="request"))

    def _say(self, text: str) -> None:
        self._put(UserMessageAdded(text=text))

    def _put(self, said: UserMessageAdded) -> None:
        if said.what != "note":
            self._compactor.orders.append(said.text)
        self._emit(said)
        self._add(said.text)

    def _add(self, text: str) -> None:
        words = Text(text=text)
        if self.history and isinstance(newest := self.history[-1], UserMessage):
            # Nothing answered it yet, so it is not history so far; and providers want user and
            # assistant to alternate.
            self.history[-1] = UserMessage(blocks=(*newest.blocks, words))
        else:
            self.history.append(UserMessage(blocks=(words,)))

    def _reply_with(self, results: list[ToolResult], notes: list[str]) -> None:
        for note in notes:
            self._emit(UserMessageAdded(text=note))
        words = tuple(Text(text=note) for note in notes)
        self.history.append(UserMessage(blocks=(*results, *words)))

    def _break_news(self) -> None:
        """Tell the model what happened to its sandbox, in the last message before it answers."""
        for said in self._news:
            self._put(said)
        self._news.clear()

    def _answer_unrun(self, reply: Reply, text: str, done: list[ToolResult]) -> None:
        """Give the calls of a reply that runs none their results: providers insist on them."""
        uses = uses_of(reply)
        if uses:
            rest = [self._calls.skip(use, "torn", text).result for use in uses[len(done) :]]
            self._reply_with([*done, *rest], [])

    def _vain(
        self, reason: str, nudge: str | None, unless: list[ToolUse] | None = None
    ) -> Conversation | None:
        """Count an answer without substance, and say `nudge` unless calls were answered."""
        self._in_vain += 1
        if self._in_vain >= _IN_A_ROW:
            return GaveUp(reason=f"{reason} ({self._in_vain} in a row)")
        if nudge is not None and not unless:
            self._say(nudge)
        return None


def _text(reply: Reply) -> str:
    """Its words. Where sources are named, one sentence is cut into several blocks."""
    words = ""
    cited = False
    for block in reply.message.blocks:
        if isinstance(block, Text) and block.text.strip():
            goes_on = cited or "citations" in block.extra
            words += block.text if goes_on else f"\n{block.text.strip()}"
            cited = "citations" in block.extra
    return words.strip()
