"""What a patch makes of some files, wherever they stand: by its hunks, or by a three-way merge.

Owns the order of both and the sentence when neither goes. Works on blobs of a private store.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sandbox.apply.three_way import merge
from sandbox.errors import PatchError
from sandbox.git.apply import AppliedAlready, DoesNotApply, apply_to_entries
from sandbox.git.diff import Comparison
from sandbox.git.manifest import ManifestEntry, Trees
from sandbox.git.pack import PackedStore
from sandbox.git.run import GitTooSlow
from sandbox.git.store import Store
from sandbox.patch.baseline import Baseline
from sandbox.patch.make import changes_of, same_file
from sandbox.patch.values import Change

_GIT_S = 600
_RENAMES_S = 60


def changed_by(
    patch: bytes,
    before: Mapping[bytes, ManifestEntry],
    store: Store,
    scratch: Path,
    *,
    baseline: Baseline | None,
) -> dict[bytes, ManifestEntry | None]:
    """The paths that the patch changes among these files, and what each becomes.

    Args:
        baseline: what the patch was made against; with it, what its hunks do not fit is merged.

    Raises:
        AppliedAlready: the files are as the patch makes them.
        DoesNotApply: a hunk does not fit, or both sides changed the same.
    """
    file = scratch / "patch.diff"
    file.write_bytes(patch)
    try:
        after: Mapping[bytes, ManifestEntry | None] = apply_to_entries(
            store, before, file, index=scratch / "index", timeout_s=_GIT_S
        )
    except DoesNotApply as conflict:
        if _is_applied(file, before, store, scratch):
            raise AppliedAlready from None
        if baseline is None:
            raise DoesNotApply(
                f"{conflict}. Nothing was changed.", conflicts=conflict.conflicts
            ) from None
        after = _merged(file, before, store, scratch, baseline)
    changed = {
        path: after.get(path)
        for path in sorted({*before, *after})
        if not same_file(before.get(path), after.get(path))
    }
    if not changed:
        raise AppliedAlready
    return changed


def _is_applied(
    patch: Path, standing: Mapping[bytes, ManifestEntry], store: Store, scratch: Path
) -> bool:
    """Can all of it be taken back?"""
    try:
        apply_to_entries(
            store,
            standing,
            patch,
            index=scratch / "index-back",
            timeout_s=_GIT_S,
            backwards=True,
        )
    except DoesNotApply:
        return False
    return True


def _merged(
    patch: Path,
    ours: Mapping[bytes, ManifestEntry],
    store: Store,
    scratch: Path,
    baseline: Baseline,
) -> dict[bytes, ManifestEntry | None]:
    # A store of their own: the result of a binary patch must come from the patch, not from here.
    apart = PackedStore(scratch / "theirs")
    standing = baseline.lent(apart)
    try:
        theirs = apply_to_entries(
            apart, standing, patch, index=scratch / "index-theirs", timeout_s=_GIT_S
        )
    except DoesNotApply:
        raise PatchError(
            "the old files kept with the patch are not those it was made against. "
            "Nothing was changed."
        ) from None
    for entry in (*standing.values(), *theirs.values()):
        store.put(apart.read(entry.blob), entry.size)
    merged = merge(
        store,
        base=baseline.entries,
        ours=ours,
        theirs={**dict.fromkeys(baseline.entries), **theirs},
        timeout_s=_GIT_S,
    )
    return {**ours, **merged}


def changes_between(
    store: Store,
    before: Mapping[bytes, ManifestEntry],
    touched: Mapping[bytes, ManifestEntry | None],
) -> tuple[Change, ...]:
    """What a reader is shown of the difference."""
    old = Trees.of({path: entry for path, entry in before.items() if path in touched})
    new, _ = old.changed(touched)
    for trees in (old, new):
        trees.write_above(touched.keys(), store.put_tree)
    compared = Comparison(
        directory=store.directory, old=old.root, new=new.root, renames=True, timeout_s=_RENAMES_S
    )
    try:
        return changes_of(compared.records())
    except GitTooSlow:
        return changes_of(replace(compared, renames=False, timeout_s=_GIT_S).records())
