"""``moonpool fork``: a new run that begins where a call of another one had ended."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent.cli.arguments import Command, Given, flag, optional_argument, path, text
from agent.cli.controller import RunController, may_ask, refuse_used
from agent.cli.setup import decided, past_run
from agent.cli.setup.options import (
    ACCEPT_RISK,
    BECAUSE,
    BEGAN_WITH,
    EVENTS_AS_JSON,
    MODEL_OF_RUN,
    PRICES,
    RUN,
)
from agent.cli.setup.saying import progress
from agent.cli.setup.signals import SignalGuard
from agent.conversation.resume_state import ResumeState, resume_state_of
from agent.errors import RecordError, UsageError
from agent.lifecycle.job import Job, OnProgress
from agent.lifecycle.open_sandbox import open_recorded, open_sandbox
from agent.lifecycle.session import run_started
from agent.models.interface import Model
from agent.past_runs.fork import Fork, fork, keep_images, keep_steps, mark_of
from agent.past_runs.fork_points import END, at, points
from agent.past_runs.resume import recorded_instructions, recorded_policy
from agent.preparation import environment, exit_codes, workspace
from agent.preparation import model as model_setup
from agent.preparation.policy import bounded
from agent.record.events.encoding import plain
from agent.record.events.lifecycle import Forked, SandboxReady
from agent.record.images import ImageStore, recall
from agent.record.reader import RecordLine, read_record
from agent.record.state.run import fold
from agent.record.store import EVENTS, IMAGES, STEPS, RunRecord, new_run_id, runs_directory
from agent.untrusted_text import one_line, path_text
from agent.version import VERSION
from sandbox.errors import NotKept, SandboxLost
from sandbox.opening.reattach import ReattachState
from sandbox.sandbox import Sandbox

Lines = tuple[RecordLine, ...]

_WORDS_WIDTH = 100


TASK = optional_argument("TASK", "Said to the model then; else it goes on as it was.")
AT = text("--at", metavar="N", help="The call after which it forks, 0, or `end`.")
RECORDED = flag(
    "--recorded", help="From the copy that the engine keeps, whatever the workspace is today."
)
OUT = path("-o", "--out", metavar="DIR", help="Copy patch, report and summary there.")


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
        RunRecord.reopen(home, run_id, known_secrets=secrets)[0].close()
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
    policy, exact = recorded_policy(started, file=str(directory / EVENTS))
    if not exact:
        raise RecordError(
            "the policy could not be recorded to the letter (it holds a secret, or is huge): "
            f"run {run_id} can't be forked"
        )
    if started.instructions is not None and not started.instructions.whole:
        raise RecordError(
            "the instructions could not be recorded to the letter (they hold a secret)"
        )
    given_then = recorded_instructions(started, directory)
    if not given_then.skills.whole:
        raise RecordError("the skills that the run had do not lie beside its record any more")
    policy = bounded(policy)
    root = workspace.began_in(started.workspace, given[BEGAN_WITH])
    model_setup.refuse_in(configuration, root)
    workspace.refuse_inside(home, root, "MOONPOOL_HOME")
    out = given[OUT]
    if out is not None:
        workspace.refuse_inside(out, root, "the output directory")
        refuse_used(out)
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
        opens = partial(_open_recorded, lines) if given[RECORDED] else open_sandbox
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
        other = runs_directory(home) / origin.run_id
        keep_steps(forked, other / STEPS, record.directory / STEPS)
        images = record.directory / IMAGES
        keep_images(forked, partial(recall, other / IMAGES), ImageStore(images))
        past = _begun(record, forked, job, ready.model)
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
        conduct = RunController(
            record=record,
            json_lines=given[EVENTS_AS_JSON],
            out=given[OUT],
            ready=ready,
        )
        return conduct(job, lambda _job, _progress: box, notices=[notice], past=past)
    finally:
        record.close()


def _open_recorded(lines: Lines, job: Job, on_progress: OnProgress) -> Sandbox:
    state = fold(line.event for line in lines)
    ready, exported = state.ready, state.exported
    if ready is None or exported is None:
        raise UsageError("the record does not say what the run began with: leave out --recorded")
    remembered = ReattachState(
        container_state=ready.container_state, left_out=ready.left_behind, seal=ready.seal
    )
    return open_recorded(job, remembered, exported.base_tree, on_progress)


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
        with leaving.opening():
            box = opens(job, progress)
        try:
            leaving.due()
            _require_same(box, lines)
            try:
                restored = box.restore(mark_of(forked.files, steps))
            except NotKept as error:
                raise RecordError(str(error)) from error
            if restored.differing:
                item = restored.differing[0]
                raise SandboxLost(
                    f"the workspace can't be made what it was: {path_text(item.path)} {item.reason}"
                )
        except BaseException:
            box.close()
            raise
    return box


def _require_same(box: Sandbox, lines: Lines) -> None:
    """Raises UsageError where the new copy is not of what the other run began with."""
    keys = {
        line.event.container_state.snapshot_key
        for line in lines
        if isinstance(line.event, SandboxReady)
    }
    exported = fold(line.event for line in lines).exported
    if box.container_state.snapshot_key in keys:
        return
    if exported is not None and exported.base_tree == box.base_tree:
        return
    raise UsageError(
        "the workspace is not what the run began with: name a checkout of then with -w DIR"
    )


def _begun(record: RunRecord, forked: Fork, job: Job, model: Model) -> ResumeState:
    """Write what the new run begins with; gives it as a run that is taken up finds it."""
    started = run_started(job, model.name, forked_from=forked.origin)
    for event in (started, *forked.events):
        record.append(event.json_object())
    images = record.directory / IMAGES
    past = resume_state_of(read_record(record.directory).require(), partial(recall, images))
    return replace(
        past,
        forked=Forked(
            run_id=forked.origin.run_id,
            call=forked.origin.call,
            model=model.name,
            version=VERSION,
            pid=os.getpid(),
            lossy=past.lossy,
        ),
    )


COMMAND = Command(
    fork_run,
    (
        RUN,
        TASK,
        AT,
        MODEL_OF_RUN,
        BEGAN_WITH,
        RECORDED,
        OUT,
        PRICES,
        EVENTS_AS_JSON,
        ACCEPT_RISK,
        BECAUSE,
    ),
    """

    Without --at, list the calls of the run. The policy is the recorded one, under today's
    ceilings, and its budget is whole again.

    Example: moonpool fork last --at 3 "do it without a new dependency"
    """,
)
