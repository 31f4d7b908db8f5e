"""A run's way to the desk of its batch: budget, rate, and what it is told while it goes on.

Owns how a blocking caller waits for a desk that never blocks, and gives up waiting. By which means
the desk is asked is a `DeskLink`'s to know.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Protocol, cast

from agent.batch.board import Board
from agent.batch.engines.cluster.desk import RunProgress
from agent.batch.thread_interrupts import ThreadInterrupts
from agent.conversation.shared_budget import (
    BatchAllowance,
    BatchUsed,
    Reservation,
    SharedBudget,
)
from agent.errors import RecordError
from agent.models.interface import CallCost
from agent.models.rate_limit import RequestEnd, ServiceHealth
from agent.record.outcome import LimitReached
from sandbox.threads import Background


class DeskLink(Protocol):
    """Asks a `BatchDesk` that is elsewhere. For any number of threads."""

    def ask(self, method: str, *values: object, until: Callable[[], bool] | None = None) -> object:
        """What a method of the desk gives; None where `until` ended the wait.

        Raises:
            RecordError: there is no desk any more, for the batch's own process has ended.
        """

    def tell(self, method: str, *values: object) -> None:
        """The same, of what gives nothing; in order with what the same thread asks."""


class RemoteBudget:
    """A `BatchBudget`: the sums are the desk's, the time is measured here.

    Where neither dollars nor tokens are bounded nothing is asked: the desk is told what was billed.
    """

    def __init__(self, link: DeskLink, run: str, allowed: BatchAllowance, elapsed_s: float) -> None:
        """`elapsed_s`: of the batch's time, at this moment."""
        self._link = link
        self._run = run
        self._numbers = count()
        used = BatchUsed(seconds=elapsed_s)
        time = SharedBudget(seconds=allowed.seconds, used=used)
        self.out_of_time, self.left_s = time.out_of_time, time.left_s
        self._unbounded = time if (allowed.usd, allowed.tokens) == (None, None) else None

    def reserve(
        self, cost: CallCost, broken_off: Callable[[], bool]
    ) -> Reservation | LimitReached | None:
        if self._unbounded is not None:
            return self._unbounded.reserve(cost, broken_off)
        over = self.out_of_time()
        if over is not None:
            return over
        ticket = (self._run, next(self._numbers))
        got = self._link.ask("reserve", ticket, cost, until=broken_off)
        if got is None:
            self._link.tell("withdraw", ticket)
            return self.out_of_time()
        return cast("Reservation | LimitReached", got)

    def settle(self, number: int, usd: float, tokens: int) -> None:
        if self._unbounded is None:
            self._link.tell("settle", number, usd, tokens)
            return
        self._unbounded.settle(number, usd, tokens)
        if tokens:
            self._link.tell("bill", self._run, usd, tokens)


class RemoteRate:
    """A `RequestRate`."""

    def __init__(self, link: DeskLink, run: str, model: str) -> None:
        self._link = link
        self._run = run
        self._model = model
        self._numbers = count(1_000_000_000)
        """No ticket is one of `RemoteBudget`'s."""

    def admit(self, broken_off: Callable[[], bool]) -> int | None:
        ticket = (self._run, next(self._numbers))
        got = self._link.ask("admit", ticket, self._model, until=broken_off)
        if got is None:
            self._link.tell("withdraw", ticket)
        return cast("int | None", got)

    def accepted(self, number: int) -> None:
        self._link.tell("accepted", self._model, number)

    def ended(self, number: int, how: RequestEnd, asked_s: float | None = None) -> ServiceHealth:
        got = self._link.ask("ended", self._model, number, how, asked_s)
        return cast("ServiceHealth", got)


class RunAttendant:
    """Tells the desk what a run is at, and the run what the desk says. A context manager."""

    def __init__(
        self, link: DeskLink, run: str, board: Board, interrupts: ThreadInterrupts, *, node: str
    ) -> None:
        self._link = link
        self._run = run
        self._board = board
        self._interrupts = interrupts
        self._node = node
        self._over = threading.Event()
        self._going = Background(self._attend, name="attendant")

    def __enter__(self) -> None:
        self._going.begin()

    def __exit__(self, *_: object) -> None:
        # What is still asked is answered to nobody: the run has its end, and goes home.
        self._over.set()

    def _attend(self) -> None:
        heard = 0
        # Whoever is to be told of it ends with its process.
        with suppress(RecordError):
            while not self._over.is_set():
                # The desk answers whoever waits for a run that is over.
                got = self._link.ask("beat", self._run, self._progress(), heard)
                for name in cast("tuple[str, ...]", got):
                    self._interrupts.receive(name)
                    heard += 1

    def _progress(self) -> RunProgress:
        line = self._board.lines()[self._run]
        return RunProgress(node=self._node, turn=line.turn, doing=line.doing, usd=line.usd)
