"""The patch: made in a private git store from two sets of blobs, and proved there.

Owns what a patch is and when it counts as exact. Knows no container and no directory of the host:
it gets a baseline, what changed, and a store with the content of both.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.git.apply import apply_to_entries
from sandbox.git.diff import Comparison, DiffRecord, carry_whole, rewrite_headers
from sandbox.git.manifest import SYMLINK, Entries, Manifest, ManifestEntry, Trees
from sandbox.git.pack import PackedStore
from sandbox.git.path_rules import PATH_LIMIT_BYTES, collisions, link_refusal, refusal
from sandbox.git.store import NOTHING, Store
from sandbox.patch.values import Change, ChangeKind, IndexPatch, LeftOut, Patch, read_sides

INDEX_PATCH = "patch.index.diff"
"""Name of the file for a patch in what git stores."""
LINES_LIMIT_BYTES = 32 << 20
"""A larger file is carried as binary data: nobody reviews 32 MB of hunks."""


_KINDS = {
    "A": ChangeKind.ADDED,
    "M": ChangeKind.MODIFIED,
    "T": ChangeKind.MODIFIED,
    "D": ChangeKind.DELETED,
    "R": ChangeKind.RENAMED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchLimits:
    """How large a patch may become, and how long git may take."""

    patch_bytes: int = 1 << 30
    git_s: float = 600
    """For each call of git."""
    renames_s: float = 60
    """After that, files that moved are told as one deleted and one added."""


def make_patch(
    store: Store,
    manifest: Manifest,
    changed: Mapping[bytes, ManifestEntry | None],
    *,
    base: Trees | None = None,
    left_out: Sequence[LeftOut] = (),
    compared: frozenset[bytes] = frozenset(),
    limits: PatchLimits | None = None,
) -> Patch:
    """The patch from the baseline to baseline + `changed` (None: deleted), and its proof.

    The store holds the blobs of both sides of every changed path; a path in `changed` may well be
    as it was. What no patch can carry is added to `left_out`. Raises `PatchError` where a blob is
    missing, the patch passes its limit, or applying it does not give the tree it should.
    `base` is the manifest's trees, where they have been worked out already; `compared` is for
    `read_sides`.
    """
    limits = limits or PatchLimits()
    base = base or Trees.of(manifest.entries)
    wanted, refused = _sift(store, manifest, changed)
    result, unplaced = base.changed(wanted)
    for path in unplaced:
        # Can't be so in a file system: somebody lied about what changed, and loses that change.
        refused.append(LeftOut(path=path, reason="a file is reported both here and above or below"))
        del wanted[path]
    everything_left_out = (*left_out, *refused)
    if result.root == base.root:
        return Patch(
            data=b"",
            changes=(),
            base_tree=base.root,
            tree=base.root,
            left_out=everything_left_out,
        )
    base.write_above(wanted, store.put_tree)
    result.write_above(wanted, store.put_tree)
    before = {path: manifest.entries.get(path) for path in wanted}
    try:
        with tempfile.TemporaryDirectory(prefix="patch-", dir=store.directory) as scratch:
            proving = _Proving(
                store=store,
                base=base,
                tree=result.root,
                before=before,
                file=Path(scratch) / "patch.diff",
                limits=limits,
                long_ids=manifest.object_format == "sha256",
            )
            carry_whole(store.directory, _large(before, wanted))
            comparison, results = proving.prove()
            data = proving.file.read_bytes()
            index = _index_patch(manifest, proving, results)
    except OSError as problem:
        raise PatchError(f"the patch can't be written: {problem}") from problem
    records = comparison.records()
    links = {
        path: _target(store, entry)
        for path, entry in results.items()
        if entry is not None and entry.mode == SYMLINK
    }
    return Patch(
        data=data,
        changes=changes_of(records),
        base_tree=base.root,
        tree=result.root,
        index=index,
        left_out=everything_left_out,
        results=results,
        links=links,
        old_links=manifest.links,
        sides=read_sides(store, records, compared),
        collisions=collisions(result, [path for path in wanted if before[path] is None]),
    )


def apply_proof(
    store: Store,
    before: Mapping[bytes, ManifestEntry | None],
    patch: Path,
    *,
    timeout_s: float = 600,
) -> dict[bytes, ManifestEntry | None]:
    """What each of these paths is after the patch, found by applying it (None: nothing there).

    A path that the patch touches beside them is in the answer too. Raises `PatchError`.
    """
    standing = {path: entry for path, entry in before.items() if entry is not None}
    with tempfile.TemporaryDirectory(prefix="proof-", dir=store.directory) as scratch:
        # A store that has never seen the new content: where git finds the result of a binary patch
        # among its objects (apply.c, apply_binary), it takes that and never reads the patch.
        proof = PackedStore(Path(scratch) / "store")
        for entry in standing.values():
            store.lend(entry.blob, proof)
        after = apply_to_entries(
            proof, standing, patch, index=Path(scratch) / "index", timeout_s=timeout_s
        )
    return {**dict.fromkeys(before), **after}


def changes_of(records: Sequence[DiffRecord]) -> tuple[Change, ...]:
    """What a reader is shown of a comparison."""
    return tuple(
        Change(
            path=record.path,
            old_path=record.old_path,
            kind=_KINDS[record.status],
            old_mode=record.old_mode,
            new_mode=record.new_mode,
            added_lines=record.added_lines,
            deleted_lines=record.deleted_lines,
            old_blob=record.old_blob,
            new_blob=record.new_blob,
        )
        for record in records
    )


def _sift(
    store: Store, manifest: Manifest, changed: Mapping[bytes, ManifestEntry | None]
) -> tuple[dict[bytes, ManifestEntry | None], list[LeftOut]]:
    """What really changed, and what of it a patch can't carry."""
    wanted: dict[bytes, ManifestEntry | None] = {}
    refused: list[LeftOut] = []
    for path, entry in changed.items():
        old = manifest.entries.get(path)
        if same_file(old, entry):
            continue
        reason = refusal(path)
        for side in (old, entry):
            if side is not None and side.blob not in store:
                raise PatchError(f"the content of {path!r} ({side.blob}) is not in the store.")
        if reason is None and entry is not None and entry.mode == SYMLINK:
            reason = link_refusal(path, _target(store, entry))
        if reason is None:
            wanted[path] = entry
        else:
            refused.append(LeftOut(path=path, reason=reason))
    return wanted, refused


def _large(*sides: Mapping[bytes, ManifestEntry | None]) -> set[bytes]:
    return {
        path
        for side in sides
        for path, entry in side.items()
        if entry is not None and entry.size > LINES_LIMIT_BYTES
    }


def same_file(old: ManifestEntry | None, new: ManifestEntry | None) -> bool:
    """Whether git sees no difference."""
    if old is None or new is None:
        return old is new
    return (old.mode, old.blob) == (new.mode, new.blob)


def _target(store: Store, entry: ManifestEntry) -> bytes:
    if entry.size > PATH_LIMIT_BYTES:
        return b""
    return store.read_bytes(entry.blob, limit_bytes=PATH_LIMIT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proving:
    """A patch file being made, and what it is held to."""

    store: Store
    base: Trees
    tree: str
    before: Mapping[bytes, ManifestEntry | None]
    file: Path
    limits: PatchLimits
    long_ids: bool
    """The patch is for a repository whose ids are SHA-256."""

    def prove(self) -> tuple[Comparison, dict[bytes, ManifestEntry | None]]:
        """Write the patch, apply it to the old files, and compare the tree that gives."""
        with_renames = Comparison(
            directory=self.store.directory,
            old=self.base.root,
            new=self.tree,
            renames=True,
            timeout_s=self.limits.renames_s,
        )
        try:
            return with_renames, self._prove(with_renames)
        except PatchError:
            # Too slow, or renames that git itself can't apply. Whatever is wrong beside that
            # shows itself again here.
            plain = replace(with_renames, renames=False, timeout_s=self.limits.git_s)
            return plain, self._prove(plain)

    def _prove(self, compared: Comparison) -> dict[bytes, ManifestEntry | None]:
        compared.write_patch(self.file, limit_bytes=self.limits.patch_bytes)
        quote = any(b" /" in path for path in self.before)
        if quote or self.long_ids:
            long_ids = self._long_id if self.long_ids else None
            rewrite_headers(self.file, quote=quote, long_ids=long_ids)
        results = apply_proof(self.store, self.before, self.file, timeout_s=self.limits.git_s)
        found, unplaced = self.base.changed(results)
        if unplaced or found.root != self.tree:
            raise PatchError(
                f"the patch is not exact: applied, it gives tree {found.root} and not {self.tree}. "
                "Please report this."
            )
        return results

    def _long_id(self, blob: str) -> str:
        return "0" * 64 if blob == NOTHING else self.store.sha256_of(blob)


def _index_patch(manifest: Manifest, worktree: _Proving, after: Entries) -> IndexPatch | None:
    """The patch again in what git stores, proved in its own terms; None where that is the same.

    What fails here costs nothing of the patch itself, and is told in its place.
    """
    if not _converts(manifest, after):
        return None
    from sandbox.patch.index_form import in_words, index_form  # noqa: PLC0415 - see above

    store = worktree.store
    try:
        form = index_form(store, manifest, worktree.before, after)
        note = in_words(form, INDEX_PATCH)
        if form.unknown or not note:
            return IndexPatch(data=None, note=note) if note else None
        base, _ = worktree.base.changed(form.before)
        result, _ = base.changed(form.after)
        file = worktree.file.with_name(INDEX_PATCH)
        file.touch()
        if result.root != base.root:
            for trees in (base, result):
                trees.write_above(form.before, store.put_tree)
            replace(worktree, base=base, tree=result.root, before=form.before, file=file).prove()
        return IndexPatch(
            data=file.read_bytes(),
            note=note,
            base_tree=base.root,
            tree=result.root,
            before=form.before,
        )
    except PatchError as error:
        return IndexPatch(data=None, note=f"the patch for `git apply` could not be made: {error}")


def _converts(manifest: Manifest, after: Entries) -> bool:
    """Whether anything at all may say that git stores a file otherwise than it stands there."""
    said = manifest.rule_files
    return (
        bool(manifest.stored)
        or any(path.endswith(b"attributes") for path in (*said, *after))
        or b"autocrlf" in said.get(b".git/config", b"").lower()
    )
