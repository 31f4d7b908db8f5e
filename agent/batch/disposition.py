"""What becomes of an attempt once one of its runs has ended: a value from values.

Owns the rule of what counts, what is tried again and how soon, and what is left for another day.
Refuses to know how that is brought about (`agent.batch.scheduler`).
"""

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.order import AttemptEnd
from agent.batch.queue.states import AttemptState
from policies.frozen import dataclass

MOST_TRIES = 3
"""Of what fails by its environment or the model's service, the first included."""
BACKOFF_S = {ErrorKind.ENVIRONMENT: 2.0, ErrorKind.SERVICE: 15.0}
"""Before the second try; four times as long before the third."""
_FACTOR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """It has come to a state in which it stays by itself."""

    state: AttemptState
    result: AttemptResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """It is tried again."""

    wait_s: float
    counts: bool
    """It was one of the tries that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunAgain:
    """Another run is due at once: the last one could not be gone on with."""


Disposition = Settled | Postponed | BegunAgain


def dispose(
    end: AttemptEnd, *, tries: int, cancelling: bool, stopping: bool, engine_awaited: bool
) -> Disposition:
    """What becomes of it.

    Args:
        tries: how often it failed before by no fault of the agent.
        cancelling: somebody wanted it to end.
        stopping: nothing new is begun any more.
        engine_awaited: it failed because no engine answers, and that may still come back.
    """
    result, failure = end.result, end.failure
    if end.begin_again and not stopping and not cancelling:
        return BegunAgain()
    if end.begin_again or end.interrupted:
        state = AttemptState.CANCELLED if cancelling else AttemptState.STOPPED
    elif failure is None or failure.kind is ErrorKind.AGENT:
        state = AttemptState.DONE
    elif failure.again and cancelling:
        state = AttemptState.CANCELLED
    elif failure.again and stopping:
        state = AttemptState.STOPPED
    elif engine_awaited:
        return Postponed(wait_s=BACKOFF_S[failure.kind] * _FACTOR, counts=False)
    elif failure.again and tries + 1 < MOST_TRIES:
        return Postponed(wait_s=BACKOFF_S[failure.kind] * _FACTOR**tries, counts=True)
    elif failure.kind is ErrorKind.ENVIRONMENT:
        return Settled(state=AttemptState.SET_ASIDE, result=_set_aside(result, tries))
    else:
        state = AttemptState.STOPPED
    return Settled(state=state, result=result)


def _set_aside(result: AttemptResult, tries: int) -> AttemptResult:
    times = f"after {tries + 1} tries" if tries else "it would be the same again"
    return result.replaced({"detail": f"set aside: {result.detail} ({times})"})
