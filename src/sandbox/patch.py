"""The patch: made in a private git store from two sets of blobs, and proved there."""

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    path: bytes
    old_path: bytes | None
    """Of a rename; else None."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that stood in the container and is not in the patch."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    data: bytes
    """What ``git apply`` takes; empty where nothing changed."""
    changes: tuple[Change, ...]
    base_tree: str
    """Tree id (hex) of the baseline."""
    tree: str
    """Tree id (hex) of baseline + patch, as found by applying the patch."""
    left_out: tuple[LeftOut, ...] = ()
