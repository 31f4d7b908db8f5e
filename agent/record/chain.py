"""The lines of ``events.jsonl`` as a chain, read: each carries the hash of the one before.

Owns what makes a line the one that follows, how far a file holds together, and going on with one
whose process ended. Refuses to know what the lines say (`reader`).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from agent.errors import RecordError
from agent.record import store
from agent.record.store import RunRecord
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a file has of lines that hold together."""

    path: Path
    rows: tuple[Mapping[str, object], ...]
    """Those before the first that does not follow."""
    digest: str
    """sha256 (hex) of the last of them; `store.FIRST` where there is none."""
    end: int
    """Where the last of them ends, in bytes."""
    torn_bytes: int
    """Length of a last line without its end, as a killed process leaves it; 0: there is none."""
    fault: str
    """What is wrong with the line after them; empty where nothing is."""

    def require(self) -> "Chain":
        """Raises `RecordError` where somebody changed the file."""
        if self.fault:
            raise RecordError(self.fault)
        return self


def read_chain(file: BinaryIO, path: Path) -> Chain:
    """Read from the beginning of an open file.

    Args:
        path: how the file is called where something is wrong with it.
    """
    rows: list[Mapping[str, object]] = []
    previous, end, torn, fault = store.FIRST, 0, 0, ""
    file.seek(0)
    for line in file:
        if not line.endswith(b"\n"):
            torn = len(line)
            break
        row = _object(line)
        if row is None or row.get("prev") != previous or row.get("seq") != len(rows):
            why = "is no line of a record" if row is None else "does not follow"
            fault = (
                f"line {len(rows) + 1} of {path} {why}: the record is not what the run wrote, it "
                "was changed since"
            )
            break
        rows.append(row)
        previous = store.digest(line[:-1])
        end += len(line)
    return Chain(
        path=path, rows=tuple(rows), digest=previous, end=end, torn_bytes=torn, fault=fault
    )


def chain_of(path: Path) -> Chain:
    """Raises `RecordError` where the file can't be read."""
    try:
        with path.open("rb") as file:
            return read_chain(file, path)
    except OSError as error:
        raise RecordError(f"{path} can't be read: {error.strerror}") from error


def reopen(
    home: Path, run_id: str, *, known_secrets: tuple[str, ...] = ()
) -> tuple[RunRecord, Chain]:
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
        with os.fdopen(os.dup(handle), "rb") as lines:
            chain = read_chain(lines, path).require()
        os.ftruncate(handle, chain.end)
    except OSError as error:
        os.close(handle)
        raise RecordError(f"{path} can't be used: {error.strerror}") from error
    except BaseException:
        os.close(handle)
        raise
    record = RunRecord.held(
        handle,
        directory,
        previous=chain.digest,
        lines=len(chain.rows),
        known_secrets=known_secrets,
    )
    return record, chain


def _object(line: bytes) -> Mapping[str, object] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
