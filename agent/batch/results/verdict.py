"""What a task came to in one word, for whoever counts: build servers and the summary."""

from enum import StrEnum

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.record.outcome import Finished, name_of

_FINISHED = name_of(Finished)


class TaskVerdict(StrEnum):
    PASSED = "passed"
    """The agent finished, and what was to be checked holds."""
    FAILURE = "failure"
    """The agent's own: a limit, gave up, a verification that failed, a patch that was refused."""
    ERROR = "error"
    """Somebody else's: the engine, the model's service, a setting."""
    NOT_DONE = "not done"
    """No attempt is over, or it was interrupted or cancelled, which is nobody's failure."""


def verdict(row: AttemptResult | None) -> TaskVerdict:
    """By the chosen attempt; None where there is none."""
    if row is None:
        return TaskVerdict.NOT_DONE
    if row.error_kind is not None:
        by_agent = row.error_kind is ErrorKind.AGENT
        return TaskVerdict.FAILURE if by_agent else TaskVerdict.ERROR
    if row.outcome != _FINISHED:
        return TaskVerdict.NOT_DONE
    return TaskVerdict.FAILURE if row.verified is False else TaskVerdict.PASSED
