"""The runs there are: finding one by what a person types, and reading its record back."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import RecordError, UsageError
from agent.record.store import (
    BASELINE,
    EVENTS,
    FIRST,
    PATCH,
    REFUSED_PATCH,
    SUMMARY,
    linked,
    runs_directory,
)
from sandbox.patch import baseline
from sandbox.patch.baseline import Baseline

_LARGEST_SUMMARY = 64 << 20
RUNNING = "running"
"""The outcome in a summary as long as no process has written how the run ended."""
REFUSED = "export refused"
"""The outcome where the gate refused the patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run's directory and its summary."""

    id: str
    directory: Path
    summary: Mapping[str, object]
    """``run.json``; empty where it can't be read."""

    def text(self, key: str) -> str:
        """A field of the summary as text; empty where it is missing."""
        value = self.summary.get(key)
        return "" if value is None else str(value)

    def number(self, key: str) -> float:
        value = self.summary.get(key)
        return float(value) if isinstance(value, int | float) else 0.0

    def rows(self, key: str) -> list[Mapping[str, object]]:
        """A list of objects in the summary."""
        value = self.summary.get(key)
        return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def all_runs(home: Path) -> Iterator[RecordedRun]:
    """Every run, newest first; one whose summary can't be read is there with an empty one."""
    for directory in sorted(_directories(home), key=lambda path: path.name, reverse=True):
        yield reread(directory)


def find(home: Path, wanted: str) -> RecordedRun:
    """A run by its id, a unique beginning of it, or ``last``.

    Raises:
        UsageError: none or several fit.
        RecordError: its summary can't be read.
    """
    found = find_id(home, wanted)
    run = reread(runs_directory(home) / found)
    if not run.summary:
        raise RecordError(f"the summary of run {found} can't be read: {run.directory / SUMMARY}")
    return run


def reread(directory: Path) -> RecordedRun:
    """A run by its directory, with its summary as it stands now."""
    return RecordedRun(id=directory.name, directory=directory, summary=summary_of(directory))


def is_running(run: RecordedRun) -> bool:
    """By its summary: no process has said yet that it ended."""
    return run.text("outcome") in {"", RUNNING}


def find_id(home: Path, wanted: str) -> str:
    """As `find`, where the summary is not wanted.

    Raises:
        UsageError: none or several fit.
    """
    names = sorted(path.name for path in _directories(home))
    if not names:
        raise UsageError("there are no runs yet: start one with `moonpool run TASK`")
    if wanted == "last":
        fitting = names[-1:]
    else:
        fitting = [name for name in names if name == wanted] or [
            name for name in names if wanted and name.startswith(wanted)
        ]
    if not fitting:
        raise UsageError(f"no run {wanted!r}: see `moonpool runs`")
    if len(fitting) > 1:
        raise UsageError(f"{wanted!r} fits {len(fitting)} runs: {', '.join(fitting[:5])} …")
    return fitting[0]


def patch_of(run: RecordedRun) -> bytes:
    """The patch, checked against the digest in the summary.

    Raises:
        UsageError: the run has no patch.
        RecordError: it can't be read, or is not what the run wrote.
    """
    return _checked(run, PATCH)


def _checked(run: RecordedRun, name: str) -> bytes:
    digest = run.text("patch_sha256")
    if not digest:
        raise UsageError(
            f"run {run.id} has no patch: it ended as {run.text('outcome') or 'nothing'}"
        )
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
    """As `patch_of`, and also where the gate refused the patch: to look at, not to apply."""
    if run.text("outcome") != REFUSED:
        return patch_of(run)
    return _checked(run, REFUSED_PATCH)


def baseline_of(run: RecordedRun) -> Baseline:
    """What the run's patch was made against, to merge it by.

    Raises:
        UsageError: the run kept no old files.
        PatchError: they are damaged.
    """
    found = baseline.load(run.directory / BASELINE)
    if found is None:
        raise UsageError(
            f"run {run.id} kept no old files to merge by (there were too many bytes of them, or "
            "the disk was full): apply it without --three-way"
        )
    return found


def events_of(run: RecordedRun) -> Iterator[Mapping[str, object]]:
    """The events in order. A last line that a crash tore is left out."""
    try:
        with (run.directory / EVENTS).open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    return
                if isinstance(event, dict):
                    yield event
    except OSError as error:
        raise RecordError(f"{run.directory / EVENTS} can't be read: {error.strerror}") from error


def chain_broken_at(path: Path) -> int | None:
    """The number (from 0) of the first line that does not fit the one before; None: all do."""
    previous = FIRST
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            data = line.removesuffix(b"\n")
            if linked(data, previous, number) is None:
                return number
            previous = hashlib.sha256(data).hexdigest()
    return None


def _directories(home: Path) -> list[Path]:
    try:
        return [path for path in runs_directory(home).iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(f"{runs_directory(home)} can't be read: {error.strerror}") from error


def summary_of(directory: Path) -> Mapping[str, object]:
    """``run.json`` of a run's directory; empty where it can't be read."""
    try:
        with (directory / SUMMARY).open("rb") as file:
            value = json.loads(file.read(_LARGEST_SUMMARY))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
