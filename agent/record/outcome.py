"""How a run ended, as variants. Owns the meanings, and which exit code each comes to."""

import re
from dataclasses import field
from enum import StrEnum
from typing import assert_never, get_args

from agent import exit_codes
from agent.risk.finding import Finding
from policies.errors import first_lines
from policies.frozen import dataclass


class RunLimit(StrEnum):
    TURNS = "turns"
    INPUT_TOKENS = "input tokens"
    OUTPUT_TOKENS = "output tokens"
    USD = "dollars"
    TIME = "time"
    CONTEXT = "context window"
    BATCH_USD = "the batch's dollars"
    BATCH_TOKENS = "the batch's tokens"
    BATCH_TIME = "the batch's time"

    @property
    def of_batch(self) -> bool:
        """It is shared by all runs of a batch, and says nothing of the one that reached it."""
        return self in {RunLimit.BATCH_USD, RunLimit.BATCH_TOKENS, RunLimit.BATCH_TIME}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    message: str
    """The model's last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached:
    limit: RunLimit
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp:
    """The agent got nowhere: the same failing call again and again, or no answers."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The model declined the task."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """By SIGINT, SIGTERM or SIGHUP."""

    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFailed:
    message: str
    cause: str = field(default="", compare=False)
    """The name of the error's class; empty where a record does not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFailed:
    message: str
    cause: str = field(default="", compare=False)
    """As in `ModelFailed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailed:
    """The run's own record could not be written."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed:
    """A defect of Moonpool's own."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotVerified:
    """The agent finished, and the operator's check failed on a fresh copy."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRefused:
    """The gate refused the patch. `before` is how the conversation had ended."""

    findings: tuple[Finding, ...]
    before: "Conversation"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutShort:
    """The orchestrator ended in the middle; what stood was exported later."""

    detail: str


Conversation = (
    Finished
    | LimitReached
    | GaveUp
    | Refused
    | Interrupted
    | ModelFailed
    | SandboxFailed
    | RecordFailed
    | Crashed
    | CutShort
)
"""How the loop can end."""

Outcome = Conversation | NotVerified | ExportRefused


NOTHING_ASKED = Finished(message="nothing was asked")
"""How a chat has ended before its first request."""


def name(outcome: Outcome) -> str:
    """One word or two for a list: ``finished``, ``limit: turns`` …"""
    match outcome:
        case LimitReached():
            return f"limit: {outcome.limit}"
        case _:
            return name_of(type(outcome))


_REFUSALS_TOLD = 10


def names() -> frozenset[str]:
    """Every word that `name` gives."""
    kinds = {made for made in get_args(Outcome) if made is not LimitReached}
    return frozenset({*map(name_of, kinds), *(f"limit: {limit}" for limit in RunLimit)})


def name_of(made: type[Outcome]) -> str:
    """The word for a kind of outcome, but for `LimitReached`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", made.__name__).lower()


def exit_code(outcome: Outcome) -> int:
    """The code of a command whose run ended so."""
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


def cause(outcome: Outcome) -> str:
    """The name of the class of the error that ended it; empty where none did."""
    ended = outcome.before if isinstance(outcome, ExportRefused) else outcome
    return ended.cause if isinstance(ended, ModelFailed | SandboxFailed) else ""


def detail(outcome: Outcome) -> str:
    """What there is to say about it; may be empty, may have several lines."""
    match outcome:
        case Finished() | Refused() | ModelFailed() | SandboxFailed() | RecordFailed() | Crashed():
            return outcome.message
        case LimitReached() | NotVerified() | CutShort():
            return outcome.detail
        case GaveUp():
            return outcome.reason
        case Interrupted():
            return f"by {outcome.signal}"
        case ExportRefused():
            refusing = [finding for finding in outcome.findings if finding.refuses]
            lines = (f"{finding.id}: {finding.reason}" for finding in refusing)
            return "\n".join(first_lines(lines, _REFUSALS_TOLD))
