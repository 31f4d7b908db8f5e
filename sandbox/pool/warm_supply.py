"""Containers made ahead of need, for the many sandboxes that one process opens.

What is taken is what would have been made on the spot: a container whose plan is equal in
everything but its labels, in which nothing has run, whose guest answers and whose seal holds at
that moment. It is one taker's, and goes when that is done. Owns the threads that make and remove.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from pathlib import Path

from sandbox import supply
from sandbox.container import opening
from sandbox.container.opening import StartedContainer
from sandbox.container.plan import OpeningPlan, labels
from sandbox.container.spec import differences
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_POOL, LABEL_RUN
from sandbox.errors import FileError, SandboxError
from sandbox.guest.protocol import Done, Prolong
from sandbox.opening.opened import OpenedContainer
from sandbox.pool.looks import SharedLooks
from sandbox.pool.removal import BackgroundRemoval
from sandbox.pool.stock import LONGEST_WAIT_S, Stock, WarmContainer, identity
from sandbox.pool.threads import BackgroundThreads

_ANSWER_S = 5.0
"""For a guest that has nothing else to do; one that takes longer is not taken."""
_IDLE_BYTES = 16 << 20
"""What a container that waits takes at most: guest, shim, and what the engine keeps for it."""
_MEMORY_SHARE = 4
"""One part in so many of what is free may be taken by those that wait."""


Open = Callable[[], OpenedContainer]
"""Opens a sandbox of this supply for nobody yet: under no run's id."""

_AT_A_TIME = 2
"""So many are made, and so many removed."""


class WarmSupply(SharedLooks):
    """A `ContainerSupply` of one engine. For any number of threads; close it in the end."""

    def __init__(self, engine: Engine, *, limit: int) -> None:
        """`limit`: how many wait at most; fewer where memory is short."""
        super().__init__()
        self._engine = engine
        self._stock = Stock(affordable(limit))
        self._opens: dict[Hashable, Open] = {}
        self._makers = BackgroundThreads(_AT_A_TIME, name="warm")
        self.removal = BackgroundRemoval(_AT_A_TIME)

    # -- what is needed next ---------------------------------------------------------------

    def expect(self, key: Hashable, count: int, open_one: Open) -> None:
        """Have containers ready for so many sandboxes more, all opened as `open_one` opens one.

        Counted down as they are opened (`opened`); what is said last counts.
        """
        if count > 0:
            self._opens[key] = open_one
        else:
            self._opens.pop(key, None)
        self._remove(self._stock.expect(key, count))
        self._makers.submit(self._make)

    def opened(self, key: Hashable, plan: OpeningPlan) -> None:
        """Say that one of these was opened, and by which plan: the next are made by that."""
        self._remove(self._stock.took(key, plan))
        self._makers.submit(self._make)

    def settle(self, timeout_s: float) -> bool:
        """Wait until all that is expected stands, as far as the bounds let it; False: time is up.
        Nobody has to."""
        return self._stock.settle(timeout_s)

    def close(self) -> tuple[str, ...]:
        """Remove what nobody took, and wait for all that is removed; gives what was not, in words.

        What was taken stays its taker's.
        """
        self._remove(self._stock.emptied())
        self._makers.close()
        self._remove(self._stock.emptied())
        self.removal.close()
        self.forget()
        return tuple(self.removal.failures)

    # -- a `ContainerSupply` ---------------------------------------------------------------

    def start(
        self, engine: Engine, plan: OpeningPlan, *, meanwhile: Callable[[], None]
    ) -> StartedContainer:
        meanwhile()
        run_id = plan.spec.labels[LABEL_RUN]
        if not run_id:
            return start_ahead(engine, plan)
        while (one := self._stock.take(plan)) is not None:
            if _taken(engine, one, run_id):
                return one.started
            self.discard(engine, one.started)
        return opening.start(engine, _owned(plan, plan.spec.labels), meanwhile=meanwhile)

    def discard(self, engine: Engine, started: StartedContainer) -> None:
        self.removal(lambda: opening.discard(engine, started))

    # -- making ----------------------------------------------------------------------------

    def _make(self) -> None:
        while (wanted := self._stock.to_make()) is not None:
            key, plan = wanted
            made = None
            try:
                made = self._made(key, plan)
            except Exception:  # noqa: BLE001, S110 - who opens one meets the same, and can say so
                pass
            finally:
                self._remove(self._stock.made(key, made))

    def _made(self, key: Hashable, plan: OpeningPlan | None) -> WarmContainer | None:
        if plan is None:
            ahead = self._opens[key]()
            plan, started = ahead.plan, ahead.started
        else:
            started = start_ahead(self._engine, plan)
        one = WarmContainer(identity=identity(plan), started=started, made_s=time.monotonic())
        if plan.services:
            # Those age while they wait: one may end, and it holds memory that nobody bounds here.
            self._remove([one])
            return None
        return one

    def _remove(self, gone: list[WarmContainer]) -> None:
        for one in gone:
            self.discard(self._engine, one.started)


def start_ahead(engine: Engine, plan: OpeningPlan) -> StartedContainer:
    """A container that is nobody's yet; errors as for `opening.start`.

    Its deadline is that of one whose life begins when it has waited longest.
    """
    life_s = LONGEST_WAIT_S + plan.lifetime_s
    return opening.start(engine, _owned(plan, labels("", lifetime_s=life_s)))


def _owned(plan: OpeningPlan, said: Mapping[str, str]) -> OpeningPlan:
    said = {**said, LABEL_POOL: supply.this_process()}
    return replace(plan, spec=replace(plan.spec, labels=said))


def _taken(engine: Engine, one: WarmContainer, run_id: str) -> bool:
    """Make a container the run's and begin its life; False where it is not what it was."""
    started = one.started
    try:
        found = engine.inspect(started.container)
        if one.is_old or differences(started.spec, found) or found.get("ExecIDs"):
            return False
        number = started.link.send(Prolong())
        answered, answer = started.link.receive(until=time.monotonic() + _ANSWER_S)
        if answered != number or not isinstance(answer, Done):
            return False
        engine.rename(started.container, supply.name_for(run_id, started.container))
    except (SandboxError, FileError):
        return False
    return True


def affordable(limit: int) -> int:
    """How many containers may wait for the memory that is free; the limit where that is unknown."""
    try:
        rows = Path("/proc/meminfo").read_text("ascii").splitlines()
        free = next(int(row.split()[1]) << 10 for row in rows if row.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return limit
    return min(limit, free // _MEMORY_SHARE // _IDLE_BYTES)
