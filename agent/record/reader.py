"""A record read back: its lines as the events they were.

The one way from ``events.jsonl`` to events. Each line carries the hash of the one before, and what
it says is checked against the models in `events`: a line that does not follow, or has not the shape
that this version writes, is named, never guessed at. Owns how far a file holds together, and going
on with one whose process ended.
"""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from agent.errors import RecordError
from agent.record import store
from agent.record.events.kinds import Recorded, decode
from agent.record.events.lifecycle import RunEnded
from agent.record.events.recorded import require_format
from agent.record.store import HEAD, RunRecord
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLine:
    """One line of a record."""

    time: datetime
    """When it was written, UTC."""
    event: Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRecord:
    """A record, as far as it holds together and is of this version."""

    lines: tuple[RecordLine, ...]
    """Those before the first with which something is wrong."""
    digest: str
    """sha256 (hex) of the last of them; `store.FIRST` where there is none."""
    end: int
    """Where the last of them ends, in bytes."""
    torn_bytes: int
    """Length of a last line without its end, as a killed process leaves it; 0: there is none."""
    fault: str
    """What is wrong with the line after them, which one, and where; empty where nothing is."""

    @property
    def is_over(self) -> bool:
        """Its last event is the end of the run."""
        return bool(self.lines) and isinstance(self.lines[-1].event, RunEnded)

    def require(self) -> tuple[RecordLine, ...]:
        """All lines.

        Raises:
            RecordError: something is wrong with one of them.
        """
        if self.fault:
            raise RecordError(self.fault)
        return self.lines


def read_record(run: Path) -> ReadRecord:
    """Read a run's record, by the run's directory. A last line that a crash tore is left out.

    Raises:
        RecordError: the file can't be read.
    """
    path = run / store.EVENTS
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except OSError as error:
        raise RecordError(f"{path} can't be read: {error.strerror}") from error


def reopen(
    home: Path, run_id: str, *, known_secrets: tuple[str, ...] = ()
) -> tuple[RunRecord, ReadRecord]:
    """Go on with a record whose process ended; gives its lines too.

    A last line that a killed process left without its end is cut off.

    Raises:
        RecordHeld: another process works on the run.
        RecordError: the record can't be read or written, or is not what was written.
    """
    directory = store.runs_directory(home) / run_id
    path = directory / store.EVENTS
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except OSError as error:
        raise RecordError(f"{path} can't be opened: {error.strerror}") from error
    try:
        if not store.lock(handle):
            raise store.RecordHeld(run_id, store.lock_holder(handle))
        with os.fdopen(os.dup(handle), "rb") as file:
            read = _read(file, path)
        lines = read.require()
        os.ftruncate(handle, read.end)
    except OSError as error:
        os.close(handle)
        raise RecordError(f"{path} can't be used: {error.strerror}") from error
    except BaseException:
        os.close(handle)
        raise
    record = RunRecord(
        handle, directory, previous=read.digest, lines=len(lines), known_secrets=known_secrets
    )
    return record, read


def _read(file: BinaryIO, path: Path) -> ReadRecord:
    lines: list[RecordLine] = []
    previous, end, torn, fault = store.FIRST, 0, 0, ""
    for data in file:
        if not data.endswith(b"\n"):
            torn = len(data)
            break
        try:
            lines.append(_line(data, previous, len(lines), path))
        except RecordError as error:
            fault = str(error)
            break
        previous = store.digest(data[:-1])
        end += len(data)
    return ReadRecord(lines=tuple(lines), digest=previous, end=end, torn_bytes=torn, fault=fault)


def _line(data: bytes, previous: str, number: int, path: Path) -> RecordLine:
    """Raises `RecordError` where it does not follow, or has not the shape that we write."""
    what = f"line {number + 1} of {path}"
    try:
        row = json.loads(data)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or row.get("prev") != previous or row.get("seq") != number:
        why = "does not follow" if isinstance(row, dict) else "is no line of a record"
        raise RecordError(
            f"{what} {why}: the record is not what the run wrote, it was changed since"
        )
    if number == 0 and row.get("event") == "run_started":
        require_format(row, str(path))
    try:
        time = datetime.fromisoformat(str(row.get("time")))
        if time.tzinfo is None:
            raise ValueError("no moment: from one to another nothing could be reckoned")
        event = decode({key: row[key] for key in row if key not in HEAD})
    except ValueError as error:
        raise RecordError(f"{what} has no `time`") from error
    except RecordError as error:
        raise RecordError(f"{what}: {error}") from error
    return RecordLine(time=time, event=event)
