"""What of a workspace is other than in the last copy of all of it.

Owns what is remembered of that copy, and which of a later look stands in it already. A thing is the
same while nothing that the file system says of it changed: what was too young for that to be
believed is compared by content. Everything else is copied, whatever it is.
"""

import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from policies.frozen import dataclass
from sandbox import cache
from sandbox.cache import sealed, unsealed
from sandbox.engine import tar
from sandbox.git.manifest import Manifest
from sandbox.git.path_rules import above, in_git
from sandbox.workspace.scan import FoundFile, Scan, content_id
from sandbox.workspace.selection import Selection

_FORM = 2
"""Version of the kept form; one of another form is as good as none."""
_PIECE_ROWS = 1000
_SHARE = 2
"""A difference is copied alone where it is at most one part in so many of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullCopy:
    """A copy of all of a workspace, and what the file system said of it."""

    key: str
    """Names the copy."""
    rows: Mapping[bytes, tuple[object, ...]]
    """What was copied by path, each as a `FoundFile` has it; parents before children."""
    young: frozenset[bytes]
    """Those of which the file system's word does not count."""
    added: frozenset[bytes]
    """What stands in the copy and is no file of the workspace."""


def loaded(file: Path) -> FullCopy | None:
    """What was kept in a file; None where nothing whole is."""
    try:
        values = unsealed(file)
        form, key, young, added = next(values)
        if form != _FORM:
            return None
        rows = {row[0]: row for piece in values for row in piece}
        return FullCopy(key=key, rows=rows, young=frozenset(young), added=frozenset(added))
    except (OSError, ValueError, TypeError, StopIteration):
        return None


def keep_full(
    file: Path,
    rows: Iterable[tuple[object, ...]],
    *,
    key: str,
    young: Collection[bytes],
    added: Collection[bytes],
) -> None:
    """Remember a copy: the fields of a `FullCopy`. Never all in memory once more."""
    head = (_FORM, key, tuple(young), tuple(added))
    cache.keep_pieces(file, sealed(chain((head,), _pieces(rows))))


def _pieces(rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[Any, ...]]:
    # Plain tuples, for nothing else can be written.
    plain = map(tuple, rows)
    while piece := tuple(islice(plain, _PIECE_ROWS)):
        yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What makes a full copy the workspace of a later look, put on top of it."""

    young: frozenset[bytes]
    """Of the full copy, by what is known now."""
    manifest: Manifest
    """What the full copy holds."""
    same: frozenset[bytes]
    """What is copied and stands in it already."""
    gone: tuple[bytes, ...]
    """What stands in it and is not copied any more; nothing below another one."""


def difference(
    full: FullCopy,
    manifest: Manifest,
    looked: Scan,
    selection: Selection,
    *,
    anew: Collection[bytes],
    added: frozenset[bytes],
) -> Difference | None:
    """Compare a look with the copy; None where too little is the same.

    Args:
        anew: what is copied whatever is known of it.
        added: what the copy would have of its own now.
    """
    if added != full.added:
        return None
    copied = {item.path: item for item in selection.copied}
    known = frozenset(manifest.entries)
    young = set(full.young)
    same: set[bytes] = set()
    weight = 0
    for item in selection.copied:
        if item.path not in anew and full.rows.get(item.path) == item:
            if item.path in young and _is_as_copied(looked, item, manifest):
                # From now on the file system's word counts, if it is old enough by now.
                young.discard(item.path)
            if item.path not in young and (
                item.path in known or stat.S_ISDIR(item.mode) or in_git(item.path)
            ):
                same.add(item.path)
                continue
        weight += item.size if stat.S_ISREG(item.mode) else tar.header_size(item.path)
    gone = tuple(_gone(full, copied))
    if weight * _SHARE > selection.total_bytes:
        return None
    # A directory has to come with what is in it: an engine makes up the ones that are missing.
    for path in (*(copied.keys() - same), *gone):
        same.difference_update(above(path))
    young |= full.rows.keys() & set(looked.racy)
    return Difference(
        young=frozenset(young),
        manifest=manifest,
        same=frozenset(same),
        gone=gone,
    )


def _is_as_copied(looked: Scan, item: FoundFile, manifest: Manifest) -> bool:
    entry = manifest.entries.get(item.path)
    return entry is not None and content_id(looked, item.path) == entry.blob


def _gone(full: FullCopy, copied: Mapping[bytes, FoundFile]) -> Iterator[bytes]:
    for path in full.rows:
        if path not in copied:
            parent = copied.get(path.rpartition(b"/")[0])
            if b"/" not in path or (parent is not None and stat.S_ISDIR(parent.mode)):
                yield path
