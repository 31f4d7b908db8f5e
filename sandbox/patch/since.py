"""What is new in a later patch against an earlier one of the same baseline, as a patch of its own.

Both are applied to the old files that were kept beside them, in a private store; the difference is
proved as any patch is.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from sandbox.errors import PatchError
from sandbox.git.apply import apply_to_entries
from sandbox.git.manifest import Manifest, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.patch.baseline import Baseline
from sandbox.patch.make import make_patch, same_file
from sandbox.patch.values import Patch

_GIT_S = 600


def patch_since(before: bytes, now: bytes, *, old: Iterable[Baseline]) -> Patch:
    """The patch from baseline + `before` to baseline + `now`.

    Args:
        old: what was kept with the two patches.

    Raises:
        PatchError: that does not fit them, or the patch can't be made.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="moonpool-since-") as place:
            scratch = Path(place)
            store = PackedStore(scratch / "store")
            standing: dict[bytes, ManifestEntry] = {}
            for kept in old:
                for path, entry in kept.entries.items():
                    if entry is not None and path not in standing:
                        kept.store.lend(entry.blob, store)
                        standing[path] = entry
            then = _after(before, standing, store, scratch / "before")
            after = _after(now, standing, store, scratch / "now")
            changed = {
                path: after.get(path)
                for path in {*then, *after}
                if not same_file(then.get(path), after.get(path))
            }
            manifest = Manifest(entries=then, tracked=None, rule_files={})
            return make_patch(store, manifest, changed)
    except OSError as problem:
        raise PatchError(f"the patch can't be compared with the one before: {problem}") from problem


def _after(
    patch: bytes, standing: dict[bytes, ManifestEntry], store: PackedStore, scratch: Path
) -> dict[bytes, ManifestEntry]:
    if not patch:
        return dict(standing)
    scratch.mkdir()
    file = scratch / "patch.diff"
    file.write_bytes(patch)
    return apply_to_entries(store, standing, file, index=scratch / "index", timeout_s=_GIT_S)
