"""Whose failure it was: from how a run ended, or the error that kept it from beginning, to a kind.

Owns what is worth another try, and what fails all that share it. Refuses to know what is done about
it (`agent.batch.scheduler`).
"""

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, assert_never, get_args

from agent import errors
from agent.batch.attempt import ErrorKind
from agent.errors import RecordError
from agent.record import outcome as outcomes
from agent.record.summary import RUNNING, RunSummary
from agent.risk.finding import NOT_APPROVED
from agent.risk.opinion import NoOpinion
from agent.verification import NotRun
from policies.errors import CarryingError, PolicyError
from policies.frozen import dataclass
from sandbox import errors as sandbox_errors


class SharedBy(Enum):
    """Whom it would hit as well."""

    NOBODY = auto()
    MODEL = auto()
    """Every task of the same model."""
    FIRST_REQUEST = auto()
    """Every task of the same model, if it refuses several and has answered none: a first request
    holds words of the repository too, and those may be why it is refused."""
    POLICY = auto()
    """Every task of the same policy."""
    ENGINE = auto()
    """All, as long as the container engine does not answer."""
    BATCH = auto()
    """All of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    kind: ErrorKind
    again: bool = False
    """Another try may go better."""
    shared: SharedBy = SharedBy.NOBODY


PASSING = Failure(kind=ErrorKind.ENVIRONMENT, again=True)
NO_ENGINE = Failure(kind=ErrorKind.ENVIRONMENT, again=True, shared=SharedBy.ENGINE)
LASTING = Failure(kind=ErrorKind.ENVIRONMENT)
BUSY = Failure(kind=ErrorKind.SERVICE, again=True)
BY_AGENT = Failure(kind=ErrorKind.AGENT)
OF_TASK = Failure(kind=ErrorKind.SETTING)
OF_MODEL = Failure(kind=ErrorKind.SETTING, shared=SharedBy.MODEL)
OF_FIRST_REQUEST = Failure(kind=ErrorKind.SETTING, shared=SharedBy.FIRST_REQUEST)
OF_BATCH = Failure(kind=ErrorKind.SETTING, shared=SharedBy.BATCH)
OF_POLICY = Failure(kind=ErrorKind.SETTING, shared=SharedBy.POLICY)

OF_ERRORS: Mapping[type[Exception], Failure] = MappingProxyType(
    {
        errors.UsageError: OF_TASK,
        errors.ModelError: OF_TASK,
        errors.ModelUnavailable: BUSY,
        errors.ModelRefusedRequest: OF_TASK,
        errors.ModelTooLong: BY_AGENT,
        errors.ModelAuth: OF_MODEL,
        errors.ModelBilling: OF_MODEL,
        errors.RecordError: PASSING,
        PolicyError: OF_POLICY,
        sandbox_errors.SandboxError: PASSING,
        sandbox_errors.EngineUnavailable: NO_ENGINE,
        sandbox_errors.EngineError: PASSING,
        sandbox_errors.EngineDiskFull: PASSING,
        sandbox_errors.VolumeRefused: PASSING,
        # A missing image, or one for another platform, is the same a minute later.
        sandbox_errors.ImageUnusable: LASTING,
        sandbox_errors.SetupFailed: PASSING,
        sandbox_errors.ServiceFailed: PASSING,
        sandbox_errors.KernelUnsupported: LASTING,
        sandbox_errors.SealBroken: PASSING,
        sandbox_errors.WorkspaceError: LASTING,
        sandbox_errors.WorkspaceChanged: PASSING,
        sandbox_errors.SandboxLost: PASSING,
        sandbox_errors.ContainerGone: PASSING,
        sandbox_errors.PatchError: PASSING,
        # Two files of one SHA-1 id are no accident.
        sandbox_errors.CollisionError: BY_AGENT,
        sandbox_errors.FileError: PASSING,
        OSError: PASSING,
        CarryingError: PASSING,
        # A defect of ours, which is never the agent's.
        Exception: PASSING,
    }
)
"""By the class of the error; what is not named here fails as its nearest base does."""

_BY_NAME = {made.__name__: failure for made, failure in OF_ERRORS.items()}


def of_error(error: Exception) -> Failure:
    """Of an error that kept a run from beginning."""
    return next(OF_ERRORS[made] for made in type(error).__mro__ if made in OF_ERRORS)


def of_outcome(  # noqa: PLR0911 - one a kind
    outcome: outcomes.Outcome,
    *,
    turns: int = 1,
    verification: object = None,
    opinion: object = None,
) -> Failure | None:
    """Of how a run ended; None where nobody failed.

    Args:
        turns: answers of the model that there were: what refuses one's first request may well
            refuse those of all.
        verification: what came of the operator's check.
        opinion: what came of the review of the patch.
    """
    match outcome:
        case outcomes.Finished() | outcomes.Interrupted():
            return None
        case outcomes.LimitReached(limit=limit) if limit.of_batch:
            return OF_BATCH
        case outcomes.LimitReached() | outcomes.GaveUp() | outcomes.Refused():
            return BY_AGENT
        case outcomes.ExportRefused(findings=findings):
            refusing = {finding.id for finding in findings if finding.refuses}
            if isinstance(opinion, NoOpinion) and refusing == {NOT_APPROVED}:
                return _of_review(opinion.cause)
            return BY_AGENT
        case outcomes.NotVerified():
            # A check that could not be run says nothing of the agent.
            return PASSING if isinstance(verification, NotRun) else BY_AGENT
        case outcomes.ModelFailed(cause=cause):
            if cause == errors.ModelRefusedRequest.__name__ and not turns:
                return OF_FIRST_REQUEST
            return _BY_NAME.get(cause, OF_TASK)
        case outcomes.SandboxFailed(cause=cause):
            return _BY_NAME.get(cause, PASSING)
        case outcomes.RecordFailed() | outcomes.Crashed() | outcomes.CutShort():
            return PASSING
        case _:
            assert_never(outcome)


def _of_review(cause: str) -> Failure:
    """Of a patch that lacks nothing but the opinion of a reviewer that could not be asked: what is
    wrong with the key of its model is so for all whose policy asks for it; a request that it
    refuses holds words of this patch, and is nobody else's."""
    failed = _BY_NAME.get(cause, BY_AGENT)
    return OF_POLICY if failed is OF_MODEL else failed


def of_summary(summary: RunSummary) -> Failure | None:
    """Of a run that is over, by its summary alone."""
    outcome = outcome_of(summary)
    return of_outcome(
        outcome,
        turns=summary.turns,
        verification=summary.verification,
        opinion=summary.opinion,
    )


def outcome_of(summary: RunSummary) -> outcomes.Outcome:
    """How a run ended, from the words of its summary.

    Raises:
        RecordError: they are none of ours.
    """
    word, detail = summary.outcome, summary.detail
    if word == RUNNING:
        return outcomes.CutShort(detail="the process that ran it ended")
    kind, _, limit = word.partition(": ")
    if kind == "limit" and limit in {str(one) for one in outcomes.RunLimit}:
        return outcomes.LimitReached(limit=outcomes.RunLimit(limit), detail=detail)
    if word not in _KINDS:
        raise RecordError(f"run {summary.run_id} ended as {word!r:.60}, which no run of ours does")
    said = dict.fromkeys(("message", "reason", "detail"), detail) | {
        "signal": detail.removeprefix("by "),
        "cause": summary.cause,
        "findings": summary.findings,
        "before": outcomes.CutShort(detail=detail),
    }
    made: outcomes.Outcome = _KINDS[word](**{it.name: said[it.name] for it in fields(_KINDS[word])})
    return made


_KINDS: Mapping[str, Any] = {
    outcomes.name_of(made): made
    for made in get_args(outcomes.Outcome)
    if made is not outcomes.LimitReached
}
"""By its word; each is made of what a summary says under the name of its field."""
