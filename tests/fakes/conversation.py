"""A conversation in a fake box: what the tests of the loop drive and look at."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from agent.conversation.approval import Approve, nobody_to_ask
from agent.conversation.budget import Budget
from agent.conversation.loop import AgentLoop
from agent.conversation.tool_calls import ToolExecutor
from agent.interrupts import Interrupts
from agent.models.interface import Model
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.record.events.types import CallEnded, CallRefused, Event, UserMessageAdded
from agent.record.images import ImageStore
from agent.record.outcome import Conversation
from fakes.box import TmpBox
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

    def on(self, model: Model, task: str = "mend it") -> Conversation:
        self.loop = self.made(model)
        return self.loop.run(task)

    def made(self, model: Model, *, system: str = "be careful") -> AgentLoop:
        """A loop that was not begun."""
        self.budget = Budget(self.policy, prices=self.facts.prices)
        return AgentLoop(
            model=model,
            calls=ToolExecutor(
                box=self.box,
                policy=self.policy,
                approve=self.approve,
                interrupts=self.interrupts,
                emit=self._emit,
                image_store=self.image_store,
            ),
            budget=self.budget,
            system=system,
            server_tools=self.policy.server_tools,
            max_tokens=self.max_tokens,
            interrupts=self.interrupts,
            emit=self._emit,
            facts=self.facts,
        )

    def _emit(self, event: Event) -> None:
        self.log.append(event)
        self.also(event)

    def refused(self) -> list[CallRefused]:
        return [event for event in self.log if isinstance(event, CallRefused)]

    def ended(self) -> list[CallEnded]:
        return [event for event in self.log if isinstance(event, CallEnded)]

    def said(self) -> list[str]:
        return [event.text for event in self.log if isinstance(event, UserMessageAdded)]


def with_budget(policy: Policy, *, usd: float | None = None, **budget: int) -> Policy:
    return replace(policy, budget=replace(policy.budget, usd=usd, **budget))
