"""What a workspace copy consists of: the baseline that a patch is made against."""

import hashlib
from collections.abc import Mapping
from dataclasses import field

from policies.frozen import dataclass

FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000

PERSONAL_EXCLUDE = b".git/info/personal-exclude"
PERSONAL_ATTRIBUTES = b".git/info/personal-attributes"
"""Where the person's own rules stand in a copy; they count less than all of the repository's."""


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
    rule_files: Mapping[bytes, bytes]
    """Content of each ``.gitignore`` and ``.gitattributes`` in the copy by its path, of
    ``.git/info/exclude``, ``.git/info/attributes``, the person's own two files of rules, and what
    is read of ``.git/config``."""
    stored: Mapping[bytes, str] = field(default_factory=dict)
    """Id (hex) in that index of each file that it knows by another id than `entries`: it was
    changed since, is stored in another form, or its repository has longer ids."""
    object_format: str = "sha1"
    """What that repository's ids are made by: ``sha1`` or ``sha256``."""
    links: Mapping[bytes, bytes] = field(default_factory=dict)
    """Target of each symbolic link in the copy by its path."""


def blob_id(data: bytes) -> str:
    """git's object id of a content (git-hash-object(1))."""
    digest = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()
