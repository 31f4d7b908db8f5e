"""What a workspace copy consists of: the baseline that a patch is made against."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file as git sees it. Positional: there are a hundred thousand of them."""

    mode: int
    """`FILE`, `EXECUTABLE` or `SYMLINK`."""
    blob: str
    """SHA-1 object id (hex) of the content; of the target, for a symlink."""
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    entries: Mapping[bytes, ManifestEntry]
    """Every file and link by path relative to the workspace, ``/`` between parts. Nothing below any
    ``.git``."""
    tracked: frozenset[bytes] | None
    """Paths in the index of the workspace's own repository; None where there is none to read."""
    ignore_files: Mapping[bytes, bytes]
    """Content of each ``.gitignore`` in the copy by its path, and of ``.git/info/exclude``."""
    links: Mapping[bytes, bytes] = field(default_factory=dict)
    """Target of each symbolic link in the copy by its path."""


def blob_id(data: bytes) -> str:
    """git's object id of a content (git-hash-object(1))."""
    digest = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()
