"""A linked work tree (git-worktree(1)): a directory whose repository stands elsewhere.

Owns finding that repository, and where each of its files is. A hostile directory may name any
repository: it is believed only where that one names the directory too, in a file that the directory
can't write.
"""

import os
from pathlib import Path

from policies.frozen import dataclass
from sandbox.cache import regular_file

_POINTER_LIMIT = 1 << 13
OWN = frozenset({
    b"HEAD", b"index", b"ORIG_HEAD", b"MERGE_HEAD", b"MERGE_MSG", b"MERGE_MODE", b"AUTO_MERGE",
    b"CHERRY_PICK_HEAD", b"REVERT_HEAD", b"REBASE_HEAD", b"rebase-merge", b"rebase-apply",
    b"sequencer",
})  # fmt: skip
"""What each work tree has for itself (gitrepository-layout(5)), as far as a copy takes it."""
SHARED = frozenset({b"objects", b"refs", b"packed-refs", b"shallow", b"config", b"info"})
"""What all have in common, likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedTree:
    """Absolute paths without links in them."""

    own: bytes
    """The work tree's directory in the repository: ``.git/worktrees/NAME``."""
    common: bytes
    """The repository's ``.git``."""

    def names(self) -> list[bytes]:
        """What stands in a ``.git`` made of both."""
        found = set(os.listdir(self.common)) & SHARED | set(os.listdir(self.own)) & OWN
        return sorted(found)

    def path(self, inside: bytes) -> bytes:
        """Where something of that ``.git`` is; ``inside`` is relative to it."""
        first = inside.partition(b"/")[0]
        return (self.own if first in OWN else self.common) + b"/" + inside


def find(root: Path) -> LinkedTree | None:
    """The repository of a linked work tree; None where the directory is none, or where the
    repository does not say that it has this one."""
    top = os.path.realpath(os.fsencode(root))
    try:
        pointer = _pointer(top + b"/.git")
        if not pointer.startswith(b"gitdir: "):
            return None
        own = os.path.realpath(os.path.join(top, pointer.removeprefix(b"gitdir: ")))
        back = os.path.join(own, _pointer(own + b"/gitdir"))
        common = os.path.realpath(os.path.join(own, _pointer(own + b"/commondir")))
    except (OSError, ValueError):
        return None
    if os.path.basename(back) != b".git" or os.path.realpath(os.path.dirname(back)) != top:
        return None
    return (
        LinkedTree(own=own, common=common)
        if os.path.dirname(own) == common + b"/worktrees"
        else None
    )


def host_path(root: Path, path: bytes, linked: LinkedTree | None) -> bytes:
    """Where a path of the workspace is on the host."""
    if linked is not None and path.startswith(b".git/"):
        return linked.path(path.removeprefix(b".git/"))
    return os.fsencode(root) + b"/" + path


def _pointer(path: bytes) -> bytes:
    """The one line of a small regular file. Raises `OSError`."""
    with regular_file(path) as file:
        return file.read(_POINTER_LIMIT).rstrip(b"\r\n")
