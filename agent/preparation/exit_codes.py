"""Exit codes: the one place that knows the numbers, and which one an outcome or an error comes to.

What they are told of is loaded when it is asked about: the numbers are needed by ``--help`` too.
"""

from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from agent.record.outcome import Outcome

DONE = 0
NOT_FINISHED = 1
USAGE = 2
ENVIRONMENT = 3
MODEL = 4
EXPORT_REFUSED = 5
INTERRUPTED = 130


def of_outcome(outcome: "Outcome") -> int:
    """The code of a run that ended so."""
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
        RecordFailed,
        Refused,
        SandboxFailed,
    )

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
