"""The conversation: model ⇄ decide ⇄ sandbox, until one of them ends it.

Owns what each of the model's reasons to stop means. What was said so far is the journal's state:
whatever is told here as an event becomes history there, and nowhere else. Refuses to know how a
request is made (`model_calls`) and a call (`tool_calls`), what is left of the budget (`budget`),
and what happens to the files afterwards (`agent.lifecycle.delivery`).
"""

from typing import TYPE_CHECKING, Literal, assert_never

from agent.conversation import prompts
from agent.conversation.budget import Budget, BudgetReached
from agent.conversation.compaction import Compactor
from agent.conversation.model_calls import ModelCaller
from agent.conversation.tool_calls import ToolExecutor
from agent.conversation.tool_form import ToolFormChoice
from agent.errors import ModelError, ModelRefusedRequest, ModelTooLong
from agent.interrupts import Interrupts, SignalReceived, TimeUp
from agent.models.interface import (
    Model,
    Reply,
    StopReason,
    UserMessage,
    images_in,
    uses_of,
    words_of,
    worked,
)
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.record.conversation_state import ConversationState, is_said
from agent.record.events.conversation import (
    ImagesWithdrawn,
    RequestWithdrawn,
    UserMessageAdded,
)
from agent.record.journal import Journal
from agent.record.loop_detection import StopForLoop, WarnOfLoop
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

if TYPE_CHECKING:
    from agent.conversation.run_share import RunShare

_IN_A_ROW = 5
"""So many answers without substance (empty, cut off, paused) end the run."""


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
        journal: Journal,
        facts: ModelInfo = UNKNOWN,
        share: "RunShare | None" = None,
    ) -> None:
        self._calls = calls
        self._budget = budget
        self._interrupts = interrupts
        self._journal = journal
        self._form = ToolFormChoice(setting=facts.tool_form, model=model.name, journal=journal)
        self._caller = ModelCaller(
            model=model,
            budget=budget,
            system=system,
            tools=registry.specs(calls.tools),
            server_tools=server_tools,
            form=self._form,
            interrupts=interrupts,
            journal=journal,
            share=share,
        )
        self._compactor = Compactor(
            facts=facts,
            budget=budget,
            max_tokens=max_tokens,
            caller=self._caller,
            journal=journal,
        )
        self._compactor.take_up()
        self._news: list[UserMessageAdded] = []

    @property
    def _state(self) -> ConversationState:
        return self._journal.state.conversation

    def run(self, task: str) -> Conversation:
        """Work on the task until the conversation ends; every way to end is a value."""
        self._say(task, "request")
        return self._until_ended()

    def go_on(self, task: str, *, same_container: bool) -> Conversation:
        """Go on where another process got to and ended. No call is made a second time.

        Args:
            same_container: the sandbox's command server was started again in it.
        """
        if not self._state.asked:
            self._say(task, "request")
        if same_container:
            self.inform(prompts.STARTED_AGAIN)
        return self._until_ended()

    def ask(self, text: str) -> Conversation:
        """One more request of a chat, built on all that was said before."""
        # What happened to the files stays true, whatever becomes of the request.
        self._break_news()
        calls_before = self._state.calls
        self._say(text, "request")
        ended = self._until_ended()
        if isinstance(ended, Interrupted):
            self.inform(prompts.STOPPED)
        if isinstance(ended, Refused):
            # A model that declined goes on declining as long as what it declined stands there.
            self._journal.emit(RequestWithdrawn())
            self._compactor.withdraw()
            if self._state.calls > calls_before:
                self.inform(prompts.DECLINED)
        return ended

    def inform(self, text: str, what: Literal["undone", "note"] = "note") -> None:
        """Tell the model, with the next that it is told."""
        self._news.append(UserMessageAdded(text=text, what=what))

    def _until_ended(self) -> Conversation:
        try:
            self._form.begin()
            ended = self._finish()
            while ended is None:
                ended = self._turn()
            return ended
        except ModelError as error:
            return ModelFailed(message=str(error), cause=type(error).__name__)
        except SandboxError as error:
            return SandboxFailed(message=str(error), cause=type(error).__name__)
        except SignalReceived as signal:
            return Interrupted(signal=signal.name)
        except BudgetReached as over:
            return over.limit
        except TimeUp:
            return self._budget.out_of_time()

    def _finish(self) -> Conversation | None:
        """Do what is left of a turn that another process was in the middle of."""
        turn, running = self._state.turn, self._state.running
        if turn is None:
            return None
        if running is not None:
            self._calls.doubt(running, prompts.IN_DOUBT)
            # What comes after it may rest on it.
            self._skip("stopped", prompts.NOT_REACHED)
        return self._take(turn.reply)

    def _turn(self) -> Conversation | None:
        # News count in what is to be fitted in.
        self._break_news()
        self._compactor.fit()
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
            if not self._state.window.is_less:
                raise
            return ended
        except ModelRefusedRequest as error:
            # It may say in unknown words that the conversation is too long: a shorter one tells.
            if self._compactor.nearly_full() and self._overflow(str(error)) is None:
                return None
            raise
        if is_said(reply):
            self._compactor.answered(reply.usage)
        return self._take(reply)

    def _take(self, reply: Reply) -> Conversation | None:
        """Act on a reply; its first calls may have their results already."""
        match reply.stop:
            case StopReason.TOOL_USE | StopReason.END_TURN | StopReason.STOP_SEQUENCE:
                return self._answer(reply)
            case StopReason.MAX_TOKENS:
                self._skip("torn", prompts.TORN)
                return self._vain("its answers are cut off", self._form.cut_off(reply))
            case StopReason.PAUSE_TURN:
                self._skip("torn", prompts.UNRUN)
                if worked(reply):
                    # Sent back as it came, for the provider's own tools to go on; newer models
                    # take no other answer of theirs as the last message.
                    return None
                nudge = None if uses_of(reply) else prompts.ASK_AFTER_PAUSE
                return self._vain("the service paused its answer again and again", nudge)
            case StopReason.REFUSAL:
                words = words_of(reply) or reply.detail or "no reason given"
                return Refused(message=words)
            case StopReason.CONTEXT_WINDOW | StopReason.COMPACTION:
                return self._overflow("the conversation has filled it")
            case _:
                assert_never(reply.stop)

    def _overflow(self, detail: str) -> Conversation | None:
        """Go on with less, where there is something to leave out."""
        if self._compactor.overflowed():
            return None
        return LimitReached(limit=RunLimit.CONTEXT, detail=detail)

    def _answer(self, reply: Reply) -> Conversation | None:
        uses = uses_of(reply)
        if uses and reply.stop is StopReason.TOOL_USE:
            return self._make()
        if uses:
            self._skip("torn", prompts.UNRUN)
            return self._vain("it asks for tools and does not wait for them", None)
        if reply.stop is StopReason.TOOL_USE:
            return self._vain("it stops for tools and asks for none", prompts.NO_CALLS)
        words = words_of(reply)
        if not words:
            return self._vain("its answers are empty", prompts.ASK_FOR_ANSWER)
        missed = self._form.missed_call(words, self._calls.tools)
        if missed is None:
            return Finished(message=words)
        return self._vain(missed.reason, missed.nudge)

    # -- the calls of a turn ---------------------------------------------------------------

    def _make(self) -> Conversation | None:
        """Make the calls of one turn that have no result yet, in order."""
        notes: list[str] = []
        ended: Conversation | None = None
        for use in self._state.unanswered:
            ended = ended or self._cut_off()
            if ended is not None:
                stopped = isinstance(ended, Interrupted)
                self._calls.skip(use, "stopped", prompts.NOT_MADE if stopped else prompts.NOT_RUN)
                continue
            try:
                self._calls.make(use, left_s=self._budget.left_s)
            except SignalReceived as signal:
                ended = Interrupted(signal=signal.name)
                self._calls.broken_off(use, prompts.BROKEN_OFF)
                continue
            match self._state.repetition.found:
                case StopForLoop(reason=reason):
                    ended = GaveUp(reason=reason)
                case WarnOfLoop(words=words):
                    notes.append(words)
                case None:
                    pass
        warning = self._budget.warning()
        if warning is not None:
            notes.append(warning)
        for note in notes:
            self._say(note)
        if ended is None and self._interrupts.requested:
            ended = Interrupted(signal=self._interrupts.name)
        return ended

    def _cut_off(self) -> Conversation | None:
        """What ends the run between two calls."""
        if self._interrupts.requested:
            return Interrupted(signal=self._interrupts.name)
        return self._budget.reached() if self._budget.left_s <= 0 else None

    def _skip(self, why: Literal["torn", "stopped"], text: str) -> None:
        """Give calls that are not run their results: providers insist on them."""
        for use in self._state.unanswered:
            self._calls.skip(use, why, text)

    # -- the model -------------------------------------------------------------------------

    def _ask_model(self) -> Reply:
        # A turn that the service paused must stay the last message.
        if isinstance(self._state.history[-1], UserMessage):
            restated = self._compactor.restated()
            if restated is not None:
                self.inform(restated)
                self._break_news()
        try:
            return self._asked()
        except ModelTooLong:
            raise
        except ModelRefusedRequest as error:
            if not (self._form.refused(error) or self._withdraw_images()):
                raise
        return self._asked()

    def _asked(self) -> Reply:
        return self._caller.turn(self._compactor.messages(), max_tokens=self._compactor.max_tokens)

    def _withdraw_images(self) -> bool:
        """What is no image, or is too large, must not end a run. False: nothing shows one now."""
        if not images_in(self._state.history[-1:]):
            return False
        self._journal.emit(ImagesWithdrawn(text=prompts.NOT_TAKEN))
        return True

    # -- what is said ----------------------------------------------------------------------

    def _say(self, text: str, what: Literal["request", "note"] = "note") -> None:
        self._journal.emit(UserMessageAdded(text=text, what=what))

    def _break_news(self) -> None:
        """Tell the model what happened to its sandbox, in the last message before it answers."""
        for said in self._news:
            self._journal.emit(said)
        self._news.clear()

    def _vain(self, reason: str, nudge: str | None) -> Conversation | None:
        """After an answer without substance: end after several, else go on with a nudge."""
        in_vain = self._state.in_vain
        if in_vain >= _IN_A_ROW:
            return GaveUp(reason=f"{reason} ({in_vain} in a row)")
        if nudge is not None:
            self._say(nudge)
        return None
