"""A run of a batch whose process ended: gone on with in its container, or brought to its end.

Owns the judgement which of the two. Whatever can't be gone on with is exported and closed, so that
another run may begin: no container stays, and no work is lost.
"""

import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path

from agent.batch.attempt import AttemptResult
from agent.batch.leftovers import LeftoverRemover
from agent.batch.order import AttemptOrder, WorkerServices
from agent.batch.queue.states import AttemptState, QueuedAttempt
from agent.errors import RecordError, UsageError
from agent.lifecycle.job import Job
from agent.lifecycle.open_sandbox import reopen_sealed
from agent.lifecycle.session import RunSetup
from agent.models.interface import Model
from agent.models.open_model import open_model
from agent.past_runs.resume import HeldRun, take
from agent.preparation.prepare import carry_out
from agent.record.reader import read_record
from agent.record.run_state import BudgetSpent, RunState, apply
from agent.record.store import RecordHeld, RunRecord, runs_directory
from agent.record.summary import RunSummary
from agent.review.opinion.asking import Reviewer
from policies.decision import nobody_to_ask
from policies.file.schema import as_data, as_yaml
from sandbox.engine.docker import Engine
from sandbox.errors import ContainerGone
from sandbox.sandbox import Sandbox


def spent_of(directory: Path) -> BudgetSpent:
    """What a run whose process ended has used, by its record; nothing where that can't be read."""
    state = RunState()
    with contextlib.suppress(RecordError):
        for line in read_record(directory).lines:
            state = apply(state, line.event)
    return state.spent.settled()


def used_in(directory: Path) -> dict[str, object]:
    """What a run has used by its record, as fields of its attempt's row."""
    spent = spent_of(directory)
    return {
        "input_tokens": spent.used.all_input,
        "output_tokens": spent.used.output_tokens,
        "usd": spent.usd,
    }


def abandoned(one: QueuedAttempt, directory: Path) -> AttemptResult:
    """The row of a run whose task is not in the file any more: what it used counts all the same.

    Args:
        directory: the batch's folder.
    """
    row = AttemptResult(
        task_id=one.task_id,
        attempt=one.attempt,
        run_id=one.run_id,
        outcome=str(AttemptState.STOPPED),
        detail="its task is not in the file any more",
    )
    return row.replaced(used_in(runs_directory(directory) / (one.run_id or "")))


def reviewer_of(order: AttemptOrder, services: WorkerServices) -> Reviewer | None:
    """Who gives the second opinion that an order's policy wants; None where it wants none.

    Raises:
        UsageError, ModelError: the model can't be opened.
    """
    name = order.policy.review.model
    if name is None:
        return None
    model = open_model(name, environ=services.environ, configuration=order.configuration)
    return Reviewer(model=model, facts=order.reviewer_facts, share=services.share(name))


def model_of(order: AttemptOrder, services: WorkerServices) -> Model:
    """Raises UsageError, ModelError: it can't be opened."""
    return open_model(order.model, environ=services.environ, configuration=order.configuration)


def setup_of(
    order: AttemptOrder, services: WorkerServices, job: Job, record: RunRecord, model: Model
) -> RunSetup:
    """A run of an attempt as it begins. Raises: as `reviewer_of`."""
    return RunSetup(
        job=job,
        model=model,
        open_box=services.open_box,
        record=record,
        show=services.show,
        approve=nobody_to_ask,
        interrupts=services.interrupts,
        facts=order.facts,
        share=services.share(order.model),
        reviewer=reviewer_of(order, services),
    )


def finished(setup: RunSetup, services: WorkerServices) -> RunSummary:
    """Do the run, and write what is left to write."""
    return carry_out(setup, telemetry=services.telemetry).document


def taken_up(order: AttemptOrder, services: WorkerServices) -> RunSummary | None:
    """What the run came to; None: it could not be gone on with, and nothing of it stands.

    Raises:
        RecordHeld: another process works on it.
        EngineUnavailable, SandboxError: it can't be said, or what it did can't be exported yet.
    """
    leftovers = LeftoverRemover(
        engine=Engine.connect(services.environ),
        directory=order.directory,
        environ=services.environ,
        known_secrets=services.known_secrets,
    )
    try:
        taken = take(
            order.directory,
            order.run_id,
            environ=services.environ,
            known_secrets=services.known_secrets,
            may_ask=False,
        )
    except RecordHeld:
        raise
    except (RecordError, UsageError):
        # What the record can't say the container does.
        taken = None
    if taken is not None:
        try:
            found = _of_record(taken, order, services, leftovers)
        finally:
            taken.record.close()
        if found is not None:
            return found
    leftovers.close(order.run_id)
    return None


def _of_record(
    taken: HeldRun, order: AttemptOrder, services: WorkerServices, leftovers: LeftoverRemover
) -> RunSummary | None:
    past = taken.past
    over, ready = past.state.over, past.state.ready
    if over is not None and over.container_left is None:
        leftovers.remove(order.run_id)
        # It may have been killed between its last event and its summary.
        taken.record.write_summary(taken.summary.json_object())
        return taken.summary
    if ready is None:
        taken.record.write_summary(taken.summary.json_object())
        return None
    try:
        box = _reopened(taken, order, leftovers.engine)
    except ContainerGone:
        taken.record.write_summary(taken.summary.json_object())
        if past.state.exported is None:
            return None
        leftovers.remove(order.run_id)
        return taken.summary
    if box is None:
        return None
    # What a check brings is in no record.
    job = replace(taken.job, verifier=order.task.verifier)
    setup = setup_of(order, services, job, taken.record, model_of(order, services))
    leftovers.remove(order.run_id, but=box.id)
    again = replace(
        setup, open_box=lambda _job, _progress: box, past=past, torn_bytes=taken.torn_bytes
    )
    return finished(again, services)


def _reopened(taken: HeldRun, order: AttemptOrder, engine: Engine) -> Sandbox | None:
    """Its sandbox, where the agent may go on in it. Raises ContainerGone."""
    rules = hashlib.sha256(as_yaml(as_data(order.policy)).encode()).hexdigest()
    same = taken.exact_policy and rules == taken.past.started.rules_sha256
    if not same or taken.obstacle or taken.past.started.model != order.model:
        return None
    box, reason = reopen_sealed(taken.job, taken.remembered, engine)
    if not reason:
        return box
    box.break_off()
    return None
