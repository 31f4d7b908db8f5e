"""How one run of a batch makes its requests at the rate that all runs share.

Owns when a request has been made often enough: what the service refuses to everybody is no attempt
of one run. Refuses to know how the rate is found (`agent.models.rate_limit`) and what a failure is
(the error maps).

- A failure while nothing is answered to anybody is the service's. It counts for no run, and is
  waited out by all, at most for `PATIENCE_S`.
- A failure while others are answered counts. Of refusals for the rate many may follow each other by
  bad luck, and one request may be refused so for ever; of the other failures a few are enough.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from random import SystemRandom
from typing import Protocol

from agent.models.rate_limit import LONGEST_ASKED_PAUSE_S, RequestEnd, RequestRate, ServiceHealth
from agent.models.retrying import RetryLimits, TransientError

PATIENCE_S = 1800.0
"""A service that answers nobody for longer ends the runs that ask it."""
_REFUSALS_AN_ATTEMPT = 3
"""So many refusals for the rate count as one attempt."""
_RANDOM = SystemRandom()


class SharedWait(Protocol):
    """How a run waits for what it shares with others."""

    def stopped(self) -> AbstractContextManager[None]:
        """Inside, no time of the run passes."""

    def broken_off(self) -> bool:
        """Whether the wait is to end; never waits itself."""

    def end(self) -> None:
        """Raises why the wait ended; BaseExceptions or none of `agent.errors.ModelError`."""

    def sleep(self, seconds: float) -> None:
        """Wait; ends early where it is broken off, and then raises as `end`."""


class RequestGate:
    """The way of one run's requests to a model. For one thread at a time."""

    def __init__(
        self,
        rate: RequestRate,
        wait: SharedWait,
        *,
        random: Callable[[], float] = _RANDOM.random,
    ) -> None:
        """Args:
        random: 0 to 1, spreads the pauses.
        """
        self._random = random
        self._rate = rate
        self._wait = wait
        self._number: int | None = None
        self.in_flight = False
        """A request was broken off by us, so that what it used is not known."""

    def trials(self, limits: RetryLimits) -> "GatedTrials":
        """For one reply."""
        return GatedTrials(self, limits, self._wait, self._random)

    def accepted(self) -> None:
        """The service has begun to answer."""
        if self._number is not None:
            self._rate.accepted(self._number)

    @contextmanager
    def admitted(self, heard: Callable[[ServiceHealth], None]) -> Generator[None]:
        """Inside, one request is made. The wait before it is none of the run's time.

        Raises:
            TransientError: as the request did; `heard` was told before.
        """
        with self._wait.stopped():
            number = self._rate.admit(self._wait.broken_off)
        if number is None:
            self._wait.end()
            raise AssertionError("a wait that is broken off says why")
        self._number, self.in_flight = number, True
        how, asked_s = RequestEnd.WITHDRAWN, None
        try:
            yield
            how = RequestEnd.SUCCEEDED
            self.in_flight = False
        except TransientError as error:
            how = RequestEnd.SLOWED if error.overload else RequestEnd.FAILED
            asked_s = error.asked_wait_s
            self.in_flight = False
            raise
        except Exception:
            # Answered, if only by a refusal; a signal is no Exception.
            self.in_flight = False
            raise
        finally:
            self._number = None
            heard(self._rate.ended(number, how, asked_s))


class GatedTrials:
    """The requests for one reply. Mutable: it counts those that were the request's own failures."""

    def __init__(
        self,
        gate: RequestGate,
        limits: RetryLimits,
        wait: SharedWait,
        random: Callable[[], float],
    ) -> None:
        self._random = random
        self._gate = gate
        self._limits = limits
        self._wait = wait
        self._health = ServiceHealth()
        self._seen: int | None = None
        """Answers of all runs when this one failed last."""
        self._counted = 0
        """In parts of an attempt, see `_REFUSALS_AN_ATTEMPT`."""
        self._doubtful = 0
        self._own = False
        """The newest failure is the request's own."""

    def admitted(self) -> AbstractContextManager[None]:
        return self._gate.admitted(self._hear)

    def enough(self, error: TransientError) -> bool:
        """Whether this failure is the last; to be asked once after each."""
        seen, self._seen = self._seen, self._health.succeeded
        self._own = seen is not None and self._health.succeeded > seen
        if error.lasting is not None:
            self._doubtful += 1
            return self._doubtful > 1
        if self._own:
            self._counted += 1 if error.overload else _REFUSALS_AN_ATTEMPT
        asked_s = error.asked_wait_s or 0.0
        return (
            self._counted >= (self._limits.attempts - 1) * _REFUSALS_AN_ATTEMPT
            or asked_s > LONGEST_ASKED_PAUSE_S
            or self._health.failing_s > PATIENCE_S
        )

    def wait_s(self, error: TransientError) -> float:
        """Until the next request, as far as can be told: what others wait for too, and after a
        failure of one's own a pause of one's own."""
        own_s = 0.0
        if self._own or not self._health.closed_s:
            doubled_s = self._limits.first_wait_s * 2.0 ** (self._counted // _REFUSALS_AN_ATTEMPT)
            own_s = (0.5 + self._random() / 2) * min(self._limits.longest_wait_s, doubled_s)
            own_s = max(own_s, error.asked_wait_s or 0.0)
        self._own = own_s > 0
        return max(own_s, self._health.closed_s)

    def sleep(self, seconds: float) -> None:
        """Wait where the wait is the request's own; the others are the gate's."""
        if self._own:
            with self._wait.stopped():
                self._wait.sleep(seconds)

    def _hear(self, health: ServiceHealth) -> None:
        self._health = health
