"""A run of a batch whose process ended: gone on with in its container, or brought to its end.

Owns the judgement which of the two. Whatever can't be gone on with is exported and closed, so that
another run may begin: no container stays, and no work is lost.
"""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from agent.batch.order import AttemptOrder, WorkerServices
from agent.conversation.approval import nobody_to_ask
from agent.errors import RecordError, UsageError
from agent.models.open_model import open_model
from agent.open_sandbox import reopen_sealed
from agent.past_runs.rescue import KeptContainer, Rescuer
from agent.past_runs.resume import HeldRun, take
from agent.record.reader import read_record
from agent.record.state.run import BudgetSpent, RunState, apply
from agent.record.store import RecordHeld
from agent.record.summary import RunSummary
from agent.session import RunSetup
from policies.file.rendering import as_data, spelled
from sandbox.engine.docker import Engine
from sandbox.engine.labels import LABEL_RUN
from sandbox.errors import ContainerGone, EngineError, SandboxError
from sandbox.prune import Leftover, LeftoverKind
from sandbox.sandbox import Sandbox


def spent_of(directory: Path) -> BudgetSpent:
    """What a run has used so far, by its record; nothing where that can't be read."""
    state = RunState()
    with contextlib.suppress(RecordError):
        for line in read_record(directory).lines:
            state = apply(state, line.event)
    return state.spent


Finish = Callable[[RunSetup], RunSummary]
"""Does the run, and writes what is left to write."""


def taken_up(order: AttemptOrder, services: WorkerServices, finish: Finish) -> RunSummary | None:
    """What the run came to; None: it could not be gone on with, and nothing of it stands.

    Raises:
        RecordHeld: another process works on it.
        EngineUnavailable, SandboxError: it can't be said, or what it did can't be exported yet.
    """
    engine = Engine.connect(services.environ)
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
            found = _of_record(taken, order, services, engine, finish)
        finally:
            taken.record.close()
        if found is not None:
            return found
    _close(order, services, engine)
    return None


def _of_record(
    taken: HeldRun,
    order: AttemptOrder,
    services: WorkerServices,
    engine: Engine,
    finish: Finish,
) -> RunSummary | None:
    past = taken.past
    over, ready = past.state.over, past.state.ready
    if over is not None and over.container_left is None:
        _remove_all(engine, order.run_id)
        # It may have been killed between its last event and its summary.
        taken.record.write_summary(taken.summary.json_object())
        return taken.summary
    if ready is None:
        taken.record.write_summary(taken.summary.json_object())
        return None
    try:
        box = _reopened(taken, order, engine)
    except ContainerGone:
        if past.state.exported is None:
            return None
        _remove_all(engine, order.run_id)
        taken.record.write_summary(taken.summary.json_object())
        return taken.summary
    if box is None:
        return None
    model = open_model(order.model, environ=services.environ, configuration=order.configuration)
    _remove_all(engine, order.run_id, but=box.id)
    return finish(
        RunSetup(
            job=taken.job,
            model=model,
            open_box=lambda _job, _progress: box,
            record=taken.record,
            show=services.show,
            approve=nobody_to_ask,
            interrupts=services.interrupts,
            exit_code=order.exit_code,
            facts=order.facts,
            past=past,
            torn_bytes=taken.torn_bytes,
            share=services.share(order.model),
        )
    )


def _reopened(taken: HeldRun, order: AttemptOrder, engine: Engine) -> Sandbox | None:
    """Its sandbox, where the agent may go on in it. Raises ContainerGone."""
    rules = hashlib.sha256(spelled(as_data(order.policy)).encode()).hexdigest()
    same = taken.exact_policy and rules == taken.past.started.rules_sha256
    if not same or taken.obstacle or taken.past.started.model != order.model:
        return None
    box, reason = reopen_sealed(taken.job, taken.remembered, engine)
    if not reason:
        return box
    box.break_off()
    return None


def _close(order: AttemptOrder, services: WorkerServices, engine: Engine) -> None:
    """Export what stands of the run, and remove it. Raises SandboxError where that can't be."""
    rescue = Rescuer(
        engine=engine,
        home=order.directory,
        environ=services.environ,
        known_secrets=services.known_secrets,
        exit_code=order.exit_code,
        end_running=False,
    )
    for row in engine.containers(f"{LABEL_RUN}={order.run_id}"):
        item = Leftover(
            kind=LeftoverKind.CONTAINER, id=row.id, run=order.run_id, state=row.state, expired=True
        )
        match rescue(item):
            case KeptContainer(reason=reason):
                raise SandboxError(f"what run {order.run_id} did can't be exported: {reason}")
            case _:
                pass
    _remove_all(engine, order.run_id)


def _remove_all(engine: Engine, run_id: str, *, but: str = "") -> None:
    """Containers and volumes of a run, such as that of its verification, but for one container
    with its volumes."""
    for row in engine.containers(f"{LABEL_RUN}={run_id}"):
        if row.id != but:
            with contextlib.suppress(EngineError):
                engine.remove(row.id)
    for volume in engine.volumes(f"{LABEL_RUN}={run_id}"):
        # The engine refuses what is in use.
        with contextlib.suppress(EngineError):
            engine.remove_volume(volume.name)
