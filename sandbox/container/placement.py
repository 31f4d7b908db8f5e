"""Files of the workspace put in place through the guest: removed, written, directories set right.

Owns what goes into one request, and how a failure is told. What the guest says of its work counts
for nothing beside that: whoever needs to know whether it was done looks afterwards.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from sandbox.errors import SandboxLost
from sandbox.guest import protocol
from sandbox.guest.message import HostRequest
from sandbox.guest.wire import PIECE
from sandbox.link import GuestLink

_BATCH_ROWS = 500
_BATCH_BYTES = 1 << 19
_ROW_BYTES = 64
"""What a row takes beside path and content, at most."""
_ERROR_NUMBERS = range(1, 134)
"""The error numbers that Linux has."""

Row = TypeVar("Row", bytes, protocol.PutFile, protocol.FolderMode)

Failures = dict[bytes, int]
"""Error number of each path with which it did not go."""


def place(link: GuestLink, kind: Callable[..., HostRequest], rows: Iterable[Row]) -> Failures:
    """Have the guest do one kind of thing with each row, in their order.

    Args:
        kind: `protocol.RemoveFiles` or another of the requests that are answered by `Placed`.

    Raises:
        SandboxLost: the guest does not answer, or tells of what it was not asked.
    """
    failures: Failures = {}
    for batch in _batches(rows):
        for failed in link.ask(kind(rows=batch), protocol.Placed).failed:
            if not 0 <= failed.row < len(batch):
                raise SandboxLost("the guest failed at what it was not asked to do")
            failures[_path(batch[failed.row])] = failed.errno
    return failures


def pieces(path: bytes, mode: int, content: Iterable[bytes]) -> Iterator[protocol.PutFile]:
    """One file or link for `protocol.PutFiles`: at least one piece."""
    offset = 0
    for chunk in content:
        for at in range(0, len(chunk), PIECE):
            data = chunk[at : at + PIECE]
            yield protocol.PutFile(path=path, mode=mode, data=data, offset=offset)
            offset += len(data)
    if not offset:
        yield protocol.PutFile(path=path, mode=mode, data=b"", offset=0)


def error_text(number: int) -> str:
    """What an error number that the guest told says, for a person."""
    return os.strerror(number) if number in _ERROR_NUMBERS else f"error {number}"


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists that each fit in a frame."""
    batch: list[Row] = []
    total = 0
    for row in rows:
        size = _size(row)
        if batch and (total + size > _BATCH_BYTES or len(batch) >= _BATCH_ROWS):
            yield batch
            batch, total = [], 0
        batch.append(row)
        total += size
    if batch:
        yield batch


def _size(row: bytes | protocol.PutFile | protocol.FolderMode) -> int:
    return (
        _ROW_BYTES + len(_path(row)) + (len(row.data) if isinstance(row, protocol.PutFile) else 0)
    )


def _path(row: bytes | protocol.PutFile | protocol.FolderMode) -> bytes:
    return row if isinstance(row, bytes) else row.path
