"""A run as the pages read it: its summary, its events, its files, read anew when they changed.

Owns what is kept between requests, and how much. Refuses to know HTML and HTTP.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TypeVar

from agent.errors import RecordError, UsageError
from agent.past_runs.blame import Blame, blame
from agent.past_runs.integrity import CheckState, IntegrityCheck, checks
from agent.record.events.kinds import Event
from agent.record.reader import ReadRecord, read_record
from agent.record.runs import RecordedRun, baseline_of, delivered_of, find_id, run_in
from agent.record.store import EVENTS, SUMMARY, runs_directory
from agent.review.pages.patch_view import FileEntry, entries
from agent.review.pages.why import CallStory, call_stories
from agent.risk.credentials import hiding
from sandbox.errors import PatchError
from sandbox.git.store import NOTHING
from sandbox.patch.baseline import Baseline

_KEPT = 4
"""So many runs are kept in memory."""


T = TypeVar("T")


def _or_why(read: Callable[[], T]) -> T | str:
    try:
        return read()
    except (UsageError, RecordError, PatchError) as error:
        return str(error)


class OpenedRun:
    """One state of a run's directory."""

    def __init__(self, run: RecordedRun) -> None:
        self.run = run

    @cached_property
    def record(self) -> ReadRecord | str:
        """What happened, or why it can't be read."""
        return _or_why(lambda: read_record(self.run.directory))

    @cached_property
    def patch(self) -> bytes | str:
        """The patch, checked, or why there is none."""
        return _or_why(lambda: delivered_of(self.run))

    @cached_property
    def files(self) -> Sequence[FileEntry] | str:
        """The files of the patch, the riskiest first, or why they can't be shown."""
        summary, patch = self.run.summary, self.patch
        if isinstance(patch, str):
            return patch
        return _or_why(lambda: entries(patch, summary.changes, summary.findings, summary.opinion))

    @property
    def hide(self) -> Callable[[str], str]:
        """What blots out secrets in what the run did: all of them where no gate looked at it."""
        ended = not self.run.is_running and not self.run.is_cut
        return hiding(self.run.summary.gate_findings if ended else None)

    @cached_property
    def by_number(self) -> Mapping[int, FileEntry]:
        return {} if isinstance(self.files, str) else {it.number: it for it in self.files}

    @cached_property
    def baseline(self) -> Baseline | str:
        """The old files, or why there are none."""
        return _or_why(lambda: baseline_of(self.run))

    @cached_property
    def blame(self) -> Blame | str:
        """Who wrote each line, or why that can't be told."""
        return _or_why(lambda: blame(self.run))

    @cached_property
    def log(self) -> tuple[Event, ...]:
        """What happened, as far as it can be read."""
        return () if isinstance(self.record, str) else tuple(it.event for it in self.record.lines)

    @cached_property
    def stories(self) -> Mapping[int, CallStory]:
        """Every call, by its number."""
        return call_stories(self.log)

    @cached_property
    def tampering(self) -> tuple[IntegrityCheck, ...]:
        """The checks that do not hold, of those that take no time."""
        found = itertools.islice(checks(self.run.directory), 3)
        return tuple(one for one in found if one.state is CheckState.BROKEN)

    def has_old(self, entry: FileEntry) -> bool:
        """Whether the file as it was before was kept."""
        blob = entry.change.old_blob
        return (
            not isinstance(self.baseline, str) and blob != NOTHING and blob in self.baseline.store
        )

    def old_content(self, entry: FileEntry, most_bytes: int) -> bytes | None:
        """The file as it was before; None where it was not kept, or is larger.

        Raises:
            PatchError: what was kept is damaged.
        """
        blob = entry.change.old_blob
        if isinstance(self.baseline, str) or not self.has_old(entry):
            return None
        if self.baseline.store.size(blob) > most_bytes:
            return None
        return b"".join(self.baseline.store.read(blob))


class OpenedRuns:
    """The runs of one home, the newest used kept. Mutable."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._kept: dict[str, tuple[object, OpenedRun]] = {}
        self._lock = Lock()

    def open(self, run_id: str) -> OpenedRun:
        """A run by its whole id.

        Raises:
            UsageError: there is no such run.
            RecordError: its summary can't be read.
        """
        if find_id(self.home, run_id) != run_id:
            raise UsageError(f"there is no run {run_id}")
        directory = runs_directory(self.home) / run_id
        state = tuple(map(_state, (directory / SUMMARY, directory / EVENTS)))
        with self._lock:
            known, kept = self._kept.pop(run_id, (None, None))
            if kept is None or known != state or kept.run.is_running:
                kept = OpenedRun(run_in(directory))
            self._kept[run_id] = state, kept
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            return kept


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
