"""When a failed request to a model is made again, and after how long.

Owns the waiting: jittered exponential backoff, what the service asks for (``retry-after``), and the
limits of both. Refuses to know any provider: its error map says what is worth another attempt by
raising `TransientError`.
"""

import email.utils
import time
from collections.abc import Callable, Mapping
from random import SystemRandom
from typing import TYPE_CHECKING, TypeVar

import tenacity

from agent.errors import ModelError, ModelUnavailable
from agent.models.interface import Retrying, StreamEvent
from policies.errors import duration
from policies.frozen import dataclass

if TYPE_CHECKING:
    from agent.models.request_gate import RequestGate

_T = TypeVar("_T")
_PIECE_S = 1.0
_RANDOM = SystemRandom()
_DOUBTFUL_ATTEMPTS = 2
"""For a failure that looks as if it would last: a person is told of a wrong setting soon."""


class TransientError(Exception):
    """One attempt failed in a way that another may not. Never leaves the models package."""

    def __init__(
        self,
        reason: str,
        *,
        asked_wait_s: float | None = None,
        lasting: ModelError | None = None,
        overload: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.overload = overload
        """The service says that too much is asked of it, by this request or by others."""
        self.lasting = lasting
        """Set where the failure looks as if it would last, though by its status it may not: one
        more attempt is made, and then this ends the run."""
        self.asked_wait_s = asked_wait_s
        """What the service asked to wait; None: it did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    attempts: int = 8
    """Requests made for one reply, the first included."""
    first_wait_s: float = 1.0
    """Doubled with each further attempt; half of each wait is random."""
    longest_wait_s: float = 60.0
    longest_asked_wait_s: float = 300.0
    """A service that asks for more than this is not waited for: the run ends and says so."""


def wait(seconds: float) -> None:
    """Sleep in short pieces: a signal that comes just before a sleep begins does not end that one,
    and what it asks for would be done only after all of a long wait."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _PIECE_S))


class Retrier:
    """Runs one attempt after another until a reply, a lasting error, or the limit."""

    def __init__(self, limits: RetryLimits, *, sleep: Callable[[float], None] = wait) -> None:
        self._limits = limits
        self._sleep = sleep
        self.gate: RequestGate | None = None
        """The way of a batch's runs to their model; None: this run has it for itself."""

    def accepted(self) -> None:
        """The service has begun to answer an attempt."""
        if self.gate is not None:
            self.gate.accepted()

    def run(self, attempt: Callable[[int], _T], on_event: Callable[[StreamEvent], None]) -> _T:
        """Call ``attempt`` with its number, from 1, until it returns.

        Raises:
            ModelUnavailable: every attempt failed, or the service asks for too long a wait.
        """
        number = 0
        trials = None if self.gate is None else self.gate.trials(self._limits)

        def numbered() -> _T:
            nonlocal number
            if trials is None:
                number += 1
                return attempt(number)
            with trials.admitted():
                number += 1
                return attempt(number)

        def report(state: tenacity.RetryCallState) -> None:
            wait_s = state.next_action.sleep if state.next_action is not None else 0.0
            on_event(Retrying(reason=_failure(state).reason, wait_s=wait_s, attempt=number))

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=self._is_enough if trials is None else lambda s: trials.enough(_failure(s)),
            wait=self._wait_s if trials is None else lambda s: trials.wait_s(_failure(s)),
            before_sleep=report,
            sleep=self._sleep if trials is None else trials.sleep,
            reraise=True,
        )
        try:
            return retrying(numbered)
        except TransientError as error:
            if error.lasting is not None:
                raise error.lasting from error
            raise ModelUnavailable(self._last_words(error, attempts=number)) from error

    def _is_enough(self, state: tenacity.RetryCallState) -> bool:
        error = _failure(state)
        most = self._limits.attempts if error.lasting is None else _DOUBTFUL_ATTEMPTS
        return state.attempt_number >= most or self._asks_too_long(error)

    def _asks_too_long(self, error: TransientError) -> bool:
        asked_s = error.asked_wait_s
        return asked_s is not None and asked_s > self._limits.longest_asked_wait_s

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        asked_s = _failure(state).asked_wait_s
        if asked_s is not None:
            # Never sooner than asked; the spread keeps a batch from coming back all at once.
            return asked_s + _RANDOM.uniform(0, min(1.0, asked_s / 10))
        doubled_s = self._limits.first_wait_s * 2.0 ** (state.attempt_number - 1)
        backoff_s = min(self._limits.longest_wait_s, doubled_s)
        return _RANDOM.uniform(backoff_s / 2, backoff_s)

    def _last_words(self, error: TransientError, *, attempts: int) -> str:
        if self._asks_too_long(error):
            asked = duration(error.asked_wait_s or 0.0)
            return f"{error.reason}; the service asks to wait {asked}: run again then"
        times = "attempt" if attempts == 1 else "attempts"
        return f"{error.reason} (gave up after {attempts} {times}): run again later"


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """What ``retry-after-ms`` or ``retry-after`` (seconds or HTTP date) ask for, never below 0.

    ``headers`` looks names up in lower case. What time it is the service's own ``date`` says: the
    clock of this machine may be wrong, or jump.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if seconds == seconds and seconds != float("inf"):  # noqa: PLR0124 - NaN differs from itself
            return max(0.0, seconds)
    when_s = _seconds_of(headers.get("retry-after", ""))
    if when_s is None:
        return None
    now_s = _seconds_of(headers.get("date", ""))
    return max(0.0, when_s - (time.time() if now_s is None else now_s))


def _seconds_of(date: str) -> float | None:
    """Since the epoch, of an HTTP date; None: it is none."""
    parsed = email.utils.parsedate_tz(date)
    try:
        return None if parsed is None else float(email.utils.mktime_tz(parsed))
    except (OverflowError, ValueError):
        return None


def _failure(state: tenacity.RetryCallState) -> TransientError:
    error = state.outcome.exception() if state.outcome is not None else None
    # tenacity asks for stop and wait only after a failure that the predicate let through.
    assert isinstance(error, TransientError)
    return error
