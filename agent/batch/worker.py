"""One attempt at a task, from its order to its row of the results.

policy, model and record ─► Job ─► Run.go ─► summary and report ─► the row

Every engine calls `perform`, in a thread here or in a process elsewhere. Whatever goes wrong is a
value in what it gives: a task that fails fails alone.
"""

from collections.abc import Mapping

from agent.batch import failure
from agent.batch.attempt import AttemptResult
from agent.batch.order import AttemptEnd, AttemptOrder, WorkerServices
from agent.batch.results.rows import attempt_row
from agent.batch.take_up import finished, model_of, setup_of, taken_up, used_in
from agent.batch.workspace import workspace_of
from agent.errors import RecordError
from agent.interrupts import SignalReceived
from agent.lifecycle.job import Job
from agent.record import outcome as outcomes
from agent.record.outcome import Interrupted
from agent.record.run_log import OWN
from agent.record.store import EVENTS, RunRecord, runs_directory
from agent.record.summary import RunSummary
from sandbox.workspace.source import Workspace

NOT_BEGUN = "not begun"
"""In place of an outcome, where it came to no run."""


def perform(order: AttemptOrder, services: WorkerServices) -> AttemptEnd:
    """Do it, or go on with it; gives its row, and whose failure it was if it failed."""
    try:
        summary = _summary(order, services)
        if summary is None:
            return AttemptEnd(result=_void(order), begin_again=True)
        failed = failure.of_summary(summary)
        row = attempt_row(
            order.task,
            order.attempt,
            order.directory,
            runs_directory(order.directory) / order.run_id,
            error_kind=None if failed is None else failed.kind,
        )
        return AttemptEnd(
            result=row,
            failure=failed,
            interrupted=summary.outcome == outcomes.name_of(Interrupted),
        )
    except SignalReceived as signal:
        return AttemptEnd(result=not_begun(order, f"by {signal.name}"), interrupted=True)
    except Exception as error:  # noqa: BLE001 - a defect of ours in one task must not end the others
        return not_done(order, error)


def not_done(order: AttemptOrder, error: Exception) -> AttemptEnd:
    """The end of an attempt that an error kept from beginning."""
    if not isinstance(error, tuple(failure.OF_ERRORS)[:-1]):
        OWN.error("a defect of Moonpool in a batch", exc_info=error)
    failed = failure.of_error(error)
    result = not_begun(order, str(error) or repr(error))
    return AttemptEnd(result=result.replaced({"error_kind": failed.kind}), failure=failed)


def not_begun(order: AttemptOrder, why: str) -> AttemptResult:
    """The row of an attempt that came to no run, or to none that ended; what it used counts."""
    run = runs_directory(order.directory) / order.run_id
    row = AttemptResult(
        task_id=order.task.id,
        attempt=order.attempt,
        run_id=None,
        outcome=NOT_BEGUN,
        detail=why,
        model=order.model,
    )
    return row.replaced({"run_id": order.run_id, **used_in(run)}) if run.is_dir() else row


def _void(order: AttemptOrder) -> AttemptResult:
    """The row of a run that could not be gone on with: what it used counts."""
    run = runs_directory(order.directory) / order.run_id
    try:
        row = attempt_row(order.task, order.attempt, order.directory, run)
        return row.replaced(used_in(run))
    except RecordError:
        return not_begun(order, "its record can't be read")


def _summary(order: AttemptOrder, services: WorkerServices) -> RunSummary | None:
    """What the run came to; None: it can't be gone on with."""
    if order.take_up and (runs_directory(order.directory) / order.run_id / EVENTS).exists():
        return taken_up(order, services)
    workspace = workspace_of(order, services.environ)
    model = model_of(order, services)
    record = RunRecord.create(
        order.directory, run_id=order.run_id, known_secrets=services.known_secrets
    )
    try:
        job = job_of(order, workspace, services.environ)
        return finished(setup_of(order, services, job, record, model), services)
    finally:
        record.close()


def job_of(order: AttemptOrder, workspace: Workspace, environ: Mapping[str, str]) -> Job:
    """What an order asks of a run."""
    return Job(
        run_id=order.run_id,
        task=order.task.prompt,
        workspace=workspace,
        policy=order.policy,
        verify=order.task.verify,
        verifier=order.task.verifier,
        instructions=order.instructions,
        may_ask=False,
        kernel_policy=order.kernel_policy,
        accepted_risks=order.accepted_risks,
        environ=environ,
    )
