"""Where an attempt is on its way."""

from enum import StrEnum

from agent.batch.attempt import AttemptResult
from policies.frozen import dataclass


class AttemptState(StrEnum):
    WAITING = "waiting"
    DELAYED = "delayed"
    """It failed by no fault of the agent, and waits for its next try."""
    RUNNING = "running"
    DONE = "done"
    """It came to its end, finished or not, and counts."""
    STOPPED = "stopped"
    """It was broken off, or could not be: the next start of the same command begins it again."""
    SET_ASIDE = "set aside"
    """Its environment failed as often as is tried, or for good; `batch retry` begins it again."""
    CANCELLED = "cancelled"


OPEN = (AttemptState.WAITING, AttemptState.DELAYED, AttemptState.RUNNING)
"""States from which an attempt goes on by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedAttempt:
    """One attempt at a task, as it stands in the database."""

    task_id: str
    attempt: int
    """From 1."""
    state: AttemptState
    tries: int
    """How often it was begun and failed by no fault of the agent, since it was last asked for."""
    run_id: str | None
    """Of its newest run."""
    cancelling: bool = False
    """Somebody wants it to end."""
    result: AttemptResult | None = None
    """None as long as there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What was asked of the batch from another terminal."""

    paused: bool = False
    """No further task is begun."""
    workers: int | None = None
    """How many tasks run at once; None: as the command said."""
