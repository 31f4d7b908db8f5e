"""What happens in a batch, as values: the lines of ``--json`` are made of these."""

from agent.batch.attempt import AttemptResult
from agent.batch.queue.states import AttemptState, QueuedAttempt
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptBegun:
    task_id: str
    attempt: int
    run_id: str
    taken_up: bool
    """A process that ended had begun it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDelayed:
    """It failed by no fault of the agent, and is tried again."""

    result: AttemptResult
    wait_s: float
    tries: int
    """Those that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    state: AttemptState
    result: AttemptResult

    @property
    def is_said_already(self) -> bool:
        """It was never begun, for a reason that was told for all that share it."""
        return self.state is AttemptState.STOPPED and self.result.run_id is None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNotice:
    """What a person should know."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSteered:
    """Another process changed the queue. For the tally alone."""

    attempts: tuple[QueuedAttempt, ...]


BatchEvent = AttemptBegun | AttemptDelayed | AttemptEnded | BatchNotice | QueueSteered
