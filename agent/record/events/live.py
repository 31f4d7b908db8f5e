"""Events for the screen only: none has a line in the record; what they show is in a later one."""

from agent.models.interface import Usage
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is being prepared."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """A piece of the model's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPiece:
    """A piece of the model's summary of its thinking."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDiscarded:
    """The stream broke; the pieces since the last reply are void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPiece:
    """Output of a running command."""

    stream: str
    """``stdout`` or ``stderr``."""
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUsed:
    """What is used of the budget, and allowed of it, after a reply."""

    turns: int
    turns_allowed: int
    used: Usage
    input_allowed: int
    output_allowed: int
    usd: float | None
    usd_allowed: float | None
    left_s: float


Live = Progress | TextPiece | ThinkingPiece | TextDiscarded | OutputPiece | BudgetUsed
