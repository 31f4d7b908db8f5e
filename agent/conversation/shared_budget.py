"""What all runs of a batch may use together: dollars, tokens and seconds.

Owns the reservations: before a call is made, the most that it can cost is set aside, and what it
did cost takes that place afterwards. So what is spent and what is set aside never pass the budget
together, unless a service bills against its own word. Refuses to know what a call is, and where the
sums are kept when no process runs.

`BudgetLedger` is pure. `SharedBudget` is the ledger for threads; another process of a batch holds
the same ledger elsewhere, and asks it by `BatchBudget`.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from agent.models.interface import CallCost
from agent.record.outcome import LimitReached, RunLimit
from policies.frozen import dataclass

if TYPE_CHECKING:
    from agent.record.run_state import BudgetSpent

COMFORTABLE_ANSWER_TOKENS = 8192
"""While other calls are under way, whose money may come back, a call waits for room for such an
answer, and is not made with a shorter one: it would be cut off."""
_GLANCE_S = 0.25
"""How often a waiting thread looks whether it is to stop; `SharedBudget.wake` has it look now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchUsed:
    """What a batch has used, or set aside."""

    usd: float = 0.0
    tokens: int = 0
    """Of input, cached or not, and of answers."""
    seconds: float = 0.0
    """In which a process worked on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAllowance:
    """None: as much as may be."""

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    number: int
    """For `BatchBudget.settle`."""
    answer_tokens: int
    """How long the answer may be."""
    usd: float
    tokens: int


class BatchBudget(Protocol):
    """What all runs share of money and time, wherever it is kept. Every method may be called by
    several threads at once, and none of them holds a lock while it waits."""

    def reserve(
        self, cost: CallCost, broken_off: Callable[[], bool]
    ) -> Reservation | LimitReached | None:
        """Set aside what a call may cost, with an answer as long as what is left pays for.

        Waits where only calls under way stand against it: they may cost less than they could.
        Who waits may hold no reservation. None: `broken_off` ended the wait.
        """

    def settle(self, number: int, usd: float, tokens: int) -> None:
        """Put what a call did cost in the place of its reservation."""

    def left_s(self) -> float:
        """Of the batch's time; infinite where it has as much as it takes. Never waits."""

    def out_of_time(self) -> LimitReached | None:
        """Never waits."""


class BudgetLedger:
    """The sums. Mutable; never waits."""

    def __init__(self, allowed: BatchAllowance, used: BatchUsed) -> None:
        self._allowed = allowed
        self._usd = used.usd
        self._tokens = used.tokens
        self._number = 0
        self._set_aside: dict[int, Reservation] = {}

    def ask(self, cost: CallCost) -> Reservation | LimitReached | None:
        """None: to be asked again when a call was settled."""
        if self._allowed.usd is not None and cost.input_usd is None:
            detail = "the batch has a budget in dollars, and the model's price is not known"
            return LimitReached(limit=RunLimit.BATCH_USD, detail=detail)
        least = cost.least_answer_tokens
        reserved = self.reserved
        answer = self._payable(cost, reserved)
        if answer < max(least, min(cost.answer_tokens, COMFORTABLE_ANSWER_TOKENS)):
            if self._payable(cost, BatchUsed()) < least:
                return self._reached(cost)
            if self._set_aside or answer < least:
                return None
        self._number += 1
        made = Reservation(
            number=self._number,
            answer_tokens=answer,
            usd=_usd(cost, answer),
            tokens=cost.input_tokens + answer,
        )
        self._set_aside[made.number] = made
        return made

    def settle(self, number: int, usd: float, tokens: int) -> None:
        if self._set_aside.pop(number, None) is not None:
            self._usd += usd
            self._tokens += tokens

    @property
    def spent(self) -> BatchUsed:
        return BatchUsed(usd=self._usd, tokens=self._tokens)

    @property
    def reserved(self) -> BatchUsed:
        calls = self._set_aside.values()
        return BatchUsed(
            usd=math.fsum(call.usd for call in calls), tokens=sum(call.tokens for call in calls)
        )

    def _payable(self, cost: CallCost, reserved: BatchUsed) -> int:
        """The longest answer that is paid for; below 0 where not even the input is."""
        answer = cost.answer_tokens
        if self._allowed.tokens is not None:
            left = self._allowed.tokens - self._tokens - reserved.tokens - cost.input_tokens
            answer = min(answer, left)
        if self._allowed.usd is not None:
            most = self._allowed.usd - self._usd - reserved.usd
            rate = cost.usd_per_answer_token or 0.0
            if rate > 0:
                answer = min(answer, math.floor((most - _usd(cost, 0)) / rate))
            # The quotient is rounded, and may be rounded up.
            if answer >= 0 and _usd(cost, answer) > most:
                answer -= 1 if rate > 0 else answer + 1
        return answer

    def _reached(self, cost: CallCost) -> LimitReached:
        more = "begin the batch again with a larger one to go on"
        allowed = self._allowed
        needed = cost.input_tokens + cost.least_answer_tokens
        if allowed.tokens is not None and self._tokens + needed > allowed.tokens:
            return LimitReached(
                limit=RunLimit.BATCH_TOKENS,
                detail=f"{self._tokens} of the batch's budget of {allowed.tokens} tokens used, and "
                f"the next call needs up to {needed}: {more}",
            )
        return LimitReached(
            limit=RunLimit.BATCH_USD,
            detail=f"${self._usd:.4f} of the batch's budget of ${allowed.usd or 0.0:g} used, and "
            f"the next call needs up to ${_usd(cost, cost.least_answer_tokens):.4f}: {more}",
        )


class SharedBudget:
    """The budget of a batch for the threads of one process. Calls get their money in the order in
    which they asked for it."""

    def __init__(
        self,
        *,
        usd: float | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
        used: BatchUsed | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        used: by processes that ended: by the runs that are over, and by those that are taken up,
            as their records say it. Each of them settles what comes on top of that.
        """
        used = used or BatchUsed()
        self.allowed = BatchAllowance(usd=usd, tokens=tokens, seconds=seconds)
        self._ledger = BudgetLedger(self.allowed, used)
        self._clock = clock
        self._began = clock() - used.seconds
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    def reserve(
        self, cost: CallCost, broken_off: Callable[[], bool]
    ) -> Reservation | LimitReached | None:
        place = object()
        with self._changed:
            self._queue.append(place)
            try:
                while not broken_off():
                    over = self.out_of_time()
                    if over is not None:
                        return over
                    if self._queue[0] is place:
                        answer = self._ledger.ask(cost)
                        if answer is not None:
                            return answer
                    self._changed.wait(_GLANCE_S)
                return None
            finally:
                self._queue.remove(place)
                self._changed.notify_all()

    def settle(self, number: int, usd: float, tokens: int) -> None:
        with self._changed:
            self._ledger.settle(number, usd, tokens)
            self._changed.notify_all()

    def left_s(self) -> float:
        allowed_s = self.allowed.seconds
        return math.inf if allowed_s is None else max(0.0, allowed_s - self._elapsed_s())

    def out_of_time(self) -> LimitReached | None:
        allowed_s = self.allowed.seconds
        if allowed_s is None or self.left_s() > 0:
            return None
        detail = (
            f"{self._elapsed_s():.0f} s of the batch's {allowed_s:.0f} s are over: begin the batch "
            "again with more to go on"
        )
        return LimitReached(limit=RunLimit.BATCH_TIME, detail=detail)

    def _elapsed_s(self) -> float:
        return self._clock() - self._began

    def wake(self) -> None:
        """Have every waiting thread look at once whether it is to stop."""
        with self._changed:
            self._changed.notify_all()

    @property
    def spent(self) -> BatchUsed:
        """What was used, without what is under way."""
        with self._changed:
            spent = self._ledger.spent
        return BatchUsed(usd=spent.usd, tokens=spent.tokens, seconds=max(0.0, self._elapsed_s()))

    @property
    def reserved(self) -> BatchUsed:
        """What is set aside for calls under way."""
        with self._changed:
            return self._ledger.reserved


def used_by(runs: "Iterable[BudgetSpent]") -> BatchUsed:
    """What runs have used by their records: those that are over and those that are taken up."""
    spent = tuple(runs)
    return BatchUsed(
        usd=math.fsum(run.usd or 0.0 for run in spent),
        tokens=sum(run.used.all_input + run.used.output_tokens for run in spent),
    )


def _usd(cost: CallCost, answer_tokens: int) -> float:
    return (cost.input_usd or 0.0) + answer_tokens * (cost.usd_per_answer_token or 0.0)
