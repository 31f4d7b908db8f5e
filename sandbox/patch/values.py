"""A patch and what it holds or can't carry, as values and the words that say so.

Owns how much of the content beside the hunks is kept for a reviewer, so that the host's memory
stays bounded: to compare two versions of a file takes both as a whole, and what a binary is takes
its first bytes. Which files are compared, and what is made of them, is the caller's.
"""

import stat
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from enum import StrEnum

from policies.frozen import dataclass
from sandbox.git.diff import DiffRecord
from sandbox.git.manifest import ManifestEntry
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


class ChangeKind(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    path: bytes
    old_path: bytes | None
    """The path before a rename; None for any other change."""
    kind: ChangeKind
    old_mode: int
    """git mode; 0 where there was nothing."""
    new_mode: int
    added_lines: int | None
    """None for a binary file."""
    deleted_lines: int | None
    old_blob: str
    """Object id, hex; 40 zeros where there was nothing."""
    new_blob: str

    @property
    def sections(self) -> int:
        """How many ``diff --git`` parts it takes: git prints a change of type (a file that is a
        link now) as one deleted and one created."""
        both = self.old_mode and self.new_mode
        return 2 if both and stat.S_IFMT(self.old_mode) != stat.S_IFMT(self.new_mode) else 1


class LeftOutKind(StrEnum):
    """What keeps something out of a patch."""

    RULE = "rule"
    """An ignore rule of the repository, or a rule of the policy."""
    TOO_LARGE = "too large"
    SPECIAL = "special"
    """It is a socket, a pipe or a device."""
    EMPTY_DIRECTORY = "empty directory"
    MODE = "mode"
    """It is in the patch, with other permission bits."""
    COLLISION = "collision"
    """It has the SHA-1 id of another file."""
    UNUSABLE = "unusable"
    """It was copied, and does not work in the container."""
    BORROWED = "borrowed"
    """It was not copied; what it names on the host was, as far as the reason says."""
    PREPARED = "prepared"
    """It was made before the agent began, and the workspace has nothing there."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that stood in the container and is not in the patch."""

    path: bytes
    reason: str
    """For a person, as the end of a sentence that begins with the path."""
    kind: LeftOutKind = LeftOutKind.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPatch:
    """The same change in what git stores, where that is not what stands in the worktree."""

    data: bytes | None
    """What ``git apply`` takes in the repository itself; None where it can't be known."""
    note: str
    """For a person: which files, why, and what to use."""
    base_tree: str = ""
    """Tree id of the baseline in its stored form."""
    tree: str = ""
    """The same after the patch, as found by applying it."""
    before: Mapping[bytes, ManifestEntry | None] = field(default_factory=dict)
    """Each touched path in the stored form of the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    data: bytes
    """What ``git apply`` takes; empty where nothing changed. It fits the files as they stand."""
    changes: tuple[Change, ...]
    base_tree: str
    """Tree id (hex) of the baseline."""
    tree: str
    """Tree id (hex) of baseline + patch, as found by applying the patch."""
    index: IndexPatch | None = None
    """None where git stores these files as they stand."""
    left_out: tuple[LeftOut, ...] = ()
    results: Mapping[bytes, ManifestEntry | None] = field(default_factory=dict)
    """Each touched path as applying the patch left it; None where nothing is. Blobs: in the store.
    What verification installs, so that what is tested is the patch."""
    links: Mapping[bytes, bytes] = field(default_factory=dict)
    """Target of each link that the patch makes or changes."""
    old_links: Mapping[bytes, bytes] = field(default_factory=dict)
    """Target of each link of the baseline, whether the patch touches it or not."""
    sides: Mapping[str, Side] = field(default_factory=dict)
    """Content that a review needs beside the hunks, by object id, as far as it was kept."""
    collisions: Mapping[bytes, bytes] = field(default_factory=dict)
    """New paths that some systems take for another path of the tree, which is the value."""


_NOTES_LIMIT = 200
_CARRIED_MODES = frozenset({0o644, 0o755, 0o664, 0o775})
"""What a checkout makes of git's two modes, by umask."""


def collides(path: bytes) -> LeftOut:
    """For a file that has the id of another one, and another content."""
    reason = "has the SHA-1 id of another file, and another content: no patch can tell them apart"
    return LeftOut(path=path, reason=reason, kind=LeftOutKind.COLLISION)


def special(path: bytes) -> LeftOut:
    """For what is no file, link or directory."""
    return LeftOut(path=path, reason="is a socket, pipe or device", kind=LeftOutKind.SPECIAL)


def too_large(path: bytes, size: int) -> LeftOut:
    """For a file of more bytes than a patch takes."""
    reason = f"is too large for a patch ({size} bytes)"
    return LeftOut(path=path, reason=reason, kind=LeftOutKind.TOO_LARGE)


def empty_directory(path: bytes) -> LeftOut:
    """For a directory with nothing in it."""
    reason = "is an empty directory, which no patch carries"
    return LeftOut(path=path, reason=reason, kind=LeftOutKind.EMPTY_DIRECTORY)


def mode_notes(path: bytes, mode: int) -> list[LeftOut]:
    """What a patch drops of a file's mode: all but whether its owner may execute it."""
    bits = stat.S_IMODE(mode)
    if not stat.S_ISREG(mode) or bits in _CARRIED_MODES:
        return []
    carried_as = 0o755 if bits & 0o100 else 0o644
    reason = f"has mode {bits:o}, which a patch carries as {carried_as:o}"
    return [LeftOut(path=path, reason=reason, kind=LeftOutKind.MODE)]


def bounded(notes: list[LeftOut]) -> list[LeftOut]:
    """The first of them, and how many more there are."""
    shown = sorted(notes, key=lambda note: note.path)[:_NOTES_LIMIT]
    if len(notes) > len(shown):
        more = len(notes) - len(shown)
        shown[-1] = replace(shown[-1], reason=f"{shown[-1].reason}; so it is with {more} more")
    return shown
