"""``moonpool replay``: the recorded calls again, in a new container."""

import json

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.options import AS_JSON, BEGAN_WITH, RUN
from agent.cli.past_run import past_run
from agent.cli.saying import progress
from agent.cli.signals import SignalGuard
from agent.config import environment
from agent.errors import RecordError, UsageError
from agent.interrupts import Interrupts
from agent.lifecycle.job import Job
from agent.lifecycle.open_sandbox import open_sandbox
from agent.past_runs.replay import Recording, Remade, Replay, Replayed, recording
from agent.past_runs.resume import recorded_instructions, recorded_policy
from agent.preparation import workspace
from agent.preparation.policy import bounded
from agent.record.events.lifecycle import Exported
from agent.record.events.recorded import plain
from agent.record.reader import read_record
from agent.record.runs import RecordedRun
from agent.record.store import EVENTS, STEPS
from agent.untrusted_text import one_line, path_text
from policies.policy import Policy
from sandbox.workspace.source import Workspace


def replay(given: Given) -> int:
    """Make the calls of a run again; gives the exit code."""
    run = past_run(given)
    if run.is_running or run.is_cut:
        raise UsageError(f"run {run.id} has not ended: `moonpool resume {run.id}` goes on with it")
    recorded = recording(read_record(run.directory).require(), run.id)
    policy, exact = recorded_policy(recorded.started, file=str(run.directory / EVENTS))
    if not exact:
        raise RecordError(
            "the policy could not be recorded to the letter (it holds a secret, or is huge): "
            f"run {run.id} can't be replayed"
        )
    if not recorded_instructions(recorded.started, run.directory).skills.whole:
        raise RecordError("the skills that the run had do not lie beside its record any more")
    root = workspace.began_in(recorded.started.workspace, given[BEGAN_WITH])
    return _replayed(run, recorded, bounded(policy), root, as_json=given[AS_JSON])


def _replayed(
    run: RecordedRun, recorded: Recording, policy: Policy, root: Workspace, *, as_json: bool
) -> int:
    job = Job(
        run_id="",
        task=recorded.started.task,
        workspace=root,
        policy=policy,
        verify=None,
        may_ask=recorded.may_ask,
        kernel_policy=recorded.started.kernel_policy,
        instructions=recorded_instructions(recorded.started, run.directory),
        environ=environment.environ(),
    )
    leaving = SignalGuard()
    with leaving.installed(), leaving.opened(lambda: open_sandbox(job, progress)) as box:
        progress(f"sealed container {box.id[:12]} ready")
        result = Replay(
            recording=recorded,
            box=box,
            policy=job.policy_inside,
            interrupts=Interrupts(),
            steps=run.directory / STEPS,
            on_call=lambda call: progress(_call_line(call)),
        ).go()
    if as_json:
        print(json.dumps(_replay_document(run, recorded.exported, result)))
    else:
        _print_replay(run, recorded.exported, result)
    return exit_codes.DONE if result.tree == recorded.exported.tree else exit_codes.NOT_FINISHED


def _call_line(call: Remade) -> str:
    if not call.same:
        how = f"differs: {call.now}, was {call.then}"
    elif call.same_text is False:
        how = f"same ({call.now}; it says something else)"
    else:
        how = f"same ({call.now})"
    return f"  call {call.number}  {one_line(call.words, 100)}  {how}"


def _print_replay(run: RecordedRun, then: Exported, result: Replayed) -> None:
    if result.tree == then.tree:
        calls = f"{len(result.calls)} calls of run {one_line(run.id)}"
        print(f"the same patch: {calls} give tree {result.tree}")
        return
    print(f"another patch: tree {result.tree}, and that of run {one_line(run.id)} was {then.tree}")
    for path in result.differing:
        print(f"  differs  {path_text(path)}")


def _replay_document(run: RecordedRun, then: Exported, result: Replayed) -> dict[str, object]:
    return {
        "run_id": run.id,
        "same": result.tree == then.tree,
        "base_tree": then.base_tree,
        "recorded_tree": then.tree,
        "tree": result.tree,
        "differing": plain(result.differing),
        "calls": [
            {
                "number": call.number,
                "call": call.words,
                "then": call.then,
                "now": call.now,
                "same_text": call.same_text,
            }
            for call in result.calls
        ],
    }


COMMAND = Command(
    replay,
    (RUN, BEGAN_WITH, AS_JSON),
    """

    Its policy is the recorded one, under today's ceilings. Exit code 0: the same tree; 1: another.

    Example: moonpool replay last -w path/to/checkout
    """,
)
