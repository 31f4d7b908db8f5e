"""``moonpool fork``: a new run that begins where a call of another one had ended."""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agent import exit_codes
from agent.cli import decided, past_run
from agent.cli.arguments import Command, Given, flag, optional_argument, text
from agent.cli.controller import conduct, make_out, may_ask
from agent.cli.options import (
    ACCEPT_RISK,
    BECAUSE,
    BEGAN_WITH,
    EVENTS_AS_JSON,
    MODEL_OF_RUN,
    OUT,
    PRICES,
    RUN,
)
from agent.cli.saying import progress
from agent.cli.signals import SignalGuard
from agent.config import environment
from agent.errors import UsageError
from agent.lifecycle.job import Job, OnProgress
from agent.lifecycle.open_sandbox import open_sandbox
from agent.past_runs.fork import Fork, fork, keep_steps
from agent.past_runs.fork_points import END, at, points
from agent.past_runs.forked_run import begin, given_of, open_as_recorded, restore
from agent.preparation import model as model_setup
from agent.preparation import workspace
from agent.preparation.policy import bounded
from agent.record.events.recorded import plain
from agent.record.kept import recall
from agent.record.reader import RecordLine, read_record, reopen
from agent.record.store import IMAGES, STEPS, RunRecord, new_run_id, runs_directory
from agent.untrusted_text import one_line
from sandbox.sandbox import Sandbox

Lines = tuple[RecordLine, ...]

_WORDS_WIDTH = 100


TASK = optional_argument("TASK", "Said to the model then; else it goes on as it was.")
AT = text("--at", metavar="N", help="The call after which it forks, 0, or `end`.")
RECORDED = flag(
    "--recorded", help="From the copy that the engine keeps, whatever the workspace is today."
)


def fork_run(given: Given) -> int:
    """Fork and go on, or list where that can be done; gives the exit code."""
    where = given[AT]
    return _list_points(given) if where is None else _fork(given, where)


def _list_points(given: Given) -> int:
    """Print where a run can be forked."""
    if given[TASK] is not None:
        raise UsageError("say where with --at N: without it, the calls of the run are listed")
    secrets = model_setup.known_secrets(model_setup.load(root=None))
    run_id, lines = _recorded(given[RUN], secrets)
    found = points(lines)
    if given[EVENTS_AS_JSON]:
        document = [
            {
                "call": point.call,
                "words": plain(point.words),
                "ending": point.ending,
                "forkable": not point.why,
                "why": point.why,
            }
            for point in found
        ]
        print(json.dumps({"run_id": run_id, "points": document}))
        return exit_codes.DONE
    width = max((len(str(point.call)) for point in found), default=1)
    for point in found:
        words = one_line(point.words, _WORDS_WIDTH)
        why = f"  NOT: {one_line(point.why, _WORDS_WIDTH)}" if point.why else ""
        print(f"{point.call:>{width}}  {words}  ({point.ending}){why}")
    return exit_codes.DONE


def _recorded(wanted: str, secrets: tuple[str, ...]) -> tuple[str, Lines]:
    """A run's id and its lines, which hold together.

    Raises:
        UsageError: it is still at work.
        RecordError: somebody changed the record, or another version wrote it.
    """
    home = environment.home()
    run_id = past_run.run_id(wanted)
    record = read_record(runs_directory(home) / run_id)
    if not record.is_over:
        # Whoever works on it holds its lock; a killed one's torn line is cut off by that.
        reopen(home, run_id, known_secrets=secrets)[0].close()
    return run_id, record.require()


def _fork(given: Given, where: str) -> int:
    task = given[TASK]
    if task is not None and not task.strip():
        raise UsageError("an empty task: say what to do, or leave it out to go on as it was")
    accepted = decided.accepted(given)
    configuration = model_setup.load(root=None)
    secrets = model_setup.known_secrets(configuration)
    home = environment.home()
    run_id, lines = _recorded(given[RUN], secrets)
    directory = runs_directory(home) / run_id
    call = END if where == "end" else _number(where)
    forked = fork(
        lines,
        at(lines, call, run_id),
        run_id=run_id,
        task=task,
        recall=partial(recall, directory / IMAGES),
    )
    started = forked.started
    policy, given_then = given_of(started, directory)
    policy = bounded(policy)
    root = workspace.began_in(started.workspace, given[BEGAN_WITH])
    model_setup.refuse_in(configuration, root)
    workspace.refuse_inside(home, root, "MOONPOOL_HOME")
    make_out(given[OUT], root)
    ready = model_setup.ready(
        given[MODEL_OF_RUN] or started.model, policy, configuration, prices=given[PRICES]
    )
    job = Job(
        run_id=new_run_id(),
        task=started.task if task is None else task,
        workspace=root,
        policy=policy,
        verify=started.verify,
        may_ask=may_ask(json_lines=given[EVENTS_AS_JSON]),
        kernel_policy=started.kernel_policy,
        accepted_risks=frozenset(started.accepted_risks) | accepted,
        instructions=given_then,
        environ=environment.environ(),
    )
    with tempfile.TemporaryDirectory(prefix="moonpool-fork-") as scratch:
        steps = Path(scratch) / "steps"
        # All that may be wrong is found before there is a record of the new run.
        keep_steps(forked, directory / STEPS, steps)
        opens = partial(open_as_recorded, lines) if given[RECORDED] else open_sandbox
        box = _opened(forked, lines, job, steps, opens)
        return _go_on(given, forked, job, ready, box, secrets=secrets)


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"--at {text!r}: the number of a call, 0 for none, or `end`")
    return int(text)


def _go_on(
    given: Given,
    forked: Fork,
    job: Job,
    ready: model_setup.PreparedModel,
    box: Sandbox,
    *,
    secrets: tuple[str, ...],
) -> int:
    home = environment.home()
    record = None
    try:
        record = RunRecord.create(home, run_id=job.run_id, known_secrets=secrets)
        origin = forked.origin
        past = begin(record, forked, job, ready.model, runs_directory(home) / origin.run_id)
        if given[ACCEPT_RISK]:
            decided.keep(given, record.directory, place=f"forked from run {origin.run_id}")
    except BaseException:
        box.close()
        if record is not None:
            record.close()
        raise
    notice = (
        f"forked from run {origin.run_id} after call {origin.call}: "
        f"{len(past.conversation.history)} messages, {len(forked.files)} files that are not as in "
        "the workspace"
    )
    try:
        return conduct(
            job,
            lambda _job, _progress: box,
            record=record,
            ready=ready,
            json_lines=given[EVENTS_AS_JSON],
            out=given[OUT],
            notices=[notice],
            past=past,
        )
    finally:
        record.close()


def _opened(
    forked: Fork,
    lines: Lines,
    job: Job,
    steps: Path,
    opens: Callable[[Job, OnProgress], Sandbox],
) -> Sandbox:
    """A container that holds what the other run's held then.

    Raises:
        UsageError: the workspace is not what that run began with.
        SandboxError: it can't be made, or not to the letter.
    """
    leaving = SignalGuard()
    with leaving.installed():
        box = leaving.opened(lambda: opens(job, progress))
        try:
            restore(box, forked, lines, steps)
        except BaseException:
            box.close()
            raise
    return box


COMMAND = Command(
    fork_run,
    (
        *(RUN, TASK, AT, MODEL_OF_RUN, BEGAN_WITH, RECORDED, OUT, PRICES, EVENTS_AS_JSON),
        *(ACCEPT_RISK, BECAUSE),
    ),
    """

    Without --at, list the calls of the run. The policy is the recorded one, under today's
    ceilings, and its budget is whole again.

    Example: moonpool fork last --at 3 "do it without a new dependency"
    """,
)
