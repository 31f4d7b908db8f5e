"""The way out: changed paths, both sides' bytes, the patch, its proof.

Owns the order of these steps and what happens when the guest no longer answers.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from pathlib import Path

from policies.paths import absolute
from policies.policy import Policy
from sandbox.container.opening import StartedContainer
from sandbox.container.spec import WORKSPACE, shelf
from sandbox.engine.docker import Engine
from sandbox.errors import CollisionError, FileError, PatchError, SandboxError, SandboxLost
from sandbox.export import baseline_files, engine_changes, guest_changes
from sandbox.git.apply import apply_to_entries
from sandbox.git.ignore import IgnoreRules, OperatorPatterns
from sandbox.git.manifest import Manifest, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.git.store import Store
from sandbox.git.trees import Trees
from sandbox.guest.wire import PIECE
from sandbox.link.connection import GuestLink
from sandbox.patch import baseline
from sandbox.patch import left_out as left_out_words
from sandbox.patch.make import make_patch
from sandbox.patch.values import LeftOut, Patch
from sandbox.workspace.snapshot import Snapshot

_GIT_TIMEOUT_S = 600.0
_FILE_LIMIT_BYTES = 256 << 20
"""A larger file does not go into a patch at all, whatever the policy's export.max_bytes."""
_LITTLE_ROOM_BYTES = 8 << 20
_COMPARED_LIMIT = 256
"""Files that are read from the snapshot only to see that they have not changed."""


class Still(Enum):
    """What has the files stand still while they are read."""

    ENDED = auto()
    """All that runs is ended. Where the guest does not answer, the engine reads the files."""
    PAUSED = auto()
    """All that runs waits, and goes on afterwards. Nothing but the guest is asked."""


def export(
    *,
    engine: Engine,
    started: StartedContainer,
    copied: Snapshot,
    manifest: Callable[[], Manifest],
    policy: Policy,
    workspace: Path,
    keep_old: Path | None = None,
    spare: Path | None = None,
    still: Still = Still.ENDED,
) -> Patch:
    """Make the patch from what stands in the container now.

    Args:
        manifest: gives what was copied in; called from a thread.
        keep_old: a directory to be made, for the old side of the changed files (`baseline`).
        spare: where to work when the temporary directory can't be written.

    Raises:
        SandboxLost: neither the guest nor the engine can say.
        PatchError: the patch can't be made or proved.
    """

    def make(room: Path | None) -> Patch:
        with (
            temporary_directory(room) as directory,
            ThreadPoolExecutor(1, "moonpool-baseline") as pool,
        ):
            # What the baseline takes is worked out while the guest looks through its files.
            loading = pool.submit(_baseline, manifest)
            store = PackedStore(directory / "store")
            changed, unchanged, left_out = _changed(
                engine, started, lambda: loading.result()[0], store, still
            )
            copy, base = loading.result()
            for item in _collided(engine, copied, store, unchanged, workspace):
                left_out.append(item)
                changed.pop(item.path, None)
            changed, left_out = _filtered(changed, left_out, copy, policy)
            old = {path: copy.entries[path] for path in changed if path in copy.entries}
            baseline_files.bring(engine, copied, store, old, workspace)
            patch = make_patch(store, copy, changed, base=base, left_out=left_out)
            if keep_old is not None and patch.data:
                # Merging is a help for later: without room for it the patch still counts.
                with contextlib.suppress(PatchError):
                    touched = {path: copy.entries.get(path) for path in patch.results}
                    baseline.keep(keep_old, store, touched)
            return patch

    try:
        return make(None)
    except _NoRoom:
        if spare is None:
            raise
    return make(spare)


def _baseline(manifest: Callable[[], Manifest]) -> tuple[Manifest, Trees]:
    loaded = manifest()
    return loaded, Trees.of(loaded.entries)


class _NoRoom(PatchError):
    """The working files can't be written: another place may do."""


def _full(directory: Path, error: PatchError) -> bool:
    """Whether room was what was missing. git says so in words of its own: then the disk tells."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
        return True
    try:
        return shutil.disk_usage(directory).free < _LITTLE_ROOM_BYTES
    except OSError:
        return True


@contextlib.contextmanager
def temporary_directory(room: Path | None = None) -> Iterator[Path]:
    """A place for the private store; where it can't be written, that becomes a clear error."""
    try:
        directory = Path(tempfile.mkdtemp(prefix="moonpool-export-", dir=room))
        try:
            yield directory
        except PatchError as error:
            if not _full(directory, error):
                raise
            raise _NoRoom(
                f"{error} (in {directory.parent}): free some space, or set TMPDIR"
            ) from error
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    except OSError as error:
        raise _NoRoom(
            f"the patch's working files in {room or tempfile.gettempdir()} can't be written "
            f"({error.strerror or error}): free some space, or set TMPDIR"
        ) from error


@contextlib.contextmanager
def _held(link: GuestLink, still: Still) -> Iterator[None]:
    if still is Still.ENDED:
        link.ask("freeze")
        yield
        return
    link.ask("pause")
    try:
        yield
    finally:
        # A guest that is lost by now is started again, and what ran is gone with it.
        with contextlib.suppress(SandboxError):
            link.ask("continue")


def _changed(
    engine: Engine,
    started: StartedContainer,
    baseline: Callable[[], Manifest],
    store: Store,
    still: Still,
) -> tuple[dict[bytes, ManifestEntry | None], dict[bytes, ManifestEntry], list[LeftOut]]:
    """New entries of changed paths (None: gone), their bytes in the store.

    Then what was looked at and has the id that it had, and what was left out.
    """
    link = started.link
    if link.lost is None:
        try:
            with _held(link, still):
                changes = guest_changes.from_guest(
                    link, baseline, times_tell=started.seal.moves_copy
                )
                found, left_out = guest_changes.fetch(
                    link, changes.candidates, store, limit_bytes=_FILE_LIMIT_BYTES
                )
            left_out += changes.left_out
            changed: dict[bytes, ManifestEntry | None] = dict.fromkeys(changes.deleted)
            known = baseline().entries
            changed |= {path: new for path, new in found.items() if new != known.get(path)}
            same = {
                path: known[path]
                for path, new in found.items()
                if new is not None and path in known and known[path].blob == new.blob
            }
            return changed, same, left_out
        except (SandboxLost, FileError):
            # A guest that can't answer has no say any more: the engine reads the files.
            link.give_up("the guest could not say what changed")
            if still is Still.PAUSED:
                raise
    elif still is Still.PAUSED:
        raise SandboxLost(link.lost)
    with contextlib.suppress(SandboxError):
        engine.kill(started.container)
    changed, left_out = engine_changes.from_engine(
        engine, started.container, baseline(), store, limit_bytes=_FILE_LIMIT_BYTES
    )
    return changed, {}, left_out


def _collided(
    engine: Engine,
    copied: Snapshot,
    store: Store,
    same: Mapping[bytes, ManifestEntry],
    workspace: Path,
) -> list[LeftOut]:
    """Files that have the id of what they replace, and another content.

    A repository can bring one half of a SHA-1 collision, and the agent put the other one in its
    place. No patch can tell them apart: it is said that this change is not in it.
    """
    left_out = []
    elsewhere = []
    for path, entry in same.items():
        try:
            if baseline_files.from_host(store, workspace, path, entry) is None:
                elsewhere.append((path, entry.size))
        except CollisionError:
            left_out.append(LeftOut(path=path, reason=left_out_words.COLLIDES))
    if elsewhere:
        left_out += _collided_with_copy(engine, copied, store, elsewhere)
    return left_out


def _collided_with_copy(
    engine: Engine, copied: Snapshot, store: Store, files: list[tuple[bytes, int]]
) -> list[LeftOut]:
    """The same where the host's own files are other ones by now: against the snapshot."""
    left_out = [
        LeftOut(path=path, reason="could not be compared with what was copied, and stays as it was")
        for path, _ in files[_COMPARED_LIMIT:]
    ]
    container = engine.create(shelf(copied.image))
    try:
        for path, size in files[:_COMPARED_LIMIT]:
            try:
                pieces = engine_changes.read_from_engine(engine, container, path)
                store.put(pieces, size)
            except CollisionError:
                left_out.append(LeftOut(path=path, reason=left_out_words.COLLIDES))
    finally:
        engine.remove(container)
    return left_out


def _filtered(
    changed: Mapping[bytes, ManifestEntry | None],
    found: list[LeftOut],
    manifest: Manifest,
    policy: Policy,
) -> tuple[dict[bytes, ManifestEntry | None], list[LeftOut]]:
    """Without what the baseline's ignore rules or the policy's exclusions keep out."""
    rules = IgnoreRules(manifest, policy.export.ignore)
    exclude = OperatorPatterns(policy.workspace.exclude)
    writable = _writable(policy)
    kept: dict[bytes, ManifestEntry | None] = {}
    left_out = _without_ignored(found, rules)
    for path, entry in changed.items():
        reason = rules.ignored(path)
        if reason is None and exclude.cover(path):
            # It was not copied in, so the patch can't be made against what stands on the host.
            reason = "excluded by the policy"
        if reason is None and not writable(path):
            # Landlock holds content and names; a mode or an extended attribute it does not.
            reason = "outside of what the policy lets be written"
        if reason is None:
            kept[path] = entry
        elif entry is not None or path in manifest.entries:
            left_out.append(LeftOut(path=path, reason=reason))
    left_out += [LeftOut(path=b".gitignore", reason=note) for note in rules.notes]
    return kept, left_out


def _without_ignored(found: list[LeftOut], rules: IgnoreRules) -> list[LeftOut]:
    """Notes about what is in the patch in another form: of ignored files there are none."""
    empty, odd, rest = [], [], []
    for item in found:
        if item.reason == left_out_words.EMPTY:
            empty += [item] if rules.ignored(item.path + b"/.") is None else []
        elif item.reason.startswith(left_out_words.ODD_MODE):
            odd += [item] if rules.ignored(item.path) is None else []
        else:
            rest.append(item)
    return [*rest, *left_out_words.bounded(empty), *left_out_words.bounded(odd)]


def _writable(policy: Policy) -> Callable[[bytes], bool]:
    tops = [os.fsencode(absolute(entry)) for entry in policy.paths.write]

    def writable(path: bytes) -> bool:
        full = WORKSPACE.encode() + b"/" + path
        return any(top in {full, b"/"} or full.startswith(top + b"/") for top in tops)

    return writable


def apply(
    *,
    engine: Engine,
    started: StartedContainer,
    copied: Snapshot,
    manifest: Manifest,
    workspace: Path,
    patch: Patch,
) -> None:
    """Bring a fresh copy of the baseline to what the patch gives when it is applied there.

    Raises:
        PatchError: applied to the baseline, the patch does not give what it was proved to give.
        FileError: the container's kernel refuses a write under the policy.
    """
    if not patch.data:
        return
    with temporary_directory() as directory:
        store = PackedStore(directory / "store")
        before = {path: manifest.entries.get(path) for path in patch.results}
        old = {path: entry for path, entry in before.items() if entry is not None}
        baseline_files.bring(engine, copied, store, old, workspace)
        file = directory / "patch.diff"
        file.write_bytes(patch.data)
        # The store holds the old side only, so the new content can come from nothing but the patch.
        after = apply_to_entries(
            store, old, file, index=directory / "index", timeout_s=_GIT_TIMEOUT_S
        )
        results = {**dict.fromkeys(before), **after}
        if results != patch.results:
            raise PatchError("the patch does not give again what it was proved to give")
        _install(started.link, store, results)


def _install(link: GuestLink, store: Store, results: Mapping[bytes, ManifestEntry | None]) -> None:
    """Removals first: a directory may stand where a file stood."""
    for path in sorted((path for path, entry in results.items() if entry is None), reverse=True):
        link.ask("install", path, 0, b"", 0)
    for path, entry in sorted(results.items()):
        if entry is None:
            continue
        pieces = store.read(entry.blob)
        link.ask("install", path, entry.mode, next(pieces, b"")[:PIECE], 0)
        for piece in pieces:
            link.ask("install", path, entry.mode, piece, 1)
