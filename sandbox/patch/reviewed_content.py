"""The content that a reviewer of a patch needs beside its hunks, read while the store lives.

Hunks show three lines around a change: whether a manifest's install scripts changed takes both
files whole, and what a binary is takes its first bytes. Owns which files and how much, so that the
host's memory stays bounded; knows nothing of what is made of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sandbox.git.diff import DiffRecord
from sandbox.git.store import NOTHING, Store

START_BYTES = 4096
"""Of a file that is too large to be kept whole."""
BINARY_LIMIT_BYTES = 1 << 20
"""A larger file that the patch carries as binary data is not kept whole: it may be text."""
COMPARED_LIMIT_BYTES = 4 << 20
"""The same of a file that is compared."""
TOGETHER_LIMIT_BYTES = 16 << 20
"""Of all files; the smallest first."""

COMPARED = frozenset(
    {
        b"package.json",
        b"composer.json",
        b"pyproject.toml",
        b"cargo.toml",
        b"pipfile",
        b"package-lock.json",
        b"npm-shrinkwrap.json",
        b"yarn.lock",
        b"pnpm-lock.yaml",
        b"bun.lock",
        b"poetry.lock",
        b"uv.lock",
        b"pdm.lock",
        b"pipfile.lock",
        b"cargo.lock",
        b"gemfile.lock",
        b"composer.lock",
        b"go.sum",
    }
)
"""Names, in lower case, of files that are compared as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One blob, from its start."""

    start: bytes
    size: int
    """Of all of it, in bytes."""

    @property
    def whole(self) -> bool:
        return len(self.start) == self.size


def read_sides(store: Store, records: Iterable[DiffRecord]) -> Mapping[str, Side]:
    """By object id. What is past a bound is not there."""
    wanted: dict[str, int] = {}
    for record in records:
        if _name(record.path) in COMPARED or _name(record.old_path or b"") in COMPARED:
            wanted |= dict.fromkeys((record.old_blob, record.new_blob), COMPARED_LIMIT_BYTES)
        elif record.added_lines is None:
            wanted.setdefault(record.new_blob, BINARY_LIMIT_BYTES)
    sizes = {blob: store.size(blob) for blob in wanted if blob != NOTHING and blob in store}
    kept = {blob: size if size <= wanted[blob] else START_BYTES for blob, size in sizes.items()}
    sides: dict[str, Side] = {}
    room = TOGETHER_LIMIT_BYTES
    for blob, limit in sorted(kept.items(), key=lambda item: (item[1], item[0])):
        room -= limit
        if room < 0:
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
