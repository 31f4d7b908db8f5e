"""The content that a reviewer of a patch needs beside its hunks, read while the store lives.

Hunks show three lines around a change: to compare two versions of a file takes both as a whole,
and what a binary is takes its first bytes. Owns how much, so that the host's memory stays bounded;
which files are compared, and what is made of them, is the caller's.
"""

from collections.abc import Iterable, Mapping

from policies.frozen import dataclass
from sandbox.git.diff import DiffRecord
from sandbox.git.store import NOTHING, Store

START_BYTES = 4096
"""How much is kept of a file that is too large to be kept whole."""
BINARY_LIMIT_BYTES = 1 << 20
"""A larger file that the patch carries as binary data is not kept whole: it may be text."""
COMPARED_LIMIT_BYTES = 4 << 20
"""A larger file is not kept whole where it is to be compared."""
TOGETHER_LIMIT_BYTES = 16 << 20
"""For the kept content of all files; the smallest come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One blob, from its start."""

    start: bytes
    size: int
    """Size of the whole blob, in bytes."""

    @property
    def whole(self) -> bool:
        """Whether nothing of it is missing."""
        return len(self.start) == self.size


def read_sides(
    store: Store, records: Iterable[DiffRecord], compared: frozenset[bytes]
) -> Mapping[str, Side]:
    """Content by object id; what is past a bound is not there.

    Args:
        compared: names, in lower case, of files of which both versions are kept whole.
    """
    wanted: dict[str, int] = {}
    for record in records:
        if _name(record.path) in compared or _name(record.old_path or b"") in compared:
            wanted |= dict.fromkeys((record.old_blob, record.new_blob), COMPARED_LIMIT_BYTES)
        elif record.added_lines is None:
            wanted.setdefault(record.new_blob, BINARY_LIMIT_BYTES)
    sizes = {blob: store.size(blob) for blob in wanted if blob != NOTHING and blob in store}
    kept = {blob: size if size <= wanted[blob] else START_BYTES for blob, size in sizes.items()}
    sides: dict[str, Side] = {}
    left = TOGETHER_LIMIT_BYTES
    for blob, limit in sorted(kept.items(), key=lambda item: (item[1], item[0])):
        left -= limit
        if left < 0:
            break
        start = bytearray()
        for piece in store.read(blob):
            start += piece
            if len(start) >= limit:
                break
        sides[blob] = Side(start=bytes(start[:limit]), size=sizes[blob])
    return sides


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2].lower()
