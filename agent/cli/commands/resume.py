"""``moonpool resume``: a run whose process was killed, taken up again."""

from dataclasses import replace

from agent.cli import past_run
from agent.cli.arguments import Command, Given, flag
from agent.cli.controller import conduct, may_ask
from agent.cli.options import EVENTS_AS_JSON, MODEL_OF_RUN, PRICES, RUN
from agent.cli.past_run import OF_WORKSPACE
from agent.config import environment
from agent.config.values import Configuration
from agent.errors import UsageError
from agent.lifecycle.open_sandbox import reopen_sealed
from agent.past_runs.resume import HeldRun, take
from agent.preparation import model as model_setup
from agent.preparation.policy import bounded
from agent.record.outcome import CutShort
from sandbox.engine.docker import Engine
from sandbox.errors import ContainerGone
from sandbox.sandbox import Sandbox

EXPORT_ONLY = flag("--export-only", help="Make the patch of what stands, and end the run.")


def resume(given: Given) -> int:
    """Go on, or only export; gives the exit code."""
    home = environment.home()
    configuration = model_setup.load(root=None)
    taken = take(
        home,
        past_run.run_id(given[RUN], given[OF_WORKSPACE]),
        environ=environment.environ(),
        known_secrets=model_setup.known_secrets(configuration),
        may_ask=may_ask(json_lines=given[EVENTS_AS_JSON]),
    )
    try:
        model_setup.refuse_in(configuration, taken.job.workspace)
        # The record holds the policy as it was; what stands above every policy holds now.
        taken = replace(taken, job=replace(taken.job, policy=bounded(taken.job.policy)))
        return _resumed(taken, configuration, given)
    finally:
        taken.record.close()


def _resumed(taken: HeldRun, configuration: Configuration, given: Given) -> int:
    past = taken.past
    _refuse_what_is_over(taken)
    remembered = taken.remembered
    over = past.ended is not None or given[EXPORT_ONLY]
    obstacle = "" if over else taken.obstacle
    named = given[MODEL_OF_RUN] or past.started.model
    # Before the container is touched: a wrong name must cost nothing.
    if over or obstacle:
        asks = past.ended is not None and not given[EXPORT_ONLY]
        policy, prices = taken.job.policy, given[PRICES]
        reviewer = model_setup.reviewer(policy, configuration, prices=prices) if asks else None
        ready = model_setup.unasked(named, configuration, prices=prices, reviewer=reviewer)
    else:
        ready = model_setup.ready(named, taken.job.policy, configuration, prices=given[PRICES])
    engine = Engine.connect(environment.environ())
    try:
        box, reason = reopen_sealed(taken.job, remembered, engine)
    except ContainerGone:
        _refuse_what_is_exported(taken)
        job = taken.job
        box = Sandbox.unattended(
            remembered, workspace=job.workspace, policy=job.policy, engine=engine
        )
        reason = f"its container is not at the engine {engine.facts().endpoint}"
    reason = obstacle or reason
    notices = []
    if reason and not over:
        notices.append(f"the agent can't go on: {reason}; what can be had of its work is exported")
    if past.ended is None and (over or reason):
        why = f": {reason}" if reason else ""
        ended = CutShort(detail=f"the process that ran it ended, and it was only exported{why}")
        past = replace(past, ended=ended)
    return conduct(
        taken.job,
        lambda _job, _progress: box,
        record=taken.record,
        ready=ready,
        json_lines=given[EVENTS_AS_JSON],
        notices=notices,
        past=past,
        torn_bytes=taken.torn_bytes,
    )


def _refuse_what_is_over(taken: HeldRun) -> None:
    """Raises UsageError for a run that ended, unless its container was left for its patch."""
    run_id = taken.job.run_id
    over = taken.past.state.over
    if over is None or over.container_left is not None:
        return
    summary = taken.summary
    # It may have been killed between its last event and its summary.
    taken.record.write_summary(summary.json_object())
    if summary.patch is not None:
        raise UsageError(
            f"run {run_id} has ended ({summary.outcome}) and its patch is made: "
            f"`moonpool show {run_id}`, `moonpool apply {run_id}`"
        )
    raise UsageError(
        f"run {run_id} has ended ({summary.outcome}) without a patch, and its container is "
        f"gone: there is nothing to resume; `moonpool show {run_id}` says what it did"
    )


def _refuse_what_is_exported(taken: HeldRun) -> None:
    """Raises UsageError for a run whose patch is made, of which nothing else is left."""
    run_id = taken.job.run_id
    if taken.past.state.exported is not None:
        taken.record.write_summary(taken.summary.json_object())
        raise UsageError(
            f"run {run_id} was exported before its process ended, and its container is gone: "
            f"`moonpool show {run_id}`, `moonpool apply {run_id}`"
        )


COMMAND = Command(
    resume,
    (RUN, OF_WORKSPACE, MODEL_OF_RUN, EXPORT_ONLY, EVENTS_AS_JSON, PRICES),
    """

    Example: moonpool resume last --export-only
    """,
)
