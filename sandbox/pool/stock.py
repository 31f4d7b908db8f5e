"""Containers that were opened ahead of need: which are wanted, which stand, who may have one.

Owns the bookkeeping, under one lock. Refuses to know how a container is made, asked or removed.
"""

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass as mutable
from dataclasses import field, replace

from policies.frozen import dataclass
from policies.policy import BudgetLimits
from sandbox.container.opening import StartedContainer
from sandbox.container.plan import OpeningPlan

LONGEST_WAIT_S = 600.0
"""How long a container waits for a taker at most: shorter than any guest lives by itself."""


_NO_BUDGET = BudgetLimits(turns=0, input_tokens=0, output_tokens=0, usd=None)


def identity(plan: OpeningPlan) -> OpeningPlan:
    """All of a plan that decides what a container is. Two of equal identity are alike.

    Of a policy all but the budget counts, and how long a command may last: the one is the
    conversation's, and each task may have its own; the other is told with each command.
    """
    spec = replace(plan.spec, labels={})
    policy = plan.policy.with_long_commands()
    return replace(plan, spec=spec, policy=replace(policy, budget=_NO_BUDGET))


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmContainer:
    """One that waits."""

    identity: OpeningPlan
    started: StartedContainer
    made_s: float
    """By the monotonic clock."""

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.made_s > LONGEST_WAIT_S


@mutable(slots=True)
class _Line:
    """Sandboxes that are opened alike, one after the other."""

    expected: int = 0
    """How many will still be asked for."""
    making: int = 0
    identity: OpeningPlan | None = None
    """Of what was opened last; None until something was."""
    waiting: list[WarmContainer] = field(default_factory=list)
    failed: bool = False
    """The last one could not be made; whoever opens one finds out why."""

    @property
    def lacks(self) -> int:
        return 0 if self.failed else self.expected - self.making - len(self.waiting)


class Stock:
    """For any number of threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """How many wait or are being made at most."""
        self._lock = threading.Condition()
        self._lines: dict[Hashable, _Line] = {}

    def expect(self, key: Hashable, count: int) -> list[WarmContainer]:
        """Say how many of a line will still be asked for; gives what is of no use then."""
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            line.expected = max(count, 0)
            line.failed = False
            return self._surplus()

    def took(self, key: Hashable, made: OpeningPlan) -> list[WarmContainer]:
        """Say that one of a line was opened, and by which plan; gives what is of no use then."""
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            line.expected = max(line.expected - 1, 0)
            line.identity = identity(made)
            line.failed = False
            return self._surplus()

    def _surplus(self) -> list[WarmContainer]:
        """What nobody will take, and lines that are over, dropped."""
        gone: list[WarmContainer] = []
        for key, line in list(self._lines.items()):
            kept: list[WarmContainer] = []
            for one in line.waiting:
                alike = line.identity in (None, one.identity)
                useful = alike and not one.is_old and len(kept) < line.expected
                (kept if useful else gone).append(one)
            line.waiting = kept
            if not (line.expected or line.making):
                del self._lines[key]
        return gone

    def take(self, wanted: OpeningPlan) -> WarmContainer | None:
        """One that is what this plan would make, whichever line it was made for; for good."""
        wanted = identity(wanted)
        with self._lock:
            for line in self._lines.values():
                for one in line.waiting:
                    if one.identity == wanted:
                        line.waiting.remove(one)
                        return one
        return None

    def to_make(self) -> tuple[Hashable, OpeningPlan | None] | None:
        """The line that lacks most, and what to make for it: None for what is not known yet.
        None where all is there. Ends with `made`."""
        with self._lock:
            key = self._lacking()
            if key is None:
                return None
            self._lines[key].making += 1
            return key, self._lines[key].identity

    def _lacking(self) -> Hashable | None:
        counts = {key: line.making + len(line.waiting) for key, line in self._lines.items()}
        if sum(counts.values()) >= self.limit:
            return None
        lacking = [key for key, line in self._lines.items() if line.lacks > 0]
        return min(lacking, key=counts.__getitem__, default=None)

    def made(self, key: Hashable, one: WarmContainer | None) -> list[WarmContainer]:
        """Put in what was made; None where it could not be. Gives what is of no use then."""
        with self._lock:
            line = self._lines[key]
            line.making -= 1
            line.failed = one is None
            if one is not None:
                line.waiting.append(one)
                line.identity = line.identity or one.identity
            self._lock.notify_all()
            return self._surplus()

    def settle(self, timeout_s: float) -> bool:
        """Wait until all that is wanted stands, as far as it can be had; False: time is up."""
        with self._lock:
            return self._lock.wait_for(
                lambda: (
                    self._lacking() is None
                    and not any(line.making for line in self._lines.values())
                ),
                timeout_s,
            )

    def emptied(self) -> list[WarmContainer]:
        """Everything that waits, and nothing is expected any more."""
        with self._lock:
            left = [one for line in self._lines.values() for one in line.waiting]
            for line in self._lines.values():
                line.waiting, line.expected = [], 0
            return left
