"""The old side of a patch, kept beside it: what each touched path was, and its content.

Owns that directory's form: a private object store and an index file, and a second one where git
stores some of these files otherwise than they stood in the worktree. A patch alone has a few
lines of the old files only; merging it into files that changed since needs all of them.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.git.path_rules import refusal
from sandbox.git.store import Store

LIMIT_BYTES = 256 << 20
"""How much all old files take together at most, uncompressed."""
WORKTREE, STORED = "index", "index.stored"
"""Names of the index files, by whose form they are in."""
_INDEX_LIMIT_BYTES = 1 << 28
_MODES = frozenset({FILE, EXECUTABLE, SYMLINK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    entries: Mapping[bytes, ManifestEntry | None]
    """Each path that the patch touches; None where nothing was."""
    store: Store
    """Holds their content."""

    def lent(self, store: Store) -> dict[bytes, ManifestEntry]:
        """The files that stood there, for another store, which has their content now."""
        standing = {path: entry for path, entry in self.entries.items() if entry is not None}
        for entry in standing.values():
            self.store.lend(entry.blob, store)
        return standing


def keep(
    directory: Path,
    store: Store,
    entries: Mapping[bytes, ManifestEntry | None],
    *,
    stored: Mapping[bytes, ManifestEntry | None] | None = None,
) -> bool:
    """Write these entries and their content there; False where they pass the limit.

    Args:
        stored: the same paths as git stores them, where that is something else.

    Raises `PatchError` where it can't be written.
    """
    forms = {WORKTREE: entries, **({} if stored is None else {STORED: stored})}
    files = [entry for form in forms.values() for entry in form.values() if entry is not None]
    if sum(entry.size for entry in files) > LIMIT_BYTES:
        return False
    kept = PackedStore(directory)
    for entry in files:
        store.lend(entry.blob, kept)
    kept.seal()
    try:
        for name, form in forms.items():
            rows = [_row(path, entry) for path, entry in sorted(form.items())]
            (directory / name).write_bytes(b"".join(rows))
    except OSError as problem:
        raise PatchError(f"the patch's old files can't be kept: {problem}") from problem
    return True


def _row(path: bytes, entry: ManifestEntry | None) -> bytes:
    if entry is None:
        return b"0 %s 0\t%s\0" % (b"-", path)
    return b"%o %s %d\t%s\0" % (entry.mode, entry.blob.encode(), entry.size, path)


def load(directory: Path, form: str = WORKTREE) -> Baseline | None:
    """What `keep` wrote; None where nothing was kept.

    Raises `PatchError` where it is damaged.
    """
    try:
        with (directory / form).open("rb") as file:
            data = file.read(_INDEX_LIMIT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise PatchError(f"{directory / form} can't be read: {problem.strerror}") from problem
    store = PackedStore(directory)
    entries: dict[bytes, ManifestEntry | None] = {}
    for row in data.split(b"\0")[:-1]:
        path, entry = _decoded(row, directory / form)
        if entry is not None and entry.blob not in store:
            raise PatchError(f"the old content of {os.fsdecode(path)!r} is gone from {directory}")
        entries[path] = entry
    return Baseline(entries=entries, store=store)


def _decoded(row: bytes, file: Path) -> tuple[bytes, ManifestEntry | None]:
    head, _, path = row.partition(b"\t")
    try:
        mode_text, blob, size = head.decode("ascii").split(" ")
        mode = int(mode_text, 8)
        entry = ManifestEntry(mode, blob, int(size)) if mode else None
    except ValueError:
        raise PatchError(f"{file} is damaged at {row[:60]!r}") from None
    if refusal(path) or mode not in _MODES | {0}:
        raise PatchError(f"{file} is damaged at {row[:60]!r}")
    return path, entry
