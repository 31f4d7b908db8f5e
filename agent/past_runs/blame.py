"""Which call of a run last wrote each line of its patch, as far as the run was followed.

Owns the way from the record (events, ``steps``, ``baseline``, the patch) to each file's hunks with
their writers. What no look covered has no writer here: that is said, never guessed. Refuses to know
the terminal.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from agent.errors import UsageError
from agent.record.events.conversation import CallStarted
from agent.record.events.kinds import Recorded
from agent.record.events.lifecycle import (
    ChangesRescanned,
    ChangesTracked,
    TrackedFile,
    WorkspaceLook,
    WorkspaceRestored,
)
from agent.record.reader import read_record
from agent.record.runs import RecordedRun, delivered_of
from agent.record.store import BASELINE, STEPS
from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.git import line_authors
from sandbox.git.apply import apply_to_entries
from sandbox.git.line_authors import UNKNOWN, Hunk, Version
from sandbox.git.manifest import ManifestEntry
from sandbox.git.store import NOTHING, Store
from sandbox.patch import baseline
from sandbox.patch.values import Change

_GIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The calls that a look covered: one of them wrote what it found."""

    first: int
    last: int
    backgrounds: tuple[int, ...]
    """Calls before whose background processes may have written it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedFile:
    """One changed file of the patch."""

    change: Change
    hunks: tuple[Hunk, ...] | None
    """A step in them is a place in `Blame.spans`, or `UNKNOWN`; None: they can't be told."""
    why: str
    """Why there are no hunks: it is binary, or what is missing; empty where there are."""
    last: int
    """Who made the file what it is in the patch, mode included: as in hunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    files: tuple[TracedFile, ...]
    spans: tuple[Span, ...]
    calls: Mapping[int, CallStarted]
    unfollowed: tuple[str, ...]
    """What the record says was not followed, and why."""


def blame(run: RecordedRun, *, path: bytes | None = None) -> Blame:
    """Trace a run's patch; with `path`, that file or what is below that directory.

    Raises:
        UsageError: there is no patch, or it does not touch the path.
        RecordError, PatchError: what was recorded can't be used.
    """
    data = delivered_of(run)
    changes = run.summary.changes
    if path is not None:
        changes = tuple(change for change in changes if _below(change, path))
        if not changes:
            raise UsageError(
                f"the patch of run {run.id} touches no {path.decode(errors='replace')}"
            )
    walk = _BlameWalk()
    for line in read_record(run.directory).require():
        walk.take(line.event)
    with tempfile.TemporaryDirectory(prefix="moonpool-blame-") as scratch:
        sources = _BlameSources(run.directory, data, Path(scratch))
        files = tuple(_traced(change, walk, sources) for change in changes)
    return Blame(
        files=files,
        spans=tuple(walk.spans),
        calls=walk.calls,
        unfollowed=tuple(dict.fromkeys(walk.unfollowed)),
    )


def _below(change: Change, path: bytes) -> bool:
    wanted = path.rstrip(b"/")
    return any(
        name == wanted or name.startswith(wanted + b"/")
        for name in (change.path, change.old_path)
        if name is not None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeenAtPath:
    """What a look found at a path."""

    step: int
    mode: int
    blob: str | None

    def is_as(self, file: TrackedFile) -> bool:
        return (self.mode, self.blob) == (file.mode, file.blob)


@dataclass
class _BlameWalk:
    """The state of going through the events, one after the other."""

    calls: dict[int, CallStarted] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    histories: dict[bytes, list[_SeenAtPath]] = field(default_factory=dict)
    origins: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    """Files that were moved: their first name, and how much of their history is from before."""
    unfollowed: list[str] = field(default_factory=list)
    _backgrounds: list[int] = field(default_factory=list)
    _missed: dict[bytes, int] = field(default_factory=dict)
    """Paths that changed unseen, by the first call that may have done it."""

    def take(self, event: Recorded) -> None:
        match event:
            case CallStarted():
                self.calls[event.number] = event
                if event.arguments.get("background") is True:
                    self._backgrounds.append(event.number)
            case ChangesTracked():
                several = event.first != event.last
                calls = f"calls {event.first} to {event.last}" if several else f"call {event.last}"
                self._note(calls, event.unfollowed)
                self._follow(event)
            case ChangesRescanned():
                self._note("what stood when the run was taken up again", event.unfollowed)
                self._backgrounds.clear()
                self._begin_anew(event)
            case WorkspaceRestored():
                self._note(
                    f"what stood when it was gone back to call {event.call}", event.unfollowed
                )
                self._backgrounds.clear()
                self._go_back(event)
                self._begin_anew(event)
            case _:
                pass

    def _note(self, what: str, why: str | None) -> None:
        if why is not None:
            self.unfollowed.append(f"{what}: {why}")

    def _follow(self, event: ChangesTracked) -> None:
        moved = self._moved(event.changed)
        for item in event.changed:
            first = min(event.first, self._missed.pop(item.path, event.first))
            step = self._step(first, event.last)
            source = moved.get(item.path)
            if source is not None:
                carried = list(self.histories[source])
                self.histories[item.path] = carried
                origin, _ = self.origins.get(source, (source, 0))
                self.origins[item.path] = origin, len(carried)
            seen = _SeenAtPath(step=step, mode=item.mode, blob=item.blob)
            self.histories.setdefault(item.path, []).append(seen)
        for path in event.missed:
            self._missed.setdefault(path, event.first)

    def _moved(self, changed: Sequence[TrackedFile]) -> dict[bytes, bytes]:
        """New names of files that went in the same step, by content: they keep their writers."""
        gone: dict[str, bytes] = {}
        for item in changed:
            newest = self._newest(item.path)
            if item.blob is None and newest is not None and newest.blob is not None:
                gone[newest.blob] = item.path
        return {
            item.path: gone[item.blob]
            for item in changed
            if item.blob in gone and self._newest(item.path) is None
        }

    def _go_back(self, event: WorkspaceRestored) -> None:
        """What a file was before keeps its writers: what came after it never was."""
        for item in event.changed:
            history = self.histories.get(item.path, [])
            last = len(history)
            while last and not history[last - 1].is_as(item):
                last -= 1
            if last:
                del history[last:]

    def _begin_anew(self, event: WorkspaceLook) -> None:
        standing = {item.path: item for item in event.changed}
        missed = set(event.missed)
        for path in {*self.histories, *standing}:
            item = standing.get(path)
            newest = self._newest(path)
            if path in missed or (event.unfollowed is not None and item is None):
                continue
            if item is None:
                # As in the baseline again, by nobody knows whom: what comes next starts there.
                self.histories[path] = []
            elif newest is None or not newest.is_as(item):
                seen = _SeenAtPath(step=UNKNOWN, mode=item.mode, blob=item.blob)
                self.histories.setdefault(path, []).append(seen)

    def _newest(self, path: bytes) -> _SeenAtPath | None:
        history = self.histories.get(path)
        return history[-1] if history else None

    def _step(self, first: int, last: int) -> int:
        span = Span(
            first=first,
            last=last,
            backgrounds=tuple(number for number in self._backgrounds if number < first),
        )
        if span not in self.spans[-2:]:
            self.spans.append(span)
        return len(self.spans) - 1 - self.spans[::-1].index(span)


class _BlameSources:
    """A store of our own with what the record kept: the old files, the new ones, those between."""

    def __init__(self, directory: Path, patch: bytes, scratch: Path) -> None:
        self.store = Store(scratch / "store")
        self._steps = Store(directory / STEPS) if (directory / STEPS).is_dir() else None
        self.old: Mapping[bytes, ManifestEntry | None] | None = None
        kept = baseline.load(directory / BASELINE)
        if kept is None:
            return
        self.old = kept.entries
        standing = kept.lent(self.store)
        if patch:
            file = scratch / "patch.diff"
            file.write_bytes(patch)
            index = scratch / "index"
            apply_to_entries(self.store, standing, file, index=index, timeout_s=_GIT_S)

    def has(self, blob: str) -> bool:
        """Whether the content is there, after fetching it from the steps where it lies there."""
        if blob in self.store:
            return True
        if self._steps is None or blob not in self._steps:
            return False
        size = self._steps.size(blob)
        # Copied, not linked: what lies in the record may be damaged, and an id is a promise.
        if self.store.put(self._steps.read(blob), size) != blob:
            raise PatchError(f"the content {blob} in {self._steps.directory} was changed since")
        return True


def _traced(change: Change, walk: _BlameWalk, sources: _BlameSources) -> TracedFile:
    old = None if change.old_blob == NOTHING else change.old_blob
    new = None if change.new_blob == NOTHING else change.new_blob
    seen = _history(change, walk, sources)
    last = _last(change, seen, new)
    hunks: tuple[Hunk, ...] | None = None
    why = ""
    if not all(sources.has(blob) for blob in (old, new) if blob is not None):
        why = "its content was not kept"
    elif change.added_lines is None:
        why = "binary"
    else:
        versions = [
            Version(step=item.step, blob=item.blob)
            for item in seen
            if item.blob is None or sources.has(item.blob)
        ]
        try:
            hunks = line_authors.hunks(sources.store, base=old, versions=versions, final=new)
            why = "binary" if hunks is None else ""
        except PatchError as error:
            why = str(error)
    return TracedFile(change=change, hunks=hunks, why=why, last=last)


def _history(change: Change, walk: _BlameWalk, sources: _BlameSources) -> list[_SeenAtPath]:
    """What the file was after each look, under its former names first where it was moved."""
    mine = list(walk.histories.get(change.path, ()))
    origin, carried = walk.origins.get(change.path, (change.path, 0))
    if change.old_path is None:
        # To the patch it is a new file: what it had from an old one came with the move.
        was_there = origin != change.path and (sources.old or {}).get(origin) is not None
        return mine[carried:] if was_there else mine
    if origin == change.old_path:
        return mine
    began = mine[0].step if mine else UNKNOWN
    before = walk.histories.get(change.old_path, ())
    return [item for item in before if item.blob is not None and item.step <= began] + mine


def _last(change: Change, seen: Iterable[_SeenAtPath], new: str | None) -> int:
    """The step that made it what it is: the first of the newest looks that found it so."""
    found = UNKNOWN
    for item in seen:
        same = item.blob == new and (new is None or item.mode == change.new_mode)
        if not same:
            found = UNKNOWN
        elif found == UNKNOWN:
            found = item.step
    return found
