"""One run's part in what all runs of a batch share: their money, and the rate of its model.

Owns how a run waits for the others: without its own time passing, and no longer than until a
signal, or the end of the batch's time. Refuses to know how money is shared out (`shared_budget`)
and how a rate is found (`agent.models.rate_limit`).

A call gets its money first and is admitted to its service then, never the other way round: who
waits for money holds nothing that another one waits for.
"""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Protocol, runtime_checkable

from agent.conversation.budget import Budget, BudgetReached, Stopwatch
from agent.conversation.shared_budget import BatchBudget, BatchUsed, Reservation
from agent.interrupts import Interrupts, SignalReceived
from agent.models.interface import CallCost, Model
from agent.models.rate_limit import RequestRate
from agent.models.request_gate import RequestGate
from agent.record.outcome import LimitReached

_GLANCE_S = 0.25


@runtime_checkable
class _Gated(Protocol):
    """A model that asks a service."""

    def request_through(self, gate: RequestGate, /) -> None: ...


class RunShare:
    """One run's part in a batch's budget and rates. For one thread at a time."""

    def __init__(
        self,
        *,
        interrupts: Interrupts,
        budget: BatchBudget | None = None,
        rate: RequestRate | None = None,
    ) -> None:
        """Args:
        interrupts: the run's own, to which other threads tell a signal.
        budget: None: the batch has none.
        rate: of the run's model; None: its requests are made as a run alone makes them.
        """
        self._interrupts = interrupts
        self.budget = budget
        """The batch's; None: it has none."""
        self._gate = None if rate is None else RequestGate(rate, self)
        self._stopped: Callable[[], AbstractContextManager[None]] = nullcontext

    def lead(self, model: Model) -> None:
        """Let the model's requests be made at the rate of all; one that asks no service makes
        none."""
        if self._gate is not None and isinstance(model, _Gated):
            model.request_through(self._gate)

    def stop_in_waits(self, clock: Stopwatch) -> None:
        """Let the run's clock stand still while it waits for others."""
        self._stopped = clock.stopped

    # -- waiting, as `agent.models.request_gate.SharedWait` ---------------------------------

    def stopped(self) -> AbstractContextManager[None]:
        return self._stopped()

    def broken_off(self) -> bool:
        over = None if self.budget is None else self.budget.out_of_time()
        return self._interrupts.requested or over is not None

    def end(self) -> None:
        if self._interrupts.requested:
            raise SignalReceived(self._interrupts.name)
        over = None if self.budget is None else self.budget.out_of_time()
        if over is not None:
            raise BudgetReached(over)

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            self.end()
            time.sleep(min(left_s, _GLANCE_S))
        self.end()

    # -- money -----------------------------------------------------------------------------

    @contextmanager
    def paid(self, own: Budget, answer_tokens: int) -> Generator["PaidCall"]:
        """Inside, one call is paid for, which `own` counts when it is made.

        Raises:
            BudgetReached: what is left does not pay for it, or the batch's time is over.
            SignalReceived: the wait for others was broken off.
        """
        call = PaidCall(self, own, own.worst(answer_tokens))
        try:
            yield call
        finally:
            call.settle()

    def reserve(self, cost: CallCost) -> Reservation | None:
        """Raises: as `paid`."""
        if self.budget is None:
            return None
        with self.stopped():
            reserved = self.budget.reserve(cost, self.broken_off)
        match reserved:
            case LimitReached():
                raise BudgetReached(reserved)
            case None:
                self.end()
                raise AssertionError("a wait that is broken off says why")
            case Reservation():
                return reserved

    def settle(self, reservation: Reservation, billed: BatchUsed) -> None:
        if self.budget is not None:
            self.budget.settle(reservation.number, billed.usd, billed.tokens)

    @property
    def in_flight(self) -> bool | None:
        """Whether the call that was just broken off had reached the service; None: this run makes
        its requests alone, and knows itself."""
        return None if self._gate is None else self._gate.in_flight


class PaidCall:
    """One reply's money, over all requests that are made for it."""

    def __init__(self, share: RunShare, own: Budget, cost: CallCost) -> None:
        self._share = share
        self._own = own
        self._reservation = share.reserve(cost)
        held = self._reservation
        self.answer_tokens = cost.answer_tokens if held is None else held.answer_tokens
        self._cost = replace(
            cost, answer_tokens=self.answer_tokens, least_answer_tokens=self.answer_tokens
        )
        self._counted = self._billed()

    def again(self) -> None:
        """Another request is made for the reply: if the last one was billed, it is paid for anew.

        Raises: as `RunShare.paid`.
        """
        if self._reservation is not None and self._billed() != self._counted:
            self.settle()
            self._reservation = self._share.reserve(self._cost)

    def settle(self) -> None:
        reservation, self._reservation = self._reservation, None
        before, self._counted = self._counted, self._billed()
        if reservation is not None:
            billed = BatchUsed(
                usd=self._counted.usd - before.usd, tokens=self._counted.tokens - before.tokens
            )
            self._share.settle(reservation, billed)

    def _billed(self) -> BatchUsed:
        used = self._own.used
        return BatchUsed(usd=self._own.usd or 0.0, tokens=used.all_input + used.output_tokens)
