"""What a run has used of its limits, checked before each call to the model, and of its time.

A dollar budget is kept by counting what the next call costs before it is made: its input at the
price of the cache where the cache can still hold it, what is new of it at the price of writing it
there, and then no longer an answer than what is left pays for. It can be overshot only by what the
service does against its own word: by writing anew what it should have read from its cache, by
tokens that `TokensNeeded` estimates too low, and by what it bills for an answer that broke off and
did not say so.

A service may count nothing, or less than can be. Then its tokens are estimated, by what was sent
and what came, so that the budgets of tokens hold; in dollars such an answer costs the most that it
was allowed to have.
Time is that of the agent, not that in which a chat waits for its person.
"""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.models.interface import CallCost, Usage
from agent.models.pricing import Prices
from agent.record.events.kinds import BudgetUsed
from agent.record.outcome import LimitReached, RunLimit
from agent.record.run_state import BudgetSpent
from policies.frozen import dataclass
from policies.policy import Policy

if TYPE_CHECKING:
    from agent.conversation.shared_budget import BatchBudget


class Stopwatch:
    """Seconds of work so far, by calling it. Mutable: there is one to a run."""

    def __init__(
        self, *, before_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._begun = clock() - before_s
        self._stopped: float | None = None

    def __call__(self) -> float:
        stopped = self._stopped
        return (self._clock() if stopped is None else stopped) - self._begun

    @contextmanager
    def stopped(self) -> Generator[None]:
        """Inside, no time passes, for other threads too."""
        if self._stopped is not None:
            yield
            return
        self._stopped = stopped = self._clock()
        try:
            yield
        finally:
            # In this order: whoever looks in between sees less time, and never a later one.
            self._begun += self._clock() - stopped
            self._stopped = None


_LAST_TURNS = 3
BYTES_A_TOKEN = 3.0
"""Rather too few: an estimate by it is rather too high."""
LEAST_ANSWER_TOKENS = 512
"""What a call must be able to answer to be worth its input."""
_CACHE_LIVES_S = 300.0
"""How long a cached prefix is kept, by the API's page on prompt caching; a read prolongs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensNeeded:
    """Input of the next call, in tokens."""

    known: int = 0
    """Those that the service has seen before, and counted."""
    new: int = 0
    """An estimate of the others, rather too high."""
    certain: int = 0
    """What it will have at the very least."""
    most: int = 0
    """What is set aside for it, if that is more than the others together: by its size, where what
    the service counted so far may have been too little."""


class BudgetReached(Exception):
    """What is left does not pay for another call, or for the wait before it."""

    def __init__(self, limit: LimitReached) -> None:
        super().__init__(limit)
        self.limit = limit


class Budget:
    """Counts turns, tokens, money and seconds. Mutable: there is one to a run."""

    def __init__(
        self,
        policy: Policy,
        *,
        clock: Callable[[], float] = time.monotonic,
        before: BudgetSpent | None = None,
        before_s: float = 0.0,
        prices: Prices | None = None,
        wall: Callable[[], float] | None = None,
        batch: "BatchBudget | None" = None,
    ) -> None:
        """Args:
        clock: of the run's work, in seconds; it may stand still while a person is waited for.
        before: what was used by a process that ended.
        before_s: how long that one worked.
        wall: the time that passes for others; None: `clock`.
        batch: ends the run's time where it ends before.
        """
        before = before or BudgetSpent()
        self._policy = policy
        self._budget = policy.budget
        self._time_s = policy.limits.time_s
        self._clock = clock
        self._wall = wall or clock
        self._prices = prices
        self._batch = batch
        self._started = clock() - before_s
        self._cached_at: float | None = None
        self._granted = 0
        self._need = _grown(before.last)
        self.turns = before.turns
        self.used = before.used
        self.usd = before.usd
        """None where no price is known."""
        if prices is not None and self.usd is None:
            # Begun without a price: an estimate, as all of it may have been one request or many.
            self.usd = prices.usual.usd(before.used)

    @property
    def is_priced(self) -> bool:
        """What a reply costs is known."""
        return self._prices is not None

    def beside(self, *, turns: int, prices: Prices | None) -> "Budget":
        """For another model in the same run: with turns of its own, and of all else what is left.

        Args:
            prices: the other model's.
        """
        allowed = replace(self._policy.budget, turns=turns)
        return Budget(
            replace(self._policy, budget=allowed),
            clock=self._clock,
            before=BudgetSpent(used=self.used, usd=self.usd),
            before_s=self.elapsed_s,
            prices=prices,
            wall=self._wall,
            batch=self._batch,
        )

    def settle(self, beside: "Budget") -> None:
        """Count what one from `beside` used; in dollars where both models' prices are known."""
        self.used = beside.used
        self.usd = beside.usd if self.is_priced and beside.is_priced else None

    def add(self, usage: Usage, *, came_bytes: int = 0) -> None:
        """Count a reply; `came_bytes` is its size, where the service may not have counted it."""
        self.turns += 1
        self.add_void(usage, came_bytes=came_bytes)
        # The history only grows: the next request has at least this one's tokens, and its answer's.
        self._need = _grown(usage)

    def add_void(self, usage: Usage, *, came_bytes: int = 0) -> None:
        """Count tokens that are billed and in no reply: an answer that broke off, a summary."""
        usd = 0.0 if self._prices is None else self._prices.usd(usage)
        if usage.uncounted_replies:
            sent, came = self._need.known + self._need.new, math.ceil(came_bytes / BYTES_A_TOKEN)
            usage += Usage(
                input_tokens=max(0, sent - usage.all_input),
                output_tokens=max(0, came - usage.output_tokens),
            )
            # What a service does not count is paid for as if it had been all that was allowed.
            usd = max(usd, self._worst_usd())
        self.used += usage
        if self._prices is not None:
            self.usd = (self.usd or 0.0) + usd
        self._cached_at = self._wall()

    def expect(self, need: TokensNeeded) -> None:
        """What the next call will need, where more is known of it than that it grows."""
        self._need = need

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started

    @property
    def left_s(self) -> float:
        left_s = self._time_s - self.elapsed_s
        return max(0.0, left_s if self._batch is None else min(left_s, self._batch.left_s()))

    def output_left(self) -> int:
        return max(0, self._budget.output_tokens - self.used.output_tokens)

    def answer_tokens(self, most: int) -> int:
        """How long the next answer may be, `most` at most; 0 where none is paid for."""
        self._granted = max(0, min(most, self.output_left(), self._affordable(most)))
        return self._granted

    def affords(self, answer_tokens: int) -> bool:
        """Whether the next call is paid for with an answer of this length."""
        return self._affordable(answer_tokens) >= answer_tokens

    def reached(self) -> LimitReached | None:
        """The limit that forbids another call to the model, if one does."""
        budget = self._budget
        if self.turns >= budget.turns:
            return LimitReached(limit=RunLimit.TURNS, detail=f"{self.turns} turns (budget.turns)")
        if self.output_left() <= 0:
            detail = f"{self.used.output_tokens} output tokens used (budget.output_tokens)"
            return LimitReached(limit=RunLimit.OUTPUT_TOKENS, detail=detail)
        needed = self._need.certain
        if self.used.all_input + needed > budget.input_tokens:
            detail = (
                f"{self.used.all_input} input tokens used, the next call needs {needed} or "
                f"more, {budget.input_tokens} allowed (budget.input_tokens)"
            )
            return LimitReached(limit=RunLimit.INPUT_TOKENS, detail=detail)
        if not self.affords(LEAST_ANSWER_TOKENS):
            return self.out_of_money()
        if self.left_s <= 0:
            return self.out_of_time()
        return None

    def worst(self, answer_tokens: int) -> CallCost:
        """What the next call costs at the most."""
        tokens = max(self._need.known + self._need.new, self._need.most)
        least = min(answer_tokens, LEAST_ANSWER_TOKENS)
        input_usd = rate = None
        if self._prices is not None:
            rates = self._prices.rates(tokens)
            dearest = max(rates.input, rates.cache_write, rates.cache_read)
            input_usd, rate = tokens * dearest / 1_000_000, rates.output / 1_000_000
        return CallCost(
            input_tokens=tokens,
            input_usd=input_usd,
            answer_tokens=answer_tokens,
            least_answer_tokens=least,
            usd_per_answer_token=rate,
        )

    def out_of_money(self) -> LimitReached:
        detail = (
            f"${self.usd or 0.0:.4f} used of ${self._budget.usd or 0.0:g} (budget.usd): the next "
            f"call needs ${self._input_usd():.4f} for its input alone"
        )
        return LimitReached(limit=RunLimit.USD, detail=detail)

    def out_of_time(self, *, wait_s: float | None = None) -> LimitReached:
        """`wait_s`: what would have to be waited for the service, and is more than is left."""
        over = None if self._batch is None else self._batch.out_of_time()
        if over is not None:
            return over
        detail = f"{self.elapsed_s:.0f} s of {self._time_s:.0f} s (limits.time)"
        if wait_s is not None:
            detail += f", and the service is to be asked again in {wait_s:.0f} s"
        return LimitReached(limit=RunLimit.TIME, detail=detail)

    def warning(self) -> str | None:
        """What the model should know of what is left, when it is little."""
        left = self._budget.turns - self.turns
        if left == _LAST_TURNS:
            return f"{left} turns are left: finish what matters most, and leave the files working."
        return None

    def reading(self) -> BudgetUsed:
        """For the operator to see."""
        budget = self._budget
        return BudgetUsed(
            turns=self.turns,
            turns_allowed=budget.turns,
            used=self.used,
            usd=self.usd,
            usd_allowed=budget.usd,
            left_s=self.left_s,
        )

    def _input_usd(self) -> float:
        if self._prices is None:
            return 0.0
        need = self._need
        rates = self._prices.rates(need.known + need.new)
        dearest = max(rates.input, rates.cache_write)
        warm = self._cached_at is not None and self._wall() - self._cached_at < _CACHE_LIVES_S
        known = rates.cache_read if warm else dearest
        return (need.known * known + need.new * dearest) / 1_000_000

    def _worst_usd(self) -> float:
        if self._prices is None:
            return 0.0
        rates = self._prices.rates(self._need.known + self._need.new)
        return self._input_usd() + self._granted * rates.output / 1_000_000

    def _affordable(self, most: int) -> int:
        """Tokens of an answer that the rest of the dollar budget pays for."""
        if self._budget.usd is None or self._prices is None:
            return most
        left = self._budget.usd - (self.usd or 0.0) - self._input_usd()
        if left <= 0 and self._prices.usual.output + self._input_usd() > 0:
            return 0
        rate = self._prices.rates(self._need.known + self._need.new).output
        return most if rate <= 0 else min(most, int(left * 1_000_000 / rate))


def _grown(last: Usage) -> TokensNeeded:
    tokens = last.all_input + last.output_tokens
    return TokensNeeded(known=tokens, certain=tokens)
