"""Exit codes: the one place that knows them."""

from typing import assert_never

from agent.record.outcome import (
    Crashed,
    CutShort,
    ExportRefused,
    Finished,
    GaveUp,
    Interrupted,
    LimitReached,
    ModelFailed,
    NotVerified,
    Outcome,
    RecordFailed,
    Refused,
    SandboxFailed,
)

DONE = 0
NOT_FINISHED = 1
USAGE = 2
ENVIRONMENT = 3
MODEL = 4
EXPORT_REFUSED = 5
INTERRUPTED = 130


def of_outcome(outcome: Outcome) -> int:
    match outcome:
        case Finished():
            return DONE
        case LimitReached() | GaveUp() | Refused() | NotVerified() | CutShort():
            return NOT_FINISHED
        case SandboxFailed() | RecordFailed() | Crashed():
            return ENVIRONMENT
        case ModelFailed():
            return MODEL
        case ExportRefused():
            return EXPORT_REFUSED
        case Interrupted():
            return INTERRUPTED
        case _:
            assert_never(outcome)


def of_error(error: Exception) -> int | None:
    """The code for an error that a command raised; None: it is a defect, not one of ours."""
    from agent.errors import ModelError, RecordError, UsageError
    from policies.errors import PolicyError
    from sandbox.errors import SandboxError

    match error:
        case UsageError() | PolicyError():
            return USAGE
        case SandboxError() | RecordError():
            return ENVIRONMENT
        case ModelError():
            return MODEL
        case _:
            return None
