"""Whose failure it was: over every error class there is, and every way that a run ends."""

import inspect
from typing import get_args

import pytest

from agent import errors as agent_errors
from agent.batch import failure
from agent.batch.attempt import ErrorKind
from agent.batch.failure import (
    BUSY,
    BY_AGENT,
    LASTING,
    NO_ENGINE,
    OF_BATCH,
    OF_FIRST_REQUEST,
    OF_MODEL,
    OF_POLICY,
    OF_TASK,
    PASSING,
    Failure,
    SharedBy,
)
from agent.errors import RecordError
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
    RunLimit,
    SandboxFailed,
)
from agent.record.summary import RUNNING
from agent.verification import NotRun
from fakes.batches import a_summary
from policies.errors import PolicyError, Where
from sandbox import errors as sandbox_errors

ALL = [
    found
    for module in (agent_errors, sandbox_errors)
    for _, found in inspect.getmembers(module, inspect.isclass)
    if issubclass(found, Exception) and found.__module__ == module.__name__
]
BY_BASE = {"FileMissing", "FileExists", "FileDenied", "FileWrongType", "NotKept"}
"""Results for the model, which end no run: they fail as their base does."""


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_class_has_its_kind_by_name(kind: type[Exception]) -> None:
    assert kind in failure.OF_ERRORS or kind.__name__ in BY_BASE


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (sandbox_errors.EngineUnavailable("no engine"), NO_ENGINE),
        (sandbox_errors.EngineDiskFull("no space"), PASSING),
        (sandbox_errors.SetupFailed("pip"), PASSING),
        (sandbox_errors.ImageUnusable("for another platform"), LASTING),
        (sandbox_errors.KernelUnsupported("no Landlock"), LASTING),
        (sandbox_errors.WorkspaceError("too large"), LASTING),
        (sandbox_errors.WorkspaceChanged("look again"), PASSING),
        (sandbox_errors.CollisionError("two files"), BY_AGENT),
        (agent_errors.ModelUnavailable("529"), BUSY),
        (agent_errors.ModelAuth("401"), OF_MODEL),
        (agent_errors.ModelBilling("402"), OF_MODEL),
        (agent_errors.ModelTooLong("413"), BY_AGENT),
        (agent_errors.UsageError("no such model"), OF_TASK),
        (PolicyError("no", where=Where(file="p", line=1)), OF_POLICY),
        (RecordError("the disk is full"), PASSING),
        (OSError(28, "no space"), PASSING),
        (ZeroDivisionError(), PASSING),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_before_there_is_a_run(error: Exception, expected: Failure) -> None:
    assert failure.of_error(error) is expected


OUTCOMES: list[tuple[Outcome, Failure | None]] = [
    (Finished(message="done"), None),
    (Interrupted(signal="SIGINT"), None),
    (LimitReached(limit=RunLimit.TURNS, detail="60"), BY_AGENT),
    (LimitReached(limit=RunLimit.USD, detail="5"), BY_AGENT),
    (LimitReached(limit=RunLimit.BATCH_USD, detail="20"), OF_BATCH),
    (GaveUp(reason="the same call"), BY_AGENT),
    (Refused(message="no"), BY_AGENT),
    (NotVerified(detail="1 failed"), BY_AGENT),
    (ExportRefused(findings=(), before=Finished(message="done")), BY_AGENT),
    (ModelFailed(message="529", cause="ModelUnavailable"), BUSY),
    (ModelFailed(message="401", cause="ModelAuth"), OF_MODEL),
    (ModelFailed(message="413", cause="ModelTooLong"), BY_AGENT),
    (ModelFailed(message="400", cause="ModelRefusedRequest"), OF_TASK),
    (ModelFailed(message="script is over", cause="ModelError"), OF_TASK),
    (SandboxFailed(message="gone", cause="ContainerGone"), PASSING),
    (SandboxFailed(message="platform", cause="ImageUnusable"), LASTING),
    (SandboxFailed(message="of an older record"), PASSING),
    (RecordFailed(message="full"), PASSING),
    (Crashed(message="a defect"), PASSING),
    (CutShort(detail="killed"), PASSING),
]


@pytest.mark.parametrize(("outcome", "expected"), OUTCOMES, ids=lambda value: type(value).__name__)
def test_how_a_run_ended(outcome: Outcome, expected: Failure | None) -> None:
    assert failure.of_summary(a_summary(outcome)) is expected


def test_every_way_to_end_is_among_them() -> None:
    assert {type(outcome) for outcome, _ in OUTCOMES} == set(get_args(Outcome))


def test_a_run_whose_process_ended_is_tried_again() -> None:
    assert (
        failure.of_summary(a_summary(Finished(message="")).replaced({"outcome": RUNNING}))
        is PASSING
    )


def test_a_model_that_refuses_a_first_request_may_refuse_all() -> None:
    refused = a_summary(ModelFailed(message="404 no such model", cause="ModelRefusedRequest"))
    assert failure.of_summary(refused.replaced({"turns": 0})) is OF_FIRST_REQUEST


def test_a_check_that_could_not_be_run_says_nothing_of_the_agent() -> None:
    not_run = NotRun(command="pytest", reason="no engine answers")
    said = a_summary(NotVerified(detail="x")).replaced({"verification": not_run})
    assert failure.of_summary(said) is PASSING


def test_a_summary_with_other_words_is_none_of_ours() -> None:
    with pytest.raises(RecordError, match="no run of ours"):
        failure.of_summary(a_summary(Finished(message="x")).replaced({"outcome": "won"}))


def test_what_nobody_else_shares_is_the_tasks_alone() -> None:
    assert {one.shared for one in (OF_TASK, BY_AGENT, BUSY, PASSING)} == {SharedBy.NOBODY}
    assert {one.kind for one in (OF_TASK, OF_MODEL, OF_BATCH)} == {ErrorKind.SETTING}
