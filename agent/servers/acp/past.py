"""Sessions of before: the runs there are, told again, and gone on with.

A run that is over has no container any more. So a prompt to one begins another run, forked at its
end (`agent.past_runs.forked_run`); a word in the old one's directory says which, and whoever loads
the session again finds the newest. Of what a record holds nothing is believed.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agent.conversation.resume_state import ResumeState
from agent.errors import RecordError, UsageError
from agent.lifecycle.job import Job, OnProgress
from agent.models.interface import Model
from agent.past_runs.fork import Fork, fork, keep_steps
from agent.past_runs.fork_points import END, at
from agent.past_runs.forked_run import Lines, begin, restore
from agent.record.events.conversation import UserMessageAdded
from agent.record.events.lifecycle import RunStarted
from agent.record.kept import recall
from agent.record.reader import read_record
from agent.record.runs import RecordedRun, all_runs
from agent.record.store import (
    APPLIED,
    BASELINE,
    EVENTS,
    IMAGES,
    STEPS,
    SUMMARY,
    RunRecord,
    is_held,
    runs_directory,
)
from agent.servers.acp.diffs import Original, Unknown
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.frozen import dataclass
from sandbox.cache import write_atomically
from sandbox.errors import PatchError
from sandbox.patch import baseline

CONTINUED = "continued"
"""In a run's directory: the id of the run that a session went on in."""
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4,16}")
_MOST_CONTINUED = 100


OpenRecorded = Callable[[Lines, Job, OnProgress], SandboxProtocol]
"""Opens a container with what a run began with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunFromPast:
    """Files and conversation of a run that is over, as they were at its end."""

    session: "PastSession"
    forked: Fork
    open_recorded: OpenRecorded

    def open(self, job: Job, on_progress: OnProgress) -> SandboxProtocol:
        """The run's sandbox. Raises SandboxError, UsageError, RecordError."""
        with tempfile.TemporaryDirectory(prefix="moonpool-fork-") as scratch:
            steps = Path(scratch) / "steps"
            keep_steps(self.forked, self.session.directory / STEPS, steps)
            box = self.open_recorded(self.session.lines, job, on_progress)
            try:
                restore(box, self.forked, self.session.lines, steps)
            except BaseException:
                box.close()
                raise
        return box

    def past(self, record: RunRecord, job: Job, model: Model) -> ResumeState:
        """What was said before, written to the new record."""
        other = self.session.directory
        begun = begin(record, self.forked, job, model, other)
        try:
            # What the person's files have already is not applied to them again.
            if (other / APPLIED).is_dir():
                shutil.copytree(other / APPLIED, record.directory / APPLIED, symlinks=True)
            write_atomically(other / CONTINUED, f"{record.run_id}\n".encode())
        except OSError as error:
            raise RecordError(f"the session can't go on in {record.directory}: {error}") from error
        return begun


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSession:
    """The newest run of a session, as its record has it."""

    run_id: str
    directory: Path
    lines: Lines

    @property
    def started(self) -> RunStarted:
        """Its first event, which `past_session` has seen."""
        return next(line.event for line in self.lines if isinstance(line.event, RunStarted))

    def beginning(self, open_recorded: OpenRecorded) -> BegunFromPast:
        """What a run begins with that goes on where this one ended.

        Raises:
            UsageError, RecordError: nothing can go on there.
        """
        point = at(self.lines, END, self.run_id)
        recalling = partial(recall, self.directory / IMAGES)
        # The next prompt stands where a fork's task does.
        forked = fork(self.lines, point, run_id=self.run_id, task="", recall=recalling)
        return BegunFromPast(
            session=self,
            forked=replace(forked, events=forked.events[:-1]),
            open_recorded=open_recorded,
        )

    def original(self) -> Original:
        """What a file was at the start, as far as it was kept beside the patch."""
        try:
            kept = baseline.load(self.directory / BASELINE)
        except PatchError:
            kept = None

        def original(path: bytes) -> bytes | None:
            if kept is None or path not in kept.entries:
                raise Unknown
            entry = kept.entries[path]
            return None if entry is None else kept.store.read_bytes(entry.blob)

        return original


def past_session(home: Path, session_id: str) -> PastSession:
    """A session by its id: the newest run that it went on in.

    Raises:
        UsageError: there is none, or another process is at work in it.
        RecordError: the record can't be used.
    """
    run_id = newest(home, session_id)
    directory = runs_directory(home) / run_id
    if not (directory / EVENTS).is_file():
        raise UsageError(f"there is no session {session_id!r:.80}")
    if is_held(directory):
        raise UsageError(f"another process is at work in the session {run_id}")
    record = read_record(directory)
    lines = record.require()
    if not any(isinstance(line.event, RunStarted) for line in lines):
        raise RecordError(f"the record of {run_id} does not say how it began")
    if not any(_is_request(line.event) for line in lines):
        raise UsageError(f"nothing was asked in the session {run_id}")
    return PastSession(run_id=run_id, directory=directory, lines=lines)


def _is_request(event: object) -> bool:
    return isinstance(event, UserMessageAdded) and event.what == "request"


def newest(home: Path, session_id: str) -> str:
    """The run that a session went on in last; itself where it did not.

    Raises:
        UsageError: it is no id of a session.
    """
    run_id = session_id
    if _RUN_ID.fullmatch(run_id) is None:
        raise UsageError(f"there is no session {session_id!r:.80}")
    for _ in range(_MOST_CONTINUED):
        after = _continued(runs_directory(home) / run_id)
        if after is None or not (runs_directory(home) / after / EVENTS).is_file():
            return run_id
        run_id = after
    return run_id


def _continued(run: Path) -> str | None:
    try:
        with (run / CONTINUED).open("rb") as file:
            said = file.read(64).decode("ascii", "replace").strip()
    except OSError:
        return None
    return said if _RUN_ID.fullmatch(said) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession:
    id: str
    cwd: str
    title: str
    updated: datetime


def sessions(home: Path, *, after: str = "") -> Iterator[ListedSession]:
    """The sessions there are, newest first; each of them once, by the id that it began with.

    Args:
        after: the id of one; those older than it. Empty: all.
    """
    for run in all_runs(home):
        if not isinstance(run, RecordedRun) or (after and run.id >= after):
            continue
        origin = run.summary.forked_from
        if origin is not None and _continued(runs_directory(home) / origin.run_id) == run.id:
            continue
        yield ListedSession(
            id=run.id,
            cwd=run.summary.workspace,
            title=run.summary.task.removeprefix("chat: "),
            updated=_written(runs_directory(home) / newest(home, run.id) / SUMMARY),
        )


def _written(file: Path) -> datetime:
    with contextlib.suppress(OSError):
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return datetime.fromtimestamp(0, UTC)
