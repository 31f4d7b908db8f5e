"""The lines of ``events.jsonl`` as a chain: each carries the hash of the one before.

Owns what makes a line the one that follows, and how far a file holds together. Refuses to know what
the lines say (`reader`).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from agent.errors import RecordError
from policies.frozen import dataclass

FIRST = "0" * 64
"""Stands on the first line for the digest of the one before."""
HEAD = ("seq", "time", "prev")
"""What a line has beside its event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a file has of lines that hold together."""

    path: Path
    rows: tuple[Mapping[str, object], ...]
    """Those before the first that does not follow."""
    digest: str
    """sha256 (hex) of the last of them; `FIRST` where there is none."""
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


def digest(line: bytes) -> str:
    """The sha256, hex, of a line without its newline."""
    return hashlib.sha256(line).hexdigest()


def read_chain(file: BinaryIO, path: Path) -> Chain:
    """Read from the beginning of an open file.

    Args:
        path: how the file is called where something is wrong with it.
    """
    rows: list[Mapping[str, object]] = []
    previous, end, torn, fault = FIRST, 0, 0, ""
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
        previous = digest(line[:-1])
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


def _object(line: bytes) -> Mapping[str, object] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
