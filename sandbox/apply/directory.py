"""A patch applied to a directory of the host, all of it or nothing.

Owns the checks and their order. git is run on copies of the touched files in a private store, never
in the directory nor with its configuration: what a repository says about filters, hooks, monitors
or attributes is not read. Works the same on a git checkout and on a plain directory.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sandbox.apply.merge import changed_by, changes_between
from sandbox.apply.replace import Replacement, replace_files
from sandbox.apply.target import (
    BehindNonDirectory,
    NothingThere,
    PresentDirectory,
    PresentFile,
    Seen,
    Target,
    work_on,
)
from sandbox.errors import PatchError
from sandbox.git.apply import AppliedAlready
from sandbox.git.diff import touched_paths
from sandbox.git.manifest import SYMLINK, ManifestEntry
from sandbox.git.path_rules import PATH_LIMIT_BYTES, leaves_tree, link_refusal, refusal
from sandbox.git.store import Store
from sandbox.patch.baseline import Baseline
from sandbox.patch.values import Change

_KEPT = ManifestEntry(0, "", 0)


def apply_patch(
    patch: bytes, target: Path, *, check: bool, baseline: Baseline | None = None
) -> tuple[Change, ...]:
    """Apply a patch to the directory; with `check`, find out whether it would go. Gives what that
    does to the directory; nothing: all of it was there already.

    The directory may have changed since the patch was made: hunks are found again as `git apply`
    finds them, without guessing; with a `baseline` (what the patch was made against), files whose
    hunks do not fit are merged, three ways. Raises `PatchError`: a conflict (it says in which file,
    at which hunk), a path or link that leads out of the directory, a target that is no directory, a
    failure in writing. Nothing is changed then.
    """
    with work_on(target, "applying failed: {}. Nothing was changed.") as (directory, scratch):
        return _apply(patch, directory, scratch, baseline, check=check)


def _apply(
    patch: bytes, target: Target, scratch: Path, baseline: Baseline | None, *, check: bool
) -> tuple[Change, ...]:
    if not patch:
        return ()
    store = Store(scratch / "store")
    seen = _look(target, store, touched_paths(patch))
    standing = {path: what for path, what in seen.items() if isinstance(what, PresentFile)}
    before = {path: what.entry for path, what in standing.items()}
    try:
        touched = changed_by(patch, before, store, scratch, baseline=baseline)
    except AppliedAlready:
        return ()
    replacement = Replacement(
        removed={path: standing[path] for path in touched if path in standing},
        placed={path: entry for path, entry in touched.items() if entry is not None},
        folders=_checked(target, store, seen, touched),
    )
    changes = changes_between(store, before, touched)
    if not check:
        replace_files(target, store, replacement)
    return changes


def _look(target: Target, store: Store, paths: Iterable[bytes]) -> dict[bytes, Seen]:
    """What is at each path that the patch names. Raises `PatchError` for one it must not name."""
    seen: dict[bytes, Seen] = {}
    for path in sorted(paths):
        if reason := refusal(path):
            raise PatchError(
                f"the patch names {os.fsdecode(path)!r}: {reason}. Nothing was changed."
            )
        seen[path] = target.look(path, store)
    for path, what in seen.items():
        if isinstance(what, BehindNonDirectory) and what.blocker not in seen:
            raise PatchError(
                f"{os.fsdecode(path)!r} can't be reached: {os.fsdecode(what.blocker)!r} is a link "
                "or a file in the target, and nothing is written through it."
            )
    return _without_aliases(target, seen)


def _without_aliases(target: Target, seen: dict[bytes, Seen]) -> dict[bytes, Seen]:
    """Where ``A`` and ``a`` are one file to the file system, only the name it lists is there."""
    names: dict[tuple[int, int], list[bytes]] = {}
    for path, what in seen.items():
        if isinstance(what, PresentFile):
            names.setdefault((what.status.st_dev, what.status.st_ino), []).append(path)
    for same in names.values():
        for path in same if len(same) > 1 else ():
            with target.parent(path) as (directory, name):
                if name not in map(os.fsencode, os.listdir(directory)):
                    seen[path] = NothingThere()
    return seen


def _checked(
    target: Target,
    store: Store,
    seen: Mapping[bytes, Seen],
    touched: Mapping[bytes, ManifestEntry | None],
) -> list[bytes]:
    """Refuse what must not be written; gives the directories that give way, deepest first."""
    folders: list[bytes] = []
    for path, entry in touched.items():
        if entry is None:
            continue
        shown = repr(os.fsdecode(path))
        if refusal(path) or path not in seen:
            raise PatchError(f"the patch names {shown} where it should not. Nothing was changed.")
        match seen[path]:
            case BehindNonDirectory(blocker=blocker) if touched.get(blocker, entry) is not None:
                raise PatchError(
                    f"{shown} can't be reached: {os.fsdecode(blocker)!r} is no directory."
                )
            case PresentDirectory():
                folders += _making_room(target, path, touched)
            case _:
                pass
        if entry.mode == SYMLINK:
            check_link(store, path, entry)
    return folders


def _making_room(
    target: Target, path: bytes, touched: Mapping[bytes, ManifestEntry | None]
) -> Iterator[bytes]:
    for found, is_folder in target.below(path):
        if is_folder:
            yield found
        elif touched.get(found, _KEPT) is not None:
            raise PatchError(
                f"{os.fsdecode(path)!r} is a directory in the target and holds "
                f"{os.fsdecode(found)!r}, which the patch does not know. Nothing was changed."
            )
    yield path


def check_link(store: Store, path: bytes, entry: ManifestEntry) -> None:
    """Refuse a link that leads out of the tree."""
    # One that stands there already, escaping or not, is not touched and never gets here.
    link = store.read_bytes(entry.blob, limit_bytes=PATH_LIMIT_BYTES)
    reason = link_refusal(path, link)
    if reason is None and leaves_tree(path, link):
        reason = "it can lead out of the directory"
    if reason:
        raise PatchError(
            f"the link {os.fsdecode(path)!r} -> {os.fsdecode(link)!r} is refused: {reason}. "
            "Nothing was changed."
        )
