"""A second opinion, had: a small conversation of its own, in a fresh container with the patch.

asked ─► looks into files, read-only ─► answers by the one form, or is told what does not fit

Owns its bounds: turns, looks, answers that do not fit. Whatever goes wrong ends in no opinion and
says why; nothing of it ends a run. It costs from the run's own budget, and each step of it is told
in events of its own kinds. Refuses to know what follows from an opinion
(`agent.review.opinion.conclusion`).
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from time import monotonic

from agent.conversation.budget import BYTES_A_TOKEN, Budget, BudgetReached, TokensNeeded
from agent.conversation.model_calls import ModelCaller
from agent.conversation.run_share import RunShare
from agent.conversation.tool_calls import ToolExecutor
from agent.conversation.tool_form import ToolFormChoice
from agent.conversation.window import bytes_of
from agent.errors import ModelError, ModelRefusedRequest
from agent.interrupts import Interrupts, SignalReceived, TimeUp
from agent.models.interface import (
    Message,
    Model,
    Reply,
    StopReason,
    ToolResult,
    ToolUse,
    UserMessage,
    uses_of,
    words_of,
)
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.record import outcome as outcomes
from agent.record.conversation_state import IMAGE_GONE
from agent.record.events.conversation import UserMessageAdded
from agent.record.events.lifecycle import ReviewStarted
from agent.record.journal import Journal
from agent.record.outcome import Conversation
from agent.record.summary import DeliveredPatch
from agent.review.opinion.form import GIVE_OPINION, TOOL, OpinionArguments, placed
from agent.review.opinion.material import ReviewMaterial, material
from agent.review.opinion.recorder import ReviewRecorder
from agent.risk.opinion import NoOpinion, Opinion, SecondOpinion
from agent.tools import registry
from agent.tools.interface import MalformedError
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.verification import NotAsked
from policies.decision import nobody_to_ask
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.errors import SandboxError
from sandbox.patch.values import Change

TOOLS = ("read_file", "list_dir", "search_files")
"""What a reviewer may use, as far as the policy lets these be used at all."""
_TURNS = 20
_CALLS = 60
_CALLS_A_TURN = 12
_CORRECTIONS = 3
"""So many answers that do not fit are told so; after one more there is no opinion."""
_ANSWER_TOKENS = 16_000
_OUTPUT_BYTES = 24 << 10
"""Of one result, at most."""

_ASK = f"That is no opinion: call {GIVE_OPINION} once, by itself. Text is not read."
_ALONE = f"Nothing was taken: call {GIVE_OPINION} once, and no other tool beside it."
_ENOUGH = f"No more looks: call {GIVE_OPINION} now, by what you have seen."
_LAST = f"This is your last turn: call {GIVE_OPINION} now, or there is no opinion of yours."
_NO_IMAGES = "[Images are not shown to a reviewer.]"


class _NoOpinion(Exception):
    """There is none; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """Who gives a second opinion, made ready before the run."""

    model: Model
    facts: ModelInfo = UNKNOWN
    share: RunShare | None = None
    """Its part in what the runs of a batch share; None: the run is alone."""


def asked(
    box: SandboxProtocol,
    delivery: DeliveredPatch,
    ended: Conversation,
    *,
    task: str,
    policy: Policy,
    reviewer: Reviewer,
    budget: Budget,
    interrupts: Interrupts,
    journal: Journal,
) -> SecondOpinion:
    """Ask for an opinion of a run's patch.

    Args:
        box: the run's; the reviewer gets a fresh one of it.
        ended: how the agent's conversation did.
        task: empty in a chat.
        policy: the run's, as it holds inside.
        budget: the run's; what the reviewer uses is counted in it.

    Raises:
        SignalReceived: it was broken off.
    """
    limits = replace(policy.limits, output_bytes=min(policy.limits.output_bytes, _OUTPUT_BYTES))
    own = tuple(name for name in TOOLS if name in policy.tools)
    policy = replace(policy, tools=own, server_tools=(), limits=limits)
    beside = budget.beside(turns=_TURNS, prices=reviewer.facts.prices)
    priced = budget.is_priced and beside.is_priced
    cause = ""
    try:
        said = material(
            delivery,
            task=task or "\n\n".join(journal.state.conversation.orders),
            last_words=outcomes.detail(ended),
            verification=journal.state.verification or NotAsked(),
            tools=own,
        )
        journal.quietly(
            ReviewStarted(
                model=reviewer.model.name,
                patch_sha256=delivery.sha256,
                shown_bytes=len(said.question.encode("utf-8", "replace")),
                unshown=said.unshown,
            )
        )
        with interrupts.immediate():
            fresh = box.fresh()
        with closing(fresh):
            with interrupts.immediate():
                fresh.apply(delivery.patch)
            asking = _Review(
                fresh,
                said,
                reviewer=reviewer,
                policy=policy,
                budget=beside,
                interrupts=interrupts,
                recorder=ReviewRecorder(journal, priced=priced),
            )
            return asking.opinion(delivery.patch.changes)
    except _NoOpinion as none:
        reason = str(none)
    except ModelError as error:
        reason, cause = f"the reviewer can't be asked: {error}", type(error).__name__
    except SandboxError as error:
        reason, cause = f"its container failed: {error}", type(error).__name__
    except BudgetReached as over:
        reason = f"the run's budget is used up: {over.limit.detail}"
    except TimeUp:
        reason = f"the run's time is used up: {beside.out_of_time().detail}"
    finally:
        budget.settle(beside)
    return NoOpinion(model=reviewer.model.name, reason=reason, cause=cause)


class _Review:
    """One conversation with one reviewer. Mutable."""

    def __init__(
        self,
        box: SandboxProtocol,
        said: ReviewMaterial,
        *,
        reviewer: Reviewer,
        policy: Policy,
        budget: Budget,
        interrupts: Interrupts,
        recorder: ReviewRecorder,
    ) -> None:
        self._box = box
        self._said = said
        self._reviewer = reviewer
        self._budget = budget
        self._interrupts = interrupts
        # A history of its own: nothing of it is the agent's.
        self._journal = Journal(record=None, show=recorder.show, interrupts=interrupts)
        self._calls = ToolExecutor(
            box=box,
            policy=policy,
            approve=nobody_to_ask,
            interrupts=interrupts,
            journal=self._journal,
        )
        if reviewer.share is not None:
            reviewer.share.lead(reviewer.model)
        # In text only where the operator says so, or the service takes no tools: with a mark of its
        # own then. Nothing that merely looks like a call is one.
        self._form = ToolFormChoice(
            setting=reviewer.facts.tool_form, model=reviewer.model.name, journal=self._journal
        )
        self._caller = ModelCaller(
            model=reviewer.model,
            form=self._form,
            budget=budget,
            system=said.system,
            tools=registry.specs({**self._calls.tools, TOOL.name: TOOL}),
            server_tools=(),
            interrupts=interrupts,
            journal=self._journal,
            share=reviewer.share,
        )
        facts = reviewer.facts
        self._answer_tokens = min(_ANSWER_TOKENS, facts.output_tokens or _ANSWER_TOKENS)
        self._counted = 0
        self._misfits = 0

    def opinion(self, changes: Sequence[Change]) -> Opinion:
        """Raises: _NoOpinion, ModelError, SandboxError, BudgetReached, TimeUp, SignalReceived."""
        begun = monotonic()
        self._form.begin()
        self._journal.emit(UserMessageAdded(text=self._said.question, what="request"))
        while (given := self._answered(self._turn())) is None:
            pass
        return Opinion(
            model=self._reviewer.model.name,
            verdict=given.verdict,
            reason=given.reason,
            concerns=tuple(placed(given.concerns, changes, self._box)),
            missed=tuple(given.missed),
            unshown=self._said.unshown,
            seconds=round(monotonic() - begun, 3),
        )

    def _turn(self) -> Reply:
        if self._interrupts.requested:
            raise SignalReceived(self._interrupts.name)
        if self._budget.turns >= _TURNS:
            raise _NoOpinion(f"the reviewer gave none in {_TURNS} turns")
        if self._budget.turns == _TURNS - 1:
            self._journal.emit(UserMessageAdded(text=_LAST))
        messages = tuple(self._messages())
        self._expect(messages)
        limit = self._budget.reached()
        if limit is not None:
            raise BudgetReached(limit)
        try:
            reply = self._caller.turn(messages, max_tokens=self._answer_tokens)
        except ModelRefusedRequest as error:
            if not self._form.refused(error):
                raise
            reply = self._caller.turn(messages, max_tokens=self._answer_tokens)
        self._counted = bytes_of(messages)
        return reply

    def _expect(self, messages: tuple[Message, ...]) -> None:
        """What the next request will need: all of the first one is new."""
        last = self._journal.state.spent.last
        known = last.all_input + last.output_tokens if self._budget.turns else 0
        size = bytes_of(messages)
        new = int((size - self._counted) / BYTES_A_TOKEN)
        most = int(size / BYTES_A_TOKEN)
        self._budget.expect(TokensNeeded(known=known, new=new, certain=known + new // 2, most=most))

    def _messages(self) -> Iterator[Message]:
        """The history, with what tools gave as data."""
        for message in self._journal.state.conversation.history:
            if not isinstance(message, UserMessage):
                yield message
                continue
            blocks = (
                replace(block, text=self._data(block)) if isinstance(block, ToolResult) else block
                for block in message.blocks
            )
            yield UserMessage(blocks=tuple(blocks))

    def _data(self, result: ToolResult) -> str:
        return self._said.wrapped("result", result.text.replace(IMAGE_GONE, _NO_IMAGES))

    def _answered(self, reply: Reply) -> OpinionArguments | None:
        """The opinion in a reply; None: it is asked again, with what there is to say to it."""
        match reply.stop:
            case StopReason.TOOL_USE if uses_of(reply):
                return self._called(uses_of(reply))
            case StopReason.REFUSAL:
                words = reply.detail or words_of(reply) or "no reason given"
                raise _NoOpinion(f"the reviewer declined: {words[:500]}")
            case StopReason.CONTEXT_WINDOW | StopReason.COMPACTION:
                raise _NoOpinion("the review has filled the reviewer's context window")
            case _:
                for use in uses_of(reply):
                    self._calls.skip(use, "torn", "Nothing ran: the answer was not a whole one.")
                self._misfit("it did not answer by the form")
                self._journal.emit(UserMessageAdded(text=_ASK))
                return None

    def _called(self, uses: list[ToolUse]) -> OpinionArguments | None:
        opinions = [use for use in uses if use.name == GIVE_OPINION]
        if len(uses) == 1 and opinions:
            return self._decoded(uses[0])
        if opinions:
            self._misfit("it gave an opinion beside other calls")
        for position, use in enumerate(uses):
            if self._interrupts.requested:
                raise SignalReceived(self._interrupts.name)
            if use.name == GIVE_OPINION:
                self._calls.skip(use, "malformed", _ALONE)
            elif position >= _CALLS_A_TURN or self._journal.state.conversation.calls >= _CALLS:
                self._calls.skip(use, "stopped", _ENOUGH)
            else:
                self._calls.make(use, left_s=self._budget.left_s)
        return None

    def _decoded(self, use: ToolUse) -> OpinionArguments | None:
        try:
            if use.problem is not None:
                raise MalformedError(f"Nothing was taken: {use.problem}")
            return TOOL.decode(use.arguments)
        except MalformedError as error:
            self._calls.skip(use, "malformed", str(error))
            self._misfit("its opinion does not fit the form")
            return None

    def _misfit(self, what: str) -> None:
        self._misfits += 1
        if self._misfits > _CORRECTIONS:
            raise _NoOpinion(f"{what}, {self._misfits} times")
