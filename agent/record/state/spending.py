"""What a run has used of its budget, as its events tell it."""

from dataclasses import dataclass, field, replace

from agent.models.interface import Usage
from agent.record.events.kinds import Recorded
from agent.record.events.messages import HistorySummarised
from agent.record.events.model_turns import ModelReplied, ReplyDiscarded


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpent:
    """What was used so far."""

    turns: int = 0
    used: Usage = field(default_factory=Usage)
    last: Usage = field(default_factory=Usage)
    """Of the newest reply."""
    usd: float | None = None
    """What `used` cost; None where the model's price is not known."""


def spend(spent: BudgetSpent, event: Recorded) -> BudgetSpent:
    """What was used after one more event."""
    match event:
        case ModelReplied():
            return BudgetSpent(
                turns=event.turn, used=event.used, last=event.reply.usage, usd=event.usd
            )
        case ReplyDiscarded() | HistorySummarised():
            return replace(spent, used=event.used, usd=event.usd)
        case _:
            return spent
