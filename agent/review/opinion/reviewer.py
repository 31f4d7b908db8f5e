"""Who gives a second opinion, made ready before the run."""

from typing import TYPE_CHECKING

from agent.models.interface import Model
from agent.models.pricing import UNKNOWN, ModelInfo
from policies.frozen import dataclass

if TYPE_CHECKING:
    from agent.conversation.run_share import RunShare


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    model: Model
    facts: ModelInfo = UNKNOWN
    share: "RunShare | None" = None
    """Its part in what the runs of a batch share; None: the run is alone."""
