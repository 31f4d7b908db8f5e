"""Which exit code an outcome or an error comes to."""

from typing import assert_never

from agent.errors import ModelError, RecordError, UsageError
from agent.preparation import exit_codes
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
from policies.errors import PolicyError
from sandbox.errors import SandboxError


def of_outcome(outcome: Outcome) -> int:
    match outcome:
        case Finished():
            return exit_codes.DONE
        case LimitReached() | GaveUp() | Refused() | NotVerified() | CutShort():
            return exit_codes.NOT_FINISHED
        case SandboxFailed() | RecordFailed() | Crashed():
            return exit_codes.ENVIRONMENT
        case ModelFailed():
            return exit_codes.MODEL
        case ExportRefused():
            return exit_codes.EXPORT_REFUSED
        case Interrupted():
            return exit_codes.INTERRUPTED
        case _:
            assert_never(outcome)


def of_error(error: Exception) -> int | None:
    """The code for an error that a command raised; None: it is a defect, not one of ours."""

    match error:
        case UsageError() | PolicyError():
            return exit_codes.USAGE
        case SandboxError() | RecordError():
            return exit_codes.ENVIRONMENT
        case ModelError():
            return exit_codes.MODEL
        case _:
            return None
