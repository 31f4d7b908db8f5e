"""What all attempts of a batch share while they run on many machines: one place, asked by all.

Owns the batch's ledger, the rate of each model, what is to be told to a run, what is told of it,
and who still needs which image. It lives in one event loop and waits in it, so that a thousand who
wait cost a thousand small objects. Refuses to know by which means it is asked (`link`), and any
secret: keys never get here.

A ``ticket`` names one wait of one run: who gives up waiting withdraws it, and what was granted
meanwhile is taken back.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from agent.conversation.shared_budget import (
    BatchAllowance,
    BatchUsed,
    BudgetLedger,
    Reservation,
)
from agent.models.interface import CallCost
from agent.models.rate_limit import RateWindow, RequestEnd, ServiceHealth
from agent.record.outcome import LimitReached
from policies.frozen import dataclass

T = TypeVar("T")
Ticket = tuple[str, int]
"""A run's id, and which of its waits it is."""

_BEATS_A_SECOND = 200
_SHORTEST_BEAT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """What a run is at."""

    turn: int
    doing: str
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a process hears of the runs that it makes."""

    names: dict[str, tuple[str, ...]]
    """By run, all names of signals that it was told so far, where the process lacks one."""
    ask: bool
    """Some run was told a signal before its process was known: each that begins asks (`told`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskNews:
    """What whoever runs the batch has not heard yet."""

    progress: dict[str, RunProgress]
    """Of each run of which something was told."""
    wanted: tuple[str, ...]
    """Images that a machine lacks."""


class BatchDesk:
    """For one event loop."""

    def __init__(self, allowed: BatchAllowance, used: BatchUsed) -> None:
        self._ledger = BudgetLedger(allowed, used)
        self._open: dict[int, tuple[Ticket, Reservation]] = {}
        self._spent: dict[str, BatchUsed] = {}
        self._payers = _WaitingLine()
        self._rates: dict[str, tuple[RateWindow, _WaitingLine]] = {}
        self._admitted: dict[tuple[str, int], Ticket] = {}
        self._told: dict[str, list[str]] = {}
        """By run, the signals' names."""
        self._holders: dict[str, str] = {}
        """By run, the process that makes it."""
        self._bells: dict[str, asyncio.Event] = {}
        """By process: rung when its next answer has something for it."""
        self._sought: set[str] = set()
        """Runs that were told a signal when nobody had said yet that he makes them."""
        self._progress: dict[str, RunProgress] = {}
        self._news: dict[str, RunProgress] = {}
        self._parcels: dict[str, object] = {}
        self._wanted: list[str] = []
        self._asked: set[str] = set()
        self._lacking = asyncio.Event()
        self._arrived: dict[str, asyncio.Event] = {}
        """By image that is waited for."""

    # -- money -----------------------------------------------------------------------------

    async def reserve(self, ticket: Ticket, cost: CallCost) -> Reservation | LimitReached | None:
        """As `BatchBudget.reserve`; None: withdrawn."""

        def ask() -> Reservation | LimitReached | None:
            return self._ledger.ask(cost)

        got: Reservation | LimitReached | None = await self._payers.turn(ticket, ask)
        if isinstance(got, Reservation):
            self._open[got.number] = (ticket, got)
        return got

    async def settle(self, number: int, usd: float, tokens: int) -> None:
        """As `BatchBudget.settle`."""
        if number not in self._open:
            return
        (run, _), _ = self._open.pop(number)
        self._ledger.settle(number, usd, tokens)
        await self.bill(run, usd, tokens)
        self._payers.wake()

    async def bill(self, run: str, usd: float, tokens: int) -> None:
        """Tell what a run was billed that no reservation was made for."""
        before = self._spent.get(run, BatchUsed())
        self._spent[run] = BatchUsed(usd=before.usd + usd, tokens=before.tokens + tokens)

    # -- rates -----------------------------------------------------------------------------

    async def admit(self, ticket: Ticket, model: str) -> int | None:
        """As `RequestRate.admit`; None: withdrawn."""
        window, line = self._rate(model)
        number = await line.turn(
            ticket,
            lambda: window.admit(time.monotonic()),
            lambda: window.opens_in(time.monotonic()),
        )
        if number is not None:
            self._admitted[model, number] = ticket
        return number

    async def accepted(self, model: str, number: int) -> None:
        """As `RequestRate.accepted`."""
        window, line = self._rate(model)
        window.accepted(number)
        line.wake()

    async def ended(
        self, model: str, number: int, how: RequestEnd, asked_s: float | None
    ) -> ServiceHealth:
        """As `RequestRate.ended`."""
        window, line = self._rate(model)
        self._admitted.pop((model, number), None)
        health = window.ended(number, how, time.monotonic(), asked_s)
        line.wake()
        return health

    def _rate(self, model: str) -> tuple[RateWindow, "_WaitingLine"]:
        return self._rates.setdefault(model, (RateWindow(), _WaitingLine()))

    async def withdraw(self, ticket: Ticket) -> None:
        """Nobody waits for it any more. What it was granted in the same moment is taken back."""
        for line in self._lines():
            line.withdraw(ticket)
        await self._close(lambda holder: holder == ticket, billed=False)

    def _lines(self) -> list["_WaitingLine"]:
        return [self._payers, *(line for _, line in self._rates.values())]

    async def _close(self, held: Callable[[Ticket], bool], *, billed: bool) -> None:
        for number, (holder, reserved) in list(self._open.items()):
            if held(holder):
                usd, tokens = (reserved.usd, reserved.tokens) if billed else (0.0, 0)
                await self.settle(number, usd, tokens)
        for (model, number), holder in list(self._admitted.items()):
            if held(holder):
                await self.ended(model, number, RequestEnd.WITHDRAWN, None)

    # -- runs ------------------------------------------------------------------------------

    async def beat(
        self, process: str, progress: dict[str, RunProgress], heard: dict[str, int]
    ) -> Told:
        """Tell what a process's runs are at, and wait a while for what they are to be told.

        The more runs there are, the longer each waits.

        Args:
            heard: by each run that the process makes, how many names it has heard.
        """
        for run, now in progress.items():
            if self._progress.get(run) != now:
                self._progress[run] = self._news[run] = now
        self._holders |= dict.fromkeys(heard, process)
        bell = self._bells.get(process)
        if bell is None:  # whoever has just started hears at once whether he has to ask
            bell = self._bells[process] = asyncio.Event()
        elif not self._unheard(heard):
            pause_s = max(_SHORTEST_BEAT_S, len(self._progress) / _BEATS_A_SECOND)
            with suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), pause_s)
        bell.clear()
        return Told(names=self._unheard(heard), ask=bool(self._sought))

    async def told(self, process: str, run: str) -> tuple[str, ...]:
        """A process begins to make a run: what that was told so far."""
        self._holders[run] = process
        return tuple(self._told.get(run, ()))

    def _unheard(self, heard: dict[str, int]) -> dict[str, tuple[str, ...]]:
        told = {run: tuple(self._told.get(run, ())) for run in heard}
        return {run: names for run, names in told.items() if len(names) > heard[run]}

    async def tell(self, run: str, name: str) -> None:
        """Have a run told a signal's name, now or when it begins.

        Only its own process hears of it. Where nobody knows yet which that is, all hear once that
        they have to ask.
        """
        self._told.setdefault(run, []).append(name)
        if run in self._holders:
            bells = [self._bells.get(self._holders[run])]
        else:
            bells = [] if self._sought else [*self._bells.values()]
            self._sought.add(run)
        for bell in bells:
            if bell is not None:  # its process's first beat, which is answered at once, is to come
                bell.set()

    async def forget(self, run: str) -> BatchUsed:
        """A run is over, however: what it left open is closed. Gives what it was billed.

        A call whose end nobody told is taken for billed in full.
        """
        for line in self._lines():
            line.forget(run)
        await self._close(lambda holder: holder[0] == run, billed=True)
        for known in (self._progress, self._news, self._told, self._holders):
            known.pop(run, None)
        self._sought.discard(run)
        return self._spent.pop(run, BatchUsed())

    # -- images ----------------------------------------------------------------------------

    async def want(self, name: str) -> object:
        """What `deliver` gave for it; waits until it did."""
        if name not in self._asked:
            self._asked.add(name)
            self._parcels.pop(name, None)
            self._wanted.append(name)
            self._lacking.set()
        while name not in self._parcels:
            await self._arrived.setdefault(name, asyncio.Event()).wait()
        got = self._parcels[name]
        if isinstance(got, str):
            self._asked.discard(name)
        return got

    async def deliver(self, name: str, what: object) -> None:
        """Give what was wanted to all who wait for it, and to who asks later.

        Why it can't be had, a text, is for those who wait: who asks later asks again.
        """
        self._parcels[name] = what
        if (bell := self._arrived.pop(name, None)) is not None:
            bell.set()

    async def news(self, over: tuple[str, ...]) -> DeskNews:
        """What is new after a while, or as soon as an image is wanted.

        Args:
            over: runs to `forget`.
        """
        for run in over:
            await self.forget(run)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._lacking.wait(), _SHORTEST_BEAT_S)
        self._lacking.clear()
        told = DeskNews(progress=dict(self._news), wanted=tuple(self._wanted))
        self._news.clear()
        self._wanted.clear()
        return told


class _WaitingLine:
    """Who waits for the same thing, in the order in which they came; only the first is woken."""

    def __init__(self) -> None:
        self._waiting: dict[Ticket, asyncio.Event] = {}
        self._withdrawn: set[Ticket] = set()

    async def turn(
        self,
        ticket: Ticket,
        ask: Callable[[], T | None],
        opens_in_s: Callable[[], float] = lambda: float("inf"),
    ) -> T | None:
        """What `ask` gives, once it is this one's turn and it gives something; None: withdrawn."""
        if ticket in self._withdrawn:
            return None
        bell = self._waiting[ticket] = asyncio.Event()
        try:
            while ticket in self._waiting:
                left_s = float("inf")
                if next(iter(self._waiting)) == ticket:
                    got = ask()
                    if got is not None:
                        return got
                    left_s = opens_in_s()
                bell.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), None if left_s == float("inf") else left_s)
            return None
        finally:
            self._waiting.pop(ticket, None)
            self.wake()

    def wake(self) -> None:
        for bell in self._waiting.values():
            bell.set()
            return

    def withdraw(self, ticket: Ticket) -> None:
        self._withdrawn.add(ticket)
        bell = self._waiting.pop(ticket, None)
        if bell is not None:
            bell.set()
        self.wake()

    def forget(self, run: str) -> None:
        for ticket in list(self._waiting):
            if ticket[0] == run:
                self.withdraw(ticket)
        self._withdrawn = {ticket for ticket in self._withdrawn if ticket[0] != run}
