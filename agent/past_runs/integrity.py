"""Whether a run's directory is still what the run wrote, check by check.

What rests on what: each line of ``events.jsonl`` on the one before; ``run.json`` and the patch on
the events; what the patch makes of the old files, on the ids in the events. All of it lies in one
directory without a key: who can write there can write a whole other record that is sound in itself.
Against that helps only the digest of the last line, kept elsewhere; it is told for that.

Owns the checks. Changes nothing; refuses to know the terminal.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path

from agent.config.instructions import Skill
from agent.errors import RecordError
from agent.past_runs.fork import contents_of
from agent.record.events.lifecycle import Exported
from agent.record.kept import kept_skills
from agent.record.reader import ReadRecord, read_record
from agent.record.run_state import RunState, fold
from agent.record.runs import run_in
from agent.record.store import BASELINE, PATCH, REFUSED_PATCH, REPORT, STEPS
from agent.record.summary import summary_of
from agent.untrusted_text import path_text
from policies.errors import listed
from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.git.manifest import ManifestEntry
from sandbox.git.store import NOTHING, Store
from sandbox.patch import baseline
from sandbox.patch.make import INDEX_PATCH, apply_proof, same_file

_SHOWN = 5


class CheckState(StrEnum):
    OK = "ok"
    BROKEN = "broken"
    NOTHING_THERE = "not there"
    """Nothing to check: no such part, or it was not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityCheck:
    name: str
    state: CheckState
    detail: str
    """Where it is broken, or what holds; hostile text in it is not yet made visible."""


def checks(directory: Path) -> Iterator[IntegrityCheck]:
    """Check everything in a run's directory, in order of what rests on what."""
    record: ReadRecord | None = None
    try:
        record = read_record(directory)
    except RecordError as error:
        yield IntegrityCheck(name="events", state=CheckState.BROKEN, detail=str(error))
    else:
        yield _check("events", partial(_events, record))
    state = fold(line.event for line in record.lines) if record is not None else RunState()
    exported = state.exported
    yield _check("summary", lambda: _summary(directory, state))
    yield _check("patch", lambda: _patch(directory, exported))
    yield _check("old files", lambda: _old_files(directory, exported))
    yield _check("result", lambda: _result(directory, exported))
    yield _check("steps", lambda: _steps(directory, record))
    yield _check("report", lambda: _report(directory, state))
    if state.started is not None and state.started.skills:
        yield _check("skills", partial(_skills, directory, state.started.skills))


class _Broken(Exception):
    """A check does not hold; the message says where."""


class _Nothing(Exception):
    """There is nothing to check; the message says why."""


def _check(name: str, holds: Callable[[], str]) -> IntegrityCheck:
    try:
        return IntegrityCheck(name=name, state=CheckState.OK, detail=holds())
    except _Nothing as nothing:
        return IntegrityCheck(name=name, state=CheckState.NOTHING_THERE, detail=str(nothing))
    except (_Broken, RecordError, PatchError) as broken:
        return IntegrityCheck(name=name, state=CheckState.BROKEN, detail=str(broken))
    except OSError as error:
        detail = f"{error.filename} can't be read: {error.strerror}"
        return IntegrityCheck(name=name, state=CheckState.BROKEN, detail=detail)


def _skills(directory: Path, skills: tuple[Skill, ...]) -> str:
    if not kept_skills(directory, skills).whole:
        raise _Broken("a file of a skill that the run had is gone, or is another")
    return f"every file of {', '.join(skill.name for skill in skills)} is what the run had"


def _events(record: ReadRecord) -> str:
    lines = record.require()
    if record.torn_bytes:
        raise _Broken(f"line {len(lines) + 1} is torn: a process ended while it wrote it")
    if not lines:
        raise _Broken("there is no line")
    return f"{len(lines)} events; the last one's digest is {record.digest}"


def _summary(directory: Path, state: RunState) -> str:
    found = run_in(directory)
    if found.is_running or found.is_cut:
        raise _Nothing("the run has not ended, or its process was killed: `moonpool resume`")
    if state.started is None or state.over is None:
        raise _Broken("the events do not end with run_ended, and run.json says how the run ended")
    expected = summary_of(state)
    differing = [
        name
        for name in type(expected).recorded_fields
        if getattr(found.summary, name) != getattr(expected, name)
    ]
    if differing:
        raise _Broken(f"run.json says otherwise than the events of: {', '.join(differing)}")
    return f"run.json says the same as the events, in {len(type(expected).recorded_fields)} fields"


def _exported(exported: Exported | None) -> Exported:
    if exported is None:
        raise _Nothing("the run made no patch")
    return exported


def _patch_file(directory: Path, exported: Exported) -> Path:
    return directory / (REFUSED_PATCH if exported.refused else PATCH)


def _patch(directory: Path, exported: Exported | None) -> str:
    file = _patch_file(directory, exported := _exported(exported))
    files = {file: exported.patch_sha256}
    if exported.index_patch_sha256 is not None:
        files[directory / INDEX_PATCH] = exported.index_patch_sha256
    for one, digest in files.items():
        if hashlib.sha256(one.read_bytes()).hexdigest() != digest:
            raise _Broken(
                f"{one.name} has not the digest that the events have: it was changed since"
            )
    return f"{file.name} is what the run wrote, sha256 {exported.patch_sha256}"


def _old_files(directory: Path, exported: Exported | None) -> str:
    changes = _exported(exported).changes
    kept = _kept(directory)
    wanted: dict[bytes, ManifestEntry | None] = {}
    for change in changes:
        old = change.path if change.old_path is None else change.old_path
        none = change.old_blob == NOTHING
        wanted[old] = None if none else ManifestEntry(change.old_mode, change.old_blob, 0)
        if change.old_path is not None:
            wanted.setdefault(change.path, None)
    others = [path for path in wanted if not same_file(wanted[path], kept.entries.get(path))]
    if others:
        raise _Broken(f"not those that the events have: {_paths(others)}")
    damaged = _damaged(
        kept.store, {entry.blob for entry in kept.entries.values() if entry is not None}
    )
    if damaged:
        raise _Broken(f"content was changed since: {', '.join(damaged[:_SHOWN])}")
    return f"the old side of {len(changes)} changes is what it was"


def _result(directory: Path, exported: Exported | None) -> str:
    file = _patch_file(directory, exported := _exported(exported))
    changes = exported.changes
    if not file.stat().st_size and not changes:
        return "an empty patch changes nothing"
    kept = _kept(directory)
    with tempfile.TemporaryDirectory(prefix="moonpool-verify-") as scratch:
        store = Store(Path(scratch) / "store")
        kept.lent(store)
        found = apply_proof(store, kept.entries, file)
    wanted: dict[bytes, ManifestEntry | None] = dict(kept.entries)
    wanted |= {change.old_path: None for change in changes if change.old_path is not None}
    for change in changes:
        none = change.new_blob == NOTHING
        wanted[change.path] = None if none else ManifestEntry(change.new_mode, change.new_blob, 0)
    paths = {*wanted, *found}
    others = [path for path in paths if not same_file(wanted.get(path), found.get(path))]
    if others:
        raise _Broken(
            f"the patch on the old files does not give what the events have: {_paths(others)}"
        )
    return f"the patch on the old files gives the recorded ids of {len(paths)} paths"


def _kept(directory: Path) -> baseline.Baseline:
    kept = baseline.load(directory / BASELINE)
    if kept is None:
        raise _Nothing("the old files were not kept, or are gone")
    return kept


def _steps(directory: Path, record: ReadRecord | None) -> str:
    blobs = contents_of(line.event for line in (record.lines if record is not None else ()))
    if not blobs:
        raise _Nothing("no call changed what could be followed")
    steps = directory / STEPS
    if not steps.is_dir():
        raise _Broken(f"{steps} is gone: `moonpool blame` has little to go by")
    damaged = _damaged(Store(steps), blobs)
    if damaged:
        raise _Broken(f"content was changed since, or is gone: {', '.join(damaged[:_SHOWN])}")
    return f"{len(blobs)} contents that calls made are what they were"


def _damaged(store: Store, blobs: set[str]) -> list[str]:
    """Those whose content has not their id."""
    damaged = []
    with tempfile.TemporaryDirectory(prefix="moonpool-verify-") as scratch:
        other = Store(Path(scratch) / "store")
        for blob in sorted(blobs):
            try:
                same = other.put(store.read(blob), store.size(blob)) == blob
            except PatchError:
                same = False
            if not same:
                damaged.append(blob)
            else:
                other.file_of(blob).unlink(missing_ok=True)  # only its id was wanted
    return damaged


def _report(directory: Path, state: RunState) -> str:
    report = directory / REPORT
    if state.over is None:
        raise _Nothing("the run has not ended")
    if report.is_symlink() or not report.is_file():
        raise _Broken(f"{report} is gone")
    return "it is there (nothing is recorded of its content)"


def _paths(paths: Sequence[bytes]) -> str:
    return listed(map(path_text, sorted(paths)), _SHOWN)
