"""A run's way to the desk of its batch: budget, rate, and what it is told while it goes on.

Owns how a blocking caller waits for a desk that never blocks, and gives up waiting. By which means
the desk is asked is a `DeskLink`'s to know.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from secrets import token_hex
from typing import Protocol, cast

from agent.batch.board import Board
from agent.batch.engines.cluster.desk import RunProgress, Told
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


class DeskListener:
    """Tells the desk what the attempts of this process are at, and them what the desk says.

    One thread for all that a process makes, one after the other: a message more for each attempt
    would cost as much as sending it. So an attempt asks what it was told before it began only where
    the desk said that there is such a one.
    """

    def __init__(self, link: DeskLink) -> None:
        self.board = Board()
        self._link = link
        self._process = token_hex(8)
        self._lock = threading.Lock()
        self._attempts: dict[str, ThreadInterrupts] = {}
        self._heard: dict[str, int] = {}
        """By attempt, how many names it was told."""
        self._asks = True
        """Until the desk has said that nobody needs to."""
        self._listening = self._thread()

    @contextmanager
    def heard_by(
        self, run: str, interrupts: ThreadInterrupts, *, taken_up: bool = False
    ) -> Generator[None]:
        """A run hears what it is told from now on, and what it was told before it began.

        Args:
            taken_up: another process made it before, and the desk may not know that it ended.

        Raises:
            RecordError: it has to ask, and there is no desk any more.
        """
        with self._lock:
            self._attempts[run] = interrupts
            self._heard[run] = 0
            if not self._listening.is_alive():  # the desk was out of reach for a moment
                self._listening = self._thread()
            asks = self._asks or taken_up
        try:
            if asks:
                names = cast("tuple[str, ...]", self._link.ask("told", self._process, run))
                self._hear({run: names})
            yield
        finally:
            with self._lock:
                del self._attempts[run], self._heard[run]

    def _thread(self) -> "Background[None]":
        made = Background(self._listen, name="desk")
        made.begin()
        return made

    def _listen(self) -> None:
        # Whoever is to be told of it ends with its process.
        with suppress(RecordError):
            while True:
                with self._lock:
                    heard = dict(self._heard)
                answer = self._link.ask("beat", self._process, self._progress(), heard)
                told = cast("Told", answer)
                self._asks = told.ask
                self._hear(told.names)

    def _hear(self, told: Mapping[str, tuple[str, ...]]) -> None:
        new: list[tuple[ThreadInterrupts, str]] = []
        with self._lock:
            for run, names in told.items():
                if run in self._attempts:
                    new += [(self._attempts[run], name) for name in names[self._heard[run] :]]
                    self._heard[run] = max(len(names), self._heard[run])
        for interrupts, name in new:
            interrupts.receive(name)

    def _progress(self) -> dict[str, RunProgress]:
        return {
            run: RunProgress(turn=line.turn, doing=line.doing, usd=line.usd)
            for run, line in self.board.lines().items()
        }
