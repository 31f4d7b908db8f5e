"""Three sides of each file made one: what a patch was made against, what it gives, what stands.

Owns the rule, path by path, and the call of ``git merge-file``. Knows blobs of a private store
only: no directory, no attribute, no merge driver of anybody's.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from policies.errors import listed
from sandbox.git.apply import DoesNotApply, plain
from sandbox.git.manifest import SYMLINK, ManifestEntry
from sandbox.git.run import GitRefused, run_git
from sandbox.git.store import Store
from sandbox.patch.make import LINES_LIMIT_BYTES, same_file

_SHOWN = 5


def merge(
    store: Store,
    *,
    base: Mapping[bytes, ManifestEntry | None],
    ours: Mapping[bytes, ManifestEntry | None],
    theirs: Mapping[bytes, ManifestEntry | None],
    timeout_s: float,
) -> dict[bytes, ManifestEntry | None]:
    """Bring the change from `base` to `theirs` into `ours`; the store holds all three sides.

    A path that is missing in a mapping is one where nothing is. Gives each path as it should be;
    None: nothing there. Raises `DoesNotApply` where both sides changed the same.
    """
    results: dict[bytes, ManifestEntry | None] = {}
    conflicts: list[str] = []
    with tempfile.TemporaryDirectory(prefix="merge-", dir=store.directory) as scratch:
        for path in sorted({*base, *theirs}):
            sides = base.get(path), ours.get(path), theirs.get(path)
            results[path], conflict = _merged(store, sides, Path(scratch), timeout_s)
            if conflict:
                conflicts.append(f"{plain(os.fsdecode(path))}: {conflict}")
    if conflicts:
        shown = listed(conflicts, _SHOWN, between="; ")
        raise DoesNotApply(
            f"the patch can't be merged: {shown}. Nothing was changed.",
            conflicts=tuple(conflicts),
        )
    return results


_Sides = tuple[ManifestEntry | None, ManifestEntry | None, ManifestEntry | None]


def _merged(  # noqa: PLR0911 - a line for each rule
    store: Store, sides: _Sides, scratch: Path, timeout_s: float
) -> tuple[ManifestEntry | None, str | None]:
    """What becomes of one path, and why it can't be told."""
    base, ours, theirs = sides
    if same_file(ours, base) or same_file(ours, theirs):
        return theirs, None
    if same_file(theirs, base):
        return ours, None
    if ours is None:
        return ours, "is gone here, and the patch changes it"
    if theirs is None:
        return ours, "was changed here, and the patch removes it"
    if base is None:
        return ours, "is there already, with another content"
    mode = theirs.mode if ours.mode == base.mode else ours.mode
    if theirs.blob in {ours.blob, base.blob}:
        return ManifestEntry(mode, ours.blob, ours.size), None
    if ours.blob == base.blob:
        return ManifestEntry(mode, theirs.blob, theirs.size), None
    everyone = (base, ours, theirs)
    if any(side.mode == SYMLINK for side in everyone):
        return ours, "was changed here too, and one of both is a link"
    if any(side.size > LINES_LIMIT_BYTES for side in everyone):
        return ours, "was changed here too, and is too large to merge line by line"
    data = _merged_lines(store, everyone, scratch, timeout_s)
    if data is None:
        return ours, "was changed here at the same lines, or is no text"
    return ManifestEntry(mode, store.put((data,), len(data)), len(data)), None


def _merged_lines(
    store: Store,
    sides: tuple[ManifestEntry, ManifestEntry, ManifestEntry],
    scratch: Path,
    timeout_s: float,
) -> bytes | None:
    """All three merged; None where they can't be."""
    base, ours, theirs = sides
    files = []
    for name, side in (("ours", ours), ("base", base), ("theirs", theirs)):
        file = scratch / name
        with file.open("wb") as out:
            out.writelines(store.read(side.blob))
        files.append(str(file))
    try:
        return run_git(
            store.directory,
            ("merge-file", "-p", "-q", *files),
            output_limit_bytes=4 * LINES_LIMIT_BYTES,
            timeout_s=timeout_s,
        )
    except GitRefused:
        # Its status is the number of conflicts, or 255 for what is no text.
        return None
