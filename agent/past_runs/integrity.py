"""Whether a run's directory is still what the run wrote, check by check.

What rests on what: each line of ``events.jsonl`` on the one before; ``run.json`` and the patch on
the events; what the patch makes of the old files, on the ids in the events. All of it lies in one
directory without a key: who can write there can write a whole other record that is sound in itself.
Against that helps only the digest of the last line, kept elsewhere; it is told for that.

Owns the checks. Changes nothing; refuses to know the terminal.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agent.errors import RecordError
from agent.past_runs.resume import SUMMARY_NOT_WRITTEN
from agent.record.events.decoding import decode, recorded_changes
from agent.record.events.encoding import plain
from agent.record.events.types import ChangesRescanned, ChangesTracked, WorkspaceRestored
from agent.record.runs import RecordedRun, is_running
from agent.record.store import BASELINE, EVENTS, FIRST, PATCH, REFUSED_PATCH, REPORT, STEPS, linked
from agent.untrusted_text import path_text
from sandbox.errors import PatchError
from sandbox.git.manifest import ManifestEntry
from sandbox.git.store import NOTHING, Store
from sandbox.patch import baseline
from sandbox.patch.make import apply_proof, same_file
from sandbox.patch.values import Change

_SHOWN = 5
Row = Mapping[str, object]

_OUTCOMES = {
    "finished": "finished",
    "gave_up": "gave up",
    "refused": "refused",
    "interrupted": "interrupted",
    "model_failed": "model failed",
    "sandbox_failed": "sandbox failed",
    "record_failed": "record failed",
    "crashed": "crashed",
    "cut_short": "cut short",
    "not_verified": "not verified",
    "export_refused": "export refused",
}


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


def checks(run: RecordedRun) -> Iterator[IntegrityCheck]:
    """Check everything, in order of what rests on what."""
    rows, chain = _chain(run.directory / EVENTS)
    yield chain
    exported = _newest(rows, "exported")
    yield _check("summary", lambda: _summary(run, rows))
    yield _check("patch", lambda: _patch(run, exported))
    yield _check("old files", lambda: _old_files(run, exported))
    yield _check("result", lambda: _result(run, exported))
    yield _check("steps", lambda: _steps(run, rows))
    yield _check("report", lambda: _report(run, rows))


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


def _chain(path: Path) -> tuple[list[Row], IntegrityCheck]:
    """The lines that hold together, and where they cease to."""
    rows: list[Row] = []
    previous = FIRST
    broken = ""
    try:
        with path.open("rb") as lines:
            for line in lines:
                row = linked(line.removesuffix(b"\n"), previous, len(rows))
                if not line.endswith(b"\n"):
                    broken = f"line {len(rows)} is torn: a process ended while it wrote it"
                elif row is None:
                    broken = f"line {len(rows)} does not follow the one before: it, or that one, "
                    broken += "was changed since, or one between them is gone"
                if broken or row is None:
                    break
                rows.append(row)
                previous = hashlib.sha256(line[:-1]).hexdigest()
    except OSError as error:
        broken = f"{path} can't be read: {error.strerror}"
    if not broken and not rows:
        broken = "there is no line"
    detail = broken or f"{len(rows)} events; the last one's digest is {previous}"
    state = CheckState.BROKEN if broken else CheckState.OK
    return rows, IntegrityCheck(name="events", state=state, detail=detail)


def _newest(rows: Sequence[Row], event: str) -> Row | None:
    return next((row for row in reversed(rows) if row.get("event") == event), None)


def _needed(rows: Sequence[Row], event: str) -> Row:
    row = _newest(rows, event)
    if row is None:
        raise _Broken(f"the events have no {event}")
    return row


def _summary(run: RecordedRun, rows: Sequence[Row]) -> str:
    if not run.summary:
        raise _Broken("run.json can't be read")
    if is_running(run):
        raise _Nothing("the run has not ended, or its process was killed: `moonpool resume`")
    over = _needed(rows, "run_ended")
    if over is not rows[-1]:
        raise _Broken(f"the events go on after run_ended (line {over.get('seq')})")
    started = _needed(rows, "run_started")
    expected: dict[str, object] = {
        key: started.get(key)
        for key in (
            *("run_id", "task", "workspace", "policy", "verify", "accepted_risks"),
            "forked_from",
        )
    }
    resumed = _newest(rows, "resumed")
    expected["model"] = (resumed or started).get("model")
    if resumed is None:
        expected["policy_file"] = started.get("policy_file")
    expected |= {
        "outcome": _outcome(over.get("outcome")),
        "exit_code": over.get("exit_code"),
        "turns": over.get("turns"),
        "tokens": over.get("used"),
        "container_left": over.get("container_left"),
    }
    exported = _newest(rows, "exported") or {"changes": [], "left_out": [], "findings": []}
    for key in ("patch_sha256", "patch_bytes", "base_tree", "tree", "changes", "left_out"):
        expected[key] = exported.get(key)
    expected["findings"] = exported.get("findings")
    expected["patch"] = exported.get("path")
    verified = _newest(rows, "verification_ended")
    reason = _mapping(run.summary.get("verification")).get("reason")
    if verified is not None and reason != SUMMARY_NOT_WRITTEN:
        expected["verification"] = verified.get("result")
    ready = _newest(rows, "sandbox_ready")
    if ready is not None:
        expected["kernel_enforced"] = ready.get("kernel_enforced")
        expected["seal"] = ready.get("seal")
        expected["left_behind"] = ready.get("left_behind")
    expected["kernel_refusals"] = [
        {"type": "kernel_refusal", "call": row.get("number"), "program": program}
        for row in rows
        if row.get("event") == "call_ended"
        for program in _list(row.get("refused"))
    ]
    differing = [
        key for key, value in expected.items() if not _same(plain(run.summary.get(key)), value)
    ]
    if differing:
        raise _Broken(f"run.json says otherwise than the events of: {', '.join(differing)}")
    return f"run.json says the same as the events, in {len(expected)} fields"


def _same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _outcome(recorded: object) -> str:
    if not isinstance(recorded, Mapping):
        raise _Broken("run_ended has no outcome")
    kind = str(recorded.get("type"))
    return f"limit: {recorded.get('limit')}" if kind == "limit_reached" else _OUTCOMES.get(kind, "")


def _patch_file(run: RecordedRun, exported: Row | None) -> Path:
    if exported is None:
        raise _Nothing("the run made no patch")
    return run.directory / (REFUSED_PATCH if exported.get("refused") else PATCH)


def _patch(run: RecordedRun, exported: Row | None) -> str:
    file = _patch_file(run, exported)
    assert exported is not None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != exported.get("patch_sha256"):
        raise _Broken(f"{file.name} has not the digest that the events have: it was changed since")
    return f"{file.name} is what the run wrote, sha256 {digest}"


def _old_files(run: RecordedRun, exported: Row | None) -> str:
    changes = _changes(exported)
    kept = _kept(run)
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
    with tempfile.TemporaryDirectory(prefix="moonpool-verify-") as room:
        damaged = _damaged(
            kept.store,
            {entry.blob for entry in kept.entries.values() if entry is not None},
            Store(Path(room) / "store"),
        )
    if damaged:
        raise _Broken(f"content was changed since: {', '.join(damaged[:_SHOWN])}")
    return f"the old side of {len(changes)} changes is what it was"


def _result(run: RecordedRun, exported: Row | None) -> str:
    file = _patch_file(run, exported)
    changes = _changes(exported)
    if not file.stat().st_size and not changes:
        return "an empty patch changes nothing"
    kept = _kept(run)
    with tempfile.TemporaryDirectory(prefix="moonpool-verify-") as room:
        store = Store(Path(room) / "store")
        for entry in kept.entries.values():
            if entry is not None:
                kept.store.lend(entry.blob, store)
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


def _changes(exported: Row | None) -> tuple[Change, ...]:
    if exported is None:
        raise _Nothing("the run made no patch")
    return recorded_changes(exported.get("changes"))


def _kept(run: RecordedRun) -> baseline.Baseline:
    kept = baseline.load(run.directory / BASELINE)
    if kept is None:
        raise _Nothing("the old files were not kept, or are gone")
    return kept


def _steps(run: RecordedRun, rows: Sequence[Row]) -> str:
    blobs: set[str] = set()
    for row in rows:
        if row.get("event") in {"changes_tracked", "changes_rescanned", "workspace_restored"}:
            event = decode(row)
            assert isinstance(event, ChangesTracked | ChangesRescanned | WorkspaceRestored)
            blobs |= {item.blob for item in event.changed if item.blob is not None}
    if not blobs:
        raise _Nothing("no call changed what could be followed")
    directory = run.directory / STEPS
    if not directory.is_dir():
        raise _Broken(f"{directory} is gone: `moonpool blame` has little to go by")
    with tempfile.TemporaryDirectory(prefix="moonpool-verify-") as room:
        damaged = _damaged(Store(directory), blobs, Store(Path(room) / "store"))
    if damaged:
        raise _Broken(f"content was changed since, or is gone: {', '.join(damaged[:_SHOWN])}")
    return f"{len(blobs)} contents that calls made are what they were"


def _damaged(store: Store, blobs: set[str], other: Store) -> list[str]:
    """Those whose content has not their id."""
    damaged = []
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


def _report(run: RecordedRun, rows: Sequence[Row]) -> str:
    report = run.directory / REPORT
    if _newest(rows, "run_ended") is None:
        raise _Nothing("the run has not ended")
    if report.is_symlink() or not report.is_file():
        raise _Broken(f"{report} is gone")
    return "it is there (nothing is recorded of its content)"


def _paths(paths: Sequence[bytes]) -> str:
    shown = ", ".join(path_text(path) for path in sorted(paths)[:_SHOWN])
    return f"{shown} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else shown
