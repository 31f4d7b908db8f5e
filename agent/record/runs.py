"""The runs there are: finding one by what a person types, and its summary and patch."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from agent.errors import RecordError, UsageError
from agent.record import outcome as outcomes
from agent.record.events.recorded import object_in, require_format
from agent.record.outcome import CutShort, ExportRefused, Finished, Outcome
from agent.record.store import (
    APPLIED_TO,
    BASELINE,
    EVENTS,
    PATCH,
    REFUSED_PATCH,
    SUMMARY,
    is_held,
    runs_directory,
)
from agent.record.summary import RUNNING, RunSummary
from policies.frozen import dataclass
from sandbox.cache import write_atomically
from sandbox.errors import PatchError
from sandbox.patch.make import INDEX_PATCH

if TYPE_CHECKING:
    from sandbox.patch.baseline import Baseline

LAST = "last"
_LARGEST_SUMMARY = 64 << 20
_PLACE_LIMIT = 1 << 16
_FIRST_EVENTS = 4 << 20
"""Bytes of a record in which its container stands, if there ever was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run's directory and its summary."""

    id: str
    directory: Path
    summary: RunSummary
    is_cut: bool = False
    """Its process ended without a word of how: that it was cut short is all its summary says."""

    had_container: bool = True
    """False where it was cut short before there was one: nothing was done, and nothing is left."""

    @property
    def without_patch(self) -> str:
        """Why it has none, where it has none."""
        if self.is_running:
            return "a process still works on it"
        return self.summary.detail if self.is_cut else f"it ended as {self.summary.outcome}"

    @property
    def is_running(self) -> bool:
        """A process works on it."""
        return self.summary.outcome == RUNNING

    @property
    def is_finished(self) -> bool:
        return self.summary.outcome == outcomes.name_of(Finished)

    @property
    def is_refused(self) -> bool:
        """The patch is not to be applied as it is: the export gate refused it, or no reviewer
        approved it, and that was required."""
        refused = self.summary.outcome == outcomes.name_of(ExportRefused)
        return refused or any(finding.refuses for finding in self.summary.findings)

    def note_place(self, place: str) -> None:
        """Remember that the whole patch is in a place now. A record that can't be written does
        without: nothing but what a person is told next depends on it."""
        with contextlib.suppress(OSError):
            said = json.dumps({"patch_sha256": self.summary.patch_sha256, "place": place})
            data = said.encode("utf-8", "surrogateescape")
            write_atomically(self.directory / APPLIED_TO, data)

    @property
    def place(self) -> str | None:
        """Where the whole patch was put, as it is now; None where that was never done."""
        try:
            said = json.loads((self.directory / APPLIED_TO).read_bytes()[:_PLACE_LIMIT])
            return str(said["place"]) if said["patch_sha256"] == self.summary.patch_sha256 else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRun:
    """A run's directory without a summary that this version can read."""

    id: str
    directory: Path
    problem: str
    """What is wrong, in one line."""


def all_runs(home: Path) -> Iterator[RecordedRun | UnreadableRun]:
    """Every run, newest first."""
    for directory in sorted(_directories(home), key=lambda path: path.name, reverse=True):
        try:
            yield run_in(directory)
        except RecordError as error:
            yield UnreadableRun(id=directory.name, directory=directory, problem=str(error))


def find(home: Path, wanted: str) -> RecordedRun:
    """A run, by what `find_id` takes.

    Raises:
        UsageError: none or several fit.
        RecordError: its summary can't be read.
    """
    return run_in(runs_directory(home) / find_id(home, wanted))


def run_in(directory: Path) -> RecordedRun:
    """A run by its directory, with its summary as it stands now.

    Raises:
        RecordError: the summary can't be read, or is not one that this version writes.
    """
    summary = _summary_in(directory)
    cut = summary.outcome == RUNNING and not is_held(directory)
    if cut:
        # Between these two looks it may have come to its end.
        summary = _summary_in(directory)
        cut = summary.outcome == RUNNING
    if not cut:
        return RecordedRun(id=directory.name, directory=directory, summary=summary)
    had_container = summary.patch is not None or _had_container(directory)
    return RecordedRun(
        id=directory.name,
        directory=directory,
        summary=_cut_short(summary, had_container=had_container),
        is_cut=True,
        had_container=had_container,
    )


def _summary_in(directory: Path) -> RunSummary:
    path = directory / SUMMARY
    try:
        with path.open("rb") as file:
            value = object_in(file.read(_LARGEST_SUMMARY), str(path))
    except OSError as error:
        raise RecordError(f"{path} can't be read: {error.strerror}") from error
    require_format(value, str(path))
    return RunSummary.read(value, str(path))


def _had_container(directory: Path) -> bool:
    """By the beginning of its events; where that can't be read, a resume says it."""
    try:
        with (directory / EVENTS).open("rb") as file:
            return b'"event": "sandbox_ready"' in file.read(_FIRST_EVENTS)
    except OSError:
        return True


def _cut_short(summary: RunSummary, *, had_container: bool) -> RunSummary:
    """Of a run whose process can't say it any more."""
    resume = f"`moonpool resume {summary.run_id}`"
    words = f"its process ended: {resume} goes on with it, with --export-only it makes the patch"
    if summary.patch is not None:
        words = f"its process ended, and what it had done is exported: {resume} goes on with it"
    if not had_container:
        words = "its process ended before its container was ready: nothing was done, so begin again"
    ended: Outcome = CutShort(detail=words)
    if any(finding.refuses for finding in summary.findings):
        ended = ExportRefused(findings=summary.findings, before=CutShort(detail=words))
    update = {"outcome": outcomes.name(ended), "detail": outcomes.detail(ended)}
    return summary.replaced(update)


def find_id(home: Path, wanted: str, *, around: Path | None = None) -> str:
    """A run's full id: by the id, a unique beginning of it, or ``last``.

    Args:
        around: a directory, absolute: ``last`` is the newest run of the workspace that this lies
            in, the innermost one; where there is none, the newest of all.

    Raises:
        UsageError: none or several fit.
    """
    names = sorted(path.name for path in _directories(home))
    if not names:
        raise UsageError("there are no runs yet: start one with `moonpool run TASK`")
    if wanted == LAST:
        own = None if around is None else last_of(home, around, *around.parents)
        # One whose process died before it wrote a word has nothing that could be meant.
        begun = (it for it in reversed(names) if _has_begun(runs_directory(home) / it))
        fitting = [next(begun, names[-1]) if own is None else own]
    else:
        fitting = [name for name in names if name == wanted] or [
            name for name in names if wanted and name.startswith(wanted)
        ]
    if not fitting:
        from policies.suggestion import did_you_mean  # noqa: PLC0415 - for a mistake only

        near = did_you_mean(wanted, (*names, LAST))
        raise UsageError(f"no run {wanted!r}: see `moonpool runs`{near}")
    if len(fitting) > 1:
        raise UsageError(f"{wanted!r} fits {len(fitting)} runs: {', '.join(fitting[:5])} …")
    return fitting[0]


def _has_begun(directory: Path) -> bool:
    try:
        return (directory / EVENTS).stat().st_size > 0
    except OSError:
        return (directory / SUMMARY).is_file()


def last_of(home: Path, *workspaces: Path) -> str | None:
    """The newest run of the first of these workspaces that has one; None: none has."""
    wanted = {str(path): rank for rank, path in enumerate(workspaces)}
    spelled = [json.dumps(path).encode() for path in wanted]
    best: tuple[int, str] | None = None
    for name in sorted((path.name for path in _directories(home)), reverse=True):
        try:
            with (runs_directory(home) / name / SUMMARY).open("rb") as file:
                data = file.read(_LARGEST_SUMMARY)
            # Of two thousand summaries few are of this place, and only those are decoded.
            said = json.loads(data) if any(path in data for path in spelled) else {}
            rank = wanted.get(said.get("workspace", ""))
        except (OSError, ValueError, RecursionError, AttributeError, TypeError):
            continue
        if rank == 0:
            return name
        if rank is not None and (best is None or rank < best[0]):
            best = rank, name
    return None if best is None else best[1]


def patch_of(run: RecordedRun) -> bytes:
    """The patch, checked against the digest in the summary.

    Raises:
        UsageError: the run has no patch.
        RecordError: it can't be read, or is not what the run wrote.
    """
    return _checked(run, PATCH, run.summary.patch_sha256)


def index_patch_of(run: RecordedRun) -> bytes:
    """The patch in what git stores, for whoever works on commits; checked in the same way.

    Raises:
        PatchError: that form is not known, for the reason that it says.
        UsageError, RecordError: as for `patch_of`.
    """
    if run.summary.index_patch_sha256 is not None:
        return _checked(run, INDEX_PATCH, run.summary.index_patch_sha256)
    if run.summary.git_note is not None:
        raise PatchError(f"no commit can be made of this patch: {run.summary.git_note}")
    return patch_of(run)


def _checked(run: RecordedRun, name: str, digest: str | None) -> bytes:
    if digest is None:
        raise UsageError(f"run {run.id} has no patch: {run.without_patch}")
    try:
        data = (run.directory / name).read_bytes()
    except OSError as error:
        raise RecordError(f"{run.directory / name} can't be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise RecordError(
            f"{run.directory / name} is not what run {run.id} wrote: it was changed since"
        )
    return data


def delivered_of(run: RecordedRun) -> bytes:
    """The patch, checked, also where the gate refused it: to look at, not to apply."""
    # Where the gate had nothing against it, and a reviewer had, it has the usual name.
    refused = PurePath(run.summary.patch or "").name == REFUSED_PATCH
    name = REFUSED_PATCH if refused else PATCH
    return _checked(run, name, run.summary.patch_sha256)


def baseline_of(run: RecordedRun, *, stored: bool = False) -> "Baseline":
    """What the run's patch was made against, to merge it by.

    Args:
        stored: as git stores it, for the patch in that form.

    Raises:
        UsageError: the run kept no old files.
        PatchError: they are damaged.
    """
    from sandbox.patch import baseline  # noqa: PLC0415 - for a merge only

    other = stored and run.summary.index_patch_sha256 is not None
    form = baseline.STORED if other else baseline.WORKTREE
    found = baseline.load(run.directory / BASELINE, form)
    if found is None:
        raise UsageError(
            f"run {run.id} kept no old files to merge by (there were too many bytes of them, or "
            "the disk was full): apply it without --three-way"
        )
    return found


def _directories(home: Path) -> list[Path]:
    try:
        return [path for path in runs_directory(home).iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(f"{runs_directory(home)} can't be read: {error.strerror}") from error
