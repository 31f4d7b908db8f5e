"""A patch applied to a directory of the host, all of it or nothing.

Owns the checks and their order. git is run on copies of the touched files in a private store, never
in the directory nor with its configuration: what a repository says about filters, hooks, monitors
or attributes is not read. Works the same on a git checkout and on a plain directory.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.errors import PatchError
from sandbox.gitapply import DoesNotApply, apply_to_entries
from sandbox.gitdiff import Comparison
from sandbox.gitrun import GitTooSlow
from sandbox.gitstore import Store
from sandbox.manifest import SYMLINK, Entry
from sandbox.patch import Change, changes_of, same_file
from sandbox.patchpaths import touched_paths
from sandbox.pathrules import PATH_LIMIT_BYTES, leaves_tree, link_refusal, refusal
from sandbox.replace import Replacement, replace_files
from sandbox.target import Absent, Behind, Folder, Seen, Standing, Target, opened
from sandbox.trees import Trees

_GIT_S = 600
_RENAMES_S = 60
_KEPT = Entry(0, "", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyReport:
    changes: tuple[Change, ...]
    """What the patch did, or would do, to this directory."""
    written: tuple[bytes, ...]
    """Paths that were made, replaced or removed; empty after a check."""


def apply_patch(patch: bytes, target: Path, *, check: bool) -> ApplyReport:
    """Apply a patch to the directory; with `check`, find out whether it would go.

    The directory may have changed since the patch was made: hunks are found again as `git apply`
    finds them, without guessing. Raises `PatchError`: a conflict (it says in which file, at which
    hunk), a path or link that leads out of the directory, a target that is no directory, a failure
    in writing. Nothing is changed then.
    """
    try:
        with (
            opened(target) as directory,
            tempfile.TemporaryDirectory(
                prefix="moonpool-apply-", ignore_cleanup_errors=True
            ) as room,
        ):
            return _apply(patch, directory, Path(room), check=check)
    except OSError as problem:
        raise PatchError(f"applying failed: {problem}. Nothing was changed.") from problem


def _apply(patch: bytes, target: Target, room: Path, *, check: bool) -> ApplyReport:
    if not patch:
        return ApplyReport(changes=(), written=())
    store = Store(room / "store")
    seen = _look(target, store, touched_paths(patch))
    standing = {path: what for path, what in seen.items() if isinstance(what, Standing)}
    before = {path: what.entry for path, what in standing.items()}
    touched = _applied(store, before, patch, room)
    replacement = Replacement(
        removed={path: standing[path] for path in touched if path in standing},
        placed={path: entry for path, entry in touched.items() if entry is not None},
        folders=_checked(target, store, seen, touched),
    )
    changes = _changes(store, before, touched)
    if check:
        return ApplyReport(changes=changes, written=())
    replace_files(target, store, replacement)
    return ApplyReport(changes=changes, written=tuple(touched))


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
        if isinstance(what, Behind) and what.blocker not in seen:
            raise PatchError(
                f"{os.fsdecode(path)!r} can't be reached: {os.fsdecode(what.blocker)!r} is a link "
                "or a file in the target, and nothing is written through it."
            )
    return _without_aliases(target, seen)


def _without_aliases(target: Target, seen: dict[bytes, Seen]) -> dict[bytes, Seen]:
    """Where ``A`` and ``a`` are one file to the file system, only the name it lists is there."""
    names: dict[tuple[int, int], list[bytes]] = {}
    for path, what in seen.items():
        if isinstance(what, Standing):
            names.setdefault((what.status.st_dev, what.status.st_ino), []).append(path)
    for same in names.values():
        for path in same if len(same) > 1 else ():
            with target.parent(path) as (directory, name):
                if name not in map(os.fsencode, os.listdir(directory)):
                    seen[path] = Absent()
    return seen


def _applied(
    store: Store, before: Mapping[bytes, Entry], patch: bytes, room: Path
) -> dict[bytes, Entry | None]:
    """What the patch makes of these files: the paths that change."""
    file = room / "patch.diff"
    file.write_bytes(patch)
    try:
        after = apply_to_entries(store, before, file, index=room / "index", timeout_s=_GIT_S)
    except DoesNotApply as conflict:
        raise DoesNotApply(
            f"{conflict}. Nothing was changed.", conflicts=conflict.conflicts
        ) from None
    return {
        path: after.get(path)
        for path in sorted({*before, *after})
        if not same_file(before.get(path), after.get(path))
    }


def _checked(
    target: Target,
    store: Store,
    seen: Mapping[bytes, Seen],
    touched: Mapping[bytes, Entry | None],
) -> list[bytes]:
    """Refuse what must not be written; gives the directories that make room, deepest first."""
    folders: list[bytes] = []
    for path, entry in touched.items():
        if entry is None:
            continue
        shown = repr(os.fsdecode(path))
        if refusal(path) or path not in seen:
            raise PatchError(f"the patch names {shown} where it should not. Nothing was changed.")
        match seen[path]:
            case Behind(blocker=blocker) if touched.get(blocker, entry) is not None:
                raise PatchError(
                    f"{shown} can't be reached: {os.fsdecode(blocker)!r} is no directory."
                )
            case Folder():
                folders += _making_room(target, path, touched)
            case _:
                pass
        if entry.mode == SYMLINK:
            _check_link(store, path, entry)
    return folders


def _making_room(
    target: Target, path: bytes, touched: Mapping[bytes, Entry | None]
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


def _check_link(store: Store, path: bytes, entry: Entry) -> None:
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


def _changes(
    store: Store, before: Mapping[bytes, Entry], touched: Mapping[bytes, Entry | None]
) -> tuple[Change, ...]:
    old = Trees.of({path: entry for path, entry in before.items() if path in touched})
    new, _ = old.changed(touched)
    for trees in (old, new):
        trees.write_above(touched.keys(), store.put_tree)
    compared = Comparison(
        directory=store.directory, old=old.root, new=new.root, renames=True, timeout_s=_RENAMES_S
    )
    try:
        return changes_of(compared)
    except GitTooSlow:
        return changes_of(replace(compared, renames=False, timeout_s=_GIT_S))
