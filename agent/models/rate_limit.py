"""How many requests one model's service is sent at once, found out by sending them.

Owns the rate that all runs of a batch share: additive up, halved down, as TCP's congestion control
(RFC 5681). What is limited is the number of requests in flight; below one, their distance. Refuses
to know what a request is, and when one run has had enough (`agent.models.request_gate`).

`RateWindow` is pure: it is told the time and never waits. `RateLimiter` is the window for threads;
another process of a batch holds the same window elsewhere and asks it by `RequestRate`.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from random import SystemRandom
from typing import Protocol

from policies.frozen import dataclass

BURST = 3
"""So many failures in a row, of whatever requests, are the service's and no single request's."""
_RANDOM = SystemRandom()
LONGEST_ASKED_PAUSE_S = 3600.0
"""A service that asks for more is asked again after this."""
_LEAST = 1 / 64
"""Of the window: a request in so many seconds."""
_STEP_BELOW_ONE = 1 / 32
_GLANCE_S = 0.25
"""How often a waiting thread looks whether it is to stop; `RateLimiter.wake` has it look now."""


class RequestEnd(Enum):
    """How a request ended, as far as the rate goes by it."""

    SUCCEEDED = auto()
    SLOWED = auto()
    """The service says that too much is asked of it: 429, overload."""
    FAILED = auto()
    """Anything else that may pass: a connection, 5xx, a stream that broke."""
    WITHDRAWN = auto()
    """It says nothing of the service's capacity: refused for what it is, or broken off by us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHealth:
    """How the service does, after a request ended."""

    succeeded: int = 0
    """Requests of all runs that were answered to their end, so far."""
    failing_s: float = 0.0
    """For how long nothing but failures came, from all runs; 0: it works."""
    closed_s: float = 0.0
    """Until the next request may be made by anybody."""


class RequestRate(Protocol):
    """What all runs share of one model, wherever it is kept. Every method may be called by several
    threads at once, and none of them holds a lock while it waits."""

    def admit(self, broken_off: Callable[[], bool]) -> int | None:
        """Wait until a request may be made; gives its number. None: `broken_off` said so.

        Each number is given back once, by `ended`.
        """

    def accepted(self, number: int) -> None:
        """The service has begun to answer."""

    def ended(self, number: int, how: RequestEnd, asked_s: float | None = None) -> ServiceHealth:
        """The request is over. ``asked_s``: for how long the service asked not to be asked."""


class RateWindow:
    """The state of one model's rate. Mutable; times are seconds of any clock that only grows."""

    def __init__(
        self,
        *,
        first: float = 8.0,
        most: float = 1024.0,
        first_pause_s: float = 1.0,
        longest_pause_s: float = 30.0,
        random: Callable[[], float] = _RANDOM.random,
    ) -> None:
        """Args:
        first: requests at once before anything is known; doubled with each round that succeeds,
            until the first that is slowed.
        most: never more at once than this.
        first_pause_s: for which nobody asks once the rate was lowered, where the service asks for
            nothing; doubled up to `longest_pause_s` as long as it answers nobody.
        random: 0 to 1, spreads the pauses.
        """
        self.at_once = min(first, most)
        """Requests; below 1 requests a second."""
        self._most = most
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._random = random
        self._slow_start = True
        self._number = 0
        self.in_flight: dict[int, int] = {}
        """The epoch in which each was admitted."""
        self._accepted: set[int] = set()
        self._epoch = 0
        """Counts the times that the rate was lowered: what was admitted before says nothing new."""
        self._closed_until = float("-inf")
        self._pause_s = 0.0
        self._probing = False
        """Since the rate was lowered nothing was accepted: one request at a time finds out."""
        self._next_probe = float("-inf")
        """When another one does, should the last hang."""
        self._succeeded = 0
        self._failed_in_row = 0
        self._failing_since: float | None = None

    def admit(self, now: float) -> int | None:
        """The number of a request that may be made now; None: not yet, see `opens_in`."""
        if self.opens_in(now) > 0:
            return None
        self._number += 1
        self.in_flight[self._number] = self._epoch
        self._next_probe = now + self._longest_pause_s
        if self.at_once < 1:
            self._closed_until = now + 1 / self.at_once
        return self._number

    def opens_in(self, now: float) -> float:
        """Seconds until `admit` is worth asking again; infinite: not before a request ends."""
        opens = self._closed_until
        if self._probing and self._epoch in self.in_flight.values():
            opens = max(opens, self._next_probe)
        elif not self._probing and len(self.in_flight) >= max(1, int(self.at_once)):
            return float("inf")
        return max(0.0, opens - now)

    def accepted(self, number: int) -> None:
        if number in self._accepted or number not in self.in_flight:
            return
        self._accepted.add(number)
        if self.in_flight[number] != self._epoch:
            return
        self._probing = False
        self._pause_s = 0.0
        if self.at_once < 1:
            self.at_once += _STEP_BELOW_ONE
        elif len(self.in_flight) >= self.at_once / 2:
            # Only a window that is used shows that a larger one would do.
            self.at_once += 1 if self._slow_start else 1 / self.at_once
        self.at_once = min(self.at_once, self._most)

    def ended(
        self, number: int, how: RequestEnd, now: float, asked_s: float | None = None
    ) -> ServiceHealth:
        epoch = self.in_flight.get(number)
        if epoch is None:
            return self.health(now)
        if how is RequestEnd.SUCCEEDED:
            self.accepted(number)
            self._succeeded += 1
            self._failed_in_row = 0
            self._failing_since = None
        del self.in_flight[number]
        self._accepted.discard(number)
        if how in {RequestEnd.SLOWED, RequestEnd.FAILED}:
            self._failed_in_row += 1
            self._failing_since = now if self._failing_since is None else self._failing_since
            if how is RequestEnd.SLOWED or self._failed_in_row >= BURST:
                self._slow_down(epoch, now)
            if asked_s is not None:
                until = now + min(asked_s, LONGEST_ASKED_PAUSE_S)
                self._closed_until = max(self._closed_until, until)
        return self.health(now)

    def health(self, now: float) -> ServiceHealth:
        since = self._failing_since
        return ServiceHealth(
            succeeded=self._succeeded,
            failing_s=0.0 if since is None else now - since,
            closed_s=max(0.0, self._closed_until - now),
        )

    def _slow_down(self, epoch: int, now: float) -> None:
        if epoch != self._epoch:
            return  # admitted before the rate was lowered: the same news again
        if not self._probing:
            self.at_once = max(_LEAST, min(self.at_once, len(self.in_flight) + 1) / 2)
        self._slow_start = False
        self._probing = True
        self._epoch += 1
        self._pause_s = min(self._longest_pause_s, self._pause_s * 2 or self._first_pause_s)
        spread_s = self._pause_s * (0.5 + self._random() / 2)
        self._closed_until = max(self._closed_until, now + spread_s)


class RateLimiter:
    """The rate of one model for the threads of one process. Requests are admitted in the order in
    which they were asked for."""

    def __init__(
        self, window: RateWindow | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window = window or RateWindow()
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    def admit(self, broken_off: Callable[[], bool]) -> int | None:
        place = object()
        with self._changed:
            self._queue.append(place)
            try:
                while not broken_off():
                    wait_s = _GLANCE_S
                    if self._queue[0] is place:
                        now = self._clock()
                        number = self._window.admit(now)
                        if number is not None:
                            return number
                        wait_s = min(wait_s, self._window.opens_in(now))
                    self._changed.wait(wait_s)
                return None
            finally:
                self._queue.remove(place)
                self._changed.notify_all()

    def accepted(self, number: int) -> None:
        with self._changed:
            self._window.accepted(number)
            self._changed.notify_all()

    def ended(self, number: int, how: RequestEnd, asked_s: float | None = None) -> ServiceHealth:
        with self._changed:
            health = self._window.ended(number, how, self._clock(), asked_s)
            self._changed.notify_all()
            return health

    def wake(self) -> None:
        """Have every waiting thread look at once whether it is to stop."""
        with self._changed:
            self._changed.notify_all()


class ModelRates:
    """The rate of each model that a batch asks, by the model's name as the operator wrote it."""

    def __init__(self, made: Callable[[], RateLimiter] = RateLimiter) -> None:
        self._made = made
        self._lock = threading.Lock()
        self._of: dict[str, RateLimiter] = {}

    def of(self, model: str) -> RateLimiter:
        with self._lock:
            return self._of.setdefault(model, self._made())

    def wake(self) -> None:
        """See `RateLimiter.wake`."""
        with self._lock:
            rates = tuple(self._of.values())
        for rate in rates:
            rate.wake()
