"""A run that begins as a fork: its sandbox made what the other one's was, its record begun.

Whoever goes on with a run that is over comes through here: the command line, and a session of an
editor. Owns the order in which what may be wrong is found. Refuses to know who is told of it.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent import VERSION
from agent.config.instructions import Instructions
from agent.conversation.resume_state import ResumeState, resume_state_of
from agent.errors import RecordError, UsageError
from agent.lifecycle.job import Job, OnProgress
from agent.lifecycle.open_sandbox import open_recorded
from agent.lifecycle.session import run_started
from agent.models.interface import Model
from agent.past_runs.fork import Fork, keep_images, keep_steps, mark_of
from agent.past_runs.resume import recorded_instructions, recorded_policy, remembered_of, unknown_of
from agent.record.events.lifecycle import Forked, RunStarted, SandboxReady
from agent.record.kept import recall
from agent.record.reader import RecordLine, read_record
from agent.record.run_state import fold
from agent.record.store import EVENTS, IMAGES, STEPS, RunRecord
from agent.tools.sandbox_protocol import SandboxProtocol
from agent.untrusted_text import path_text
from policies.policy import Policy
from sandbox.errors import NotKept, SandboxLost
from sandbox.sandbox import Sandbox

Lines = Sequence[RecordLine]


def given_of(started: RunStarted, directory: Path) -> tuple[Policy, Instructions]:
    """The policy and the instructions that a run had, which a fork of it has too.

    Args:
        directory: the run's.

    Raises:
        RecordError: one of them is not known to the letter.
    """
    policy, exact = recorded_policy(started, file=str(directory / EVENTS))
    instructions = recorded_instructions(started, directory)
    unknown = unknown_of(instructions, exact_policy=exact)
    if unknown:
        raise RecordError(f"run {started.run_id} can't be forked: {unknown}")
    return policy, instructions


def open_as_recorded(lines: Lines, job: Job, on_progress: OnProgress) -> Sandbox:
    """A fresh container with what the other run began with, whatever stands there today.

    Raises:
        UsageError: the record does not say what that was.
        SandboxError: it can't be opened.
    """
    state = fold(line.event for line in lines)
    ready, exported = state.ready, state.exported
    if ready is None or exported is None:
        raise UsageError("the record does not say what the run began with: leave out --recorded")
    return open_recorded(job, remembered_of(ready), exported.base_tree, on_progress)


def restore(box: SandboxProtocol, forked: Fork, lines: Lines, steps: Path) -> None:
    """Make a new container hold what the other run's held then.

    Args:
        steps: a directory with the content, as `keep_steps` made it.

    Raises:
        UsageError: the workspace is not what that run began with.
        SandboxError: it can't be made, or not to the letter.
    """
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


def begin(record: RunRecord, forked: Fork, job: Job, model: Model, other: Path) -> ResumeState:
    """Write what the new run begins with; gives it as a run that is taken up finds it.

    Args:
        other: the directory of the run that is forked.

    Raises:
        RecordError: it can't be written, or what is needed is gone.
    """
    keep_steps(forked, other / STEPS, record.directory / STEPS)
    images = record.directory / IMAGES
    keep_images(forked, partial(recall, other / IMAGES), images)
    started = run_started(job, model.name, forked_from=forked.origin)
    for event in (started, *forked.events):
        record.append(event.json_object())
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


def _require_same(box: SandboxProtocol, lines: Lines) -> None:
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
        "the workspace is not what the run began with: name a checkout of then with -w DIR, or "
        "take the copy that the engine keeps with --recorded"
    )
