"""What a run has used of its limits, checked before each call to the model."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.messages import Usage
from agent.outcome import Limit, LimitReached
from policies.policy import Policy

_LAST_TURNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was used of the limits before, by an orchestrator that ended."""

    turns: int = 0
    used: Usage = field(default_factory=Usage)
    last: Usage = field(default_factory=Usage)
    """Of the newest reply."""
    seconds: float = 0.0


class Meter:
    """Counts turns, tokens and seconds. Mutable: there is one to a run."""

    def __init__(
        self,
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        before: Spent | None = None,
    ) -> None:
        before = before or Spent()
        self._budget = policy.budget
        self._time_s = policy.limits.time_s
        self._clock = clock
        self._started = clock() - before.seconds
        self._next_input = _input(before.last) + before.last.output_tokens
        self.turns = before.turns
        self.used = before.used

    def add(self, usage: Usage) -> None:
        self.turns += 1
        self.used = self.used + usage
        # The history only grows: the next request has at least this one's tokens, and its answer's.
        self._next_input = _input(usage) + usage.output_tokens

    def add_void(self, usage: Usage) -> None:
        """Tokens of an answer that broke off: billed, and in no reply."""
        self.used = self.used + usage

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started

    @property
    def left_s(self) -> float:
        return max(0.0, self._time_s - self.elapsed_s)

    def output_left(self) -> int:
        return max(0, self._budget.output_tokens - self.used.output_tokens)

    def reached(self) -> LimitReached | None:
        """The limit that forbids another call to the model, if one does."""
        budget = self._budget
        if self.turns >= budget.turns:
            return LimitReached(limit=Limit.TURNS, detail=f"{self.turns} turns (budget.turns)")
        if self.output_left() <= 0:
            detail = f"{self.used.output_tokens} output tokens used (budget.output_tokens)"
            return LimitReached(limit=Limit.OUTPUT_TOKENS, detail=detail)
        if _input(self.used) + self._next_input > budget.input_tokens:
            detail = (
                f"{_input(self.used)} input tokens used, the next call needs {self._next_input} or "
                f"more, {budget.input_tokens} allowed (budget.input_tokens)"
            )
            return LimitReached(limit=Limit.INPUT_TOKENS, detail=detail)
        if self.left_s <= 0:
            return self.out_of_time()
        return None

    def out_of_time(self) -> LimitReached:
        detail = f"{self.elapsed_s:.0f} s of {self._time_s:.0f} s (limits.time)"
        return LimitReached(limit=Limit.TIME, detail=detail)

    def warning(self) -> str | None:
        """What the model should know of what is left, when it is little."""
        left = self._budget.turns - self.turns
        if left == _LAST_TURNS:
            return f"{left} turns are left: finish what matters most, and leave the files working."
        return None


def _input(usage: Usage) -> int:
    return usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
