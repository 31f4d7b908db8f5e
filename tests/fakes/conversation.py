"""A conversation in a fake box: what the tests of the loop drive and look at."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from agent.conversation.budget import Budget
from agent.conversation.loop import AgentLoop
from agent.conversation.resume_state import ResumeState
from agent.conversation.run_share import RunShare
from agent.conversation.tool_calls import ImageStore, ToolExecutor
from agent.interrupts import Interrupts
from agent.models.interface import Model
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.record.events.conversation import CallEnded, CallRefused, UserMessageAdded
from agent.record.events.kinds import Event
from agent.record.journal import Journal
from agent.record.outcome import Conversation
from agent.record.run_state import RunState
from fakes.box import TmpBox
from fakes.records import FoldedTwin
from policies.decision import Approve, nobody_to_ask
from policies.policy import Policy


@dataclass
class FakeConversation:
    """One conversation: `on` runs it, the rest is what came of it."""

    box: TmpBox
    policy: Policy
    approve: Approve = nobody_to_ask
    interrupts: Interrupts = field(default_factory=Interrupts)
    log: list[Event] = field(default_factory=list)
    image_store: ImageStore | None = None
    also: Callable[[Event], None] = lambda event: None
    facts: ModelInfo = UNKNOWN
    max_tokens: int = 1000
    share: RunShare | None = None
    past: ResumeState | None = None
    """What another process did of it."""

    def on(self, model: Model, task: str = "mend it") -> Conversation:
        self.loop = self.made(model)
        return self.loop.run(task)

    def made(self, model: Model, *, system: str = "be careful") -> AgentLoop:
        """A loop that was not begun."""
        before = self.past.state if self.past is not None else RunState()
        self.budget = Budget(
            self.policy,
            before=before.spent,
            prices=self.facts.prices,
            batch=None if self.share is None else self.share.budget,
        )
        if self.share is not None:
            self.share.lead(model)
        images = self.image_store or ImageStore(None)
        self.journal = Journal(
            record=None,
            show=self._show,
            interrupts=self.interrupts,
            recall=images.recall,
            state=before,
        )
        self._twin = FoldedTwin(state=before)
        return AgentLoop(
            model=model,
            calls=ToolExecutor(
                box=self.box,
                policy=self.policy,
                approve=self.approve,
                interrupts=self.interrupts,
                journal=self.journal,
                image_store=images,
            ),
            budget=self.budget,
            system=system,
            server_tools=self.policy.server_tools,
            max_tokens=self.max_tokens,
            interrupts=self.interrupts,
            journal=self.journal,
            facts=self.facts,
            share=self.share,
        )

    def _show(self, event: Event, _line: str | None) -> None:
        self.log.append(event)
        self.also(event)
        self._twin.take(event, self.journal.state)

    def refused(self) -> list[CallRefused]:
        return [event for event in self.log if isinstance(event, CallRefused)]

    def ended(self) -> list[CallEnded]:
        return [event for event in self.log if isinstance(event, CallEnded)]

    def said(self) -> list[str]:
        return [event.text for event in self.log if isinstance(event, UserMessageAdded)]


def with_budget(policy: Policy, *, usd: float | None = None, **budget: int) -> Policy:
    return replace(policy, budget=replace(policy.budget, usd=usd, **budget))
