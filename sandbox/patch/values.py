"""A patch and what it holds, as values."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from policies.frozen import dataclass
from sandbox.git.manifest import ManifestEntry
from sandbox.patch.reviewed_content import Side


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
