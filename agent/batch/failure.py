"""Whose failure it was: from how a run ended, or the error that kept it from beginning, to a kind.

Owns what is worth another try, and what fails all that share it. Refuses to know what is done about
it (`agent.batch.scheduler`).
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType

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


_NOT_VERIFIED = outcomes.name_of(outcomes.NotVerified)
_EXPORT_REFUSED = outcomes.name_of(outcomes.ExportRefused)
_MODEL_FAILED = outcomes.name_of(outcomes.ModelFailed)
_SANDBOX_FAILED = outcomes.name_of(outcomes.SandboxFailed)
_BY_OUTCOME: Mapping[str, Failure | None] = {
    RUNNING: PASSING,  # the process that ran it ended
    **{f"limit: {limit}": OF_BATCH if limit.of_batch else BY_AGENT for limit in outcomes.RunLimit},
    outcomes.name_of(outcomes.Finished): None,
    outcomes.name_of(outcomes.Interrupted): None,
    outcomes.name_of(outcomes.GaveUp): BY_AGENT,
    outcomes.name_of(outcomes.Refused): BY_AGENT,
    outcomes.name_of(outcomes.RecordFailed): PASSING,
    outcomes.name_of(outcomes.Crashed): PASSING,
    outcomes.name_of(outcomes.CutShort): PASSING,
    _NOT_VERIFIED: BY_AGENT,
    _EXPORT_REFUSED: BY_AGENT,
    _MODEL_FAILED: OF_TASK,
    _SANDBOX_FAILED: PASSING,
}
"""By how a run ended, as its summary has it, where nothing else in that says more."""


def of_error(error: Exception) -> Failure:
    """Of an error that kept a run from beginning."""
    return next(OF_ERRORS[made] for made in type(error).__mro__ if made in OF_ERRORS)


def of_summary(summary: RunSummary) -> Failure | None:
    """Of a run that is over, by its summary alone; None where nobody failed.

    Raises:
        RecordError: its words are none of ours.
    """
    word, cause = summary.outcome, summary.cause
    if word not in _BY_OUTCOME:
        raise RecordError(f"run {summary.run_id} ended as {word!r:.60}, which no run of ours does")
    failed = _BY_OUTCOME[word]
    if word == _MODEL_FAILED and cause == errors.ModelRefusedRequest.__name__ and not summary.turns:
        return OF_FIRST_REQUEST  # what refuses one's first request may well refuse those of all
    if word in {_MODEL_FAILED, _SANDBOX_FAILED}:
        return _BY_NAME.get(cause, failed)
    if word == _NOT_VERIFIED and isinstance(summary.verification, NotRun):
        return PASSING  # a check that could not be run says nothing of the agent
    if word == _EXPORT_REFUSED and isinstance(summary.opinion, NoOpinion):
        refusing = {finding.id for finding in summary.findings if finding.refuses}
        return _of_review(summary.opinion.cause) if refusing == {NOT_APPROVED} else failed
    return failed


def _of_review(cause: str) -> Failure:
    """Of a patch that lacks nothing but the opinion of a reviewer that could not be asked: what is
    wrong with the key of its model is so for all whose policy asks for it; a request that it
    refuses holds words of this patch, and is nobody else's."""
    failed = _BY_NAME.get(cause, BY_AGENT)
    return OF_POLICY if failed is OF_MODEL else failed
