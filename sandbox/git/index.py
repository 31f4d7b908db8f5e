"""What is tracked, out of the bytes of a repository's ``.git/index`` (gitformat-index(5)).

Owns that format as far as names go. The file comes from the workspace: it is an adversary's, so
everything is bounded by its own length, and what can't be understood is no index.
"""

import hashlib
from collections.abc import Iterator

NAME_LIMIT_BYTES = 1 << 16
_TOTAL_FACTOR = 16
"""Names of version 4 share what they begin with; together they get so many times the file."""

_HEADER_BYTES = 12
_STAT_BYTES = 40
_EXTENDED = 0x4000
_TREE_MODE = 0o040000
# Extensions without which the list of paths would be another one.
_SPLIT_OR_SPARSE = frozenset({b"link", b"sdir"})


def tracked_blobs(data: bytes) -> dict[bytes, bytes] | None:
    """The object id of every path in the index, submodules and conflicts too (one of theirs); None
    where this can't be told.

    None: a damaged file, an unknown version, a split or sparse index, an extension that must be
    understood and is not. Never raises.
    """
    if data[:4] != b"DIRC" or len(data) < _HEADER_BYTES:
        return None
    # Which hash a repository uses stands in its configuration, which is not read; the checksum
    # tells. It may be all zeros (index.skipHash): then the one that makes sense.
    for digest_bytes in _digest_sizes(data):
        try:
            return dict(_entries(data, digest_bytes))
        except (_IndexUnreadable, IndexError):
            continue
    return None


class _IndexUnreadable(Exception):
    """Not an index, or not one that tells its paths."""


def _digest_sizes(data: bytes) -> tuple[int, ...]:
    if hashlib.sha256(data[:-32]).digest() == data[-32:]:
        return (32,)
    if hashlib.sha1(data[:-20], usedforsecurity=False).digest() == data[-20:]:
        return (20,)
    return (32, 20) if not any(data[-32:]) else (20,) if not any(data[-20:]) else ()


def _entries(data: bytes, digest_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    version = int.from_bytes(data[4:8], "big")
    count = int.from_bytes(data[8:12], "big")
    end = len(data) - digest_bytes
    if version not in {2, 3, 4}:
        raise _IndexUnreadable
    budget = _TOTAL_FACTOR * len(data) + NAME_LIMIT_BYTES
    at = _HEADER_BYTES
    name = b""
    for _ in range(count):  # each entry moves `at` on by more than 60 bytes, or raises
        start = at
        if int.from_bytes(data[at + 24 : at + 28], "big") & 0o170000 == _TREE_MODE:
            raise _IndexUnreadable
        at += _STAT_BYTES + digest_bytes
        blob = data[at - digest_bytes : at]
        flags = int.from_bytes(data[at : at + 2], "big")
        at += 2
        if flags & _EXTENDED:
            if version == 2:
                raise _IndexUnreadable
            at += 2
        kept = 0
        if version == 4:
            strip, at = _number(data, at)
            kept = len(name) - strip
        stop = data.find(b"\0", at, min(end, at + NAME_LIMIT_BYTES))
        if stop < 0 or kept < 0:
            raise _IndexUnreadable
        name = name[:kept] + data[at:stop]
        budget -= len(name)
        if not name or len(name) > NAME_LIMIT_BYTES or budget < 0:
            raise _IndexUnreadable
        at = stop + 1
        if version != 4:
            # Filled up with NULs to a multiple of eight.
            at = start + (stop - start + 8) // 8 * 8
        yield name, blob
    _check_extensions(data, at, end)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """git's variable-width number (varint.c: decode_varint), and where it ends."""
    value = 0
    for index in range(at, at + 5):
        byte = data[index]
        value = (value << 7) | (byte & 0x7F)
        if not byte & 0x80:
            return value, index + 1
        value += 1
    raise _IndexUnreadable


def _check_extensions(data: bytes, at: int, end: int) -> None:
    while at + 8 <= end:
        name = data[at : at + 4]
        if name in _SPLIT_OR_SPARSE or not name[:1].isupper():
            raise _IndexUnreadable
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "big")
    if at != end:
        raise _IndexUnreadable
