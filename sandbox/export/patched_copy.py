"""A patch's result put in place in a fresh copy of the baseline, for a verification."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from sandbox.container import placement
from sandbox.container.opening import StartedContainer
from sandbox.engine.docker import Engine
from sandbox.errors import PatchError
from sandbox.export import baseline_files
from sandbox.export.baseline_files import working_directory
from sandbox.git.apply import apply_to_entries
from sandbox.git.manifest import SYMLINK, Manifest, ManifestEntry
from sandbox.git.pack import PackedStore
from sandbox.git.path_rules import all_above
from sandbox.git.store import Store
from sandbox.guest.protocol import (
    PutFile,
    PutFiles,
    RemoveFiles,
    RemoveFolders,
    RequestFailed,
)
from sandbox.link import GuestLink, file_error
from sandbox.patch.values import Patch
from sandbox.workspace.snapshot import Snapshot

_GIT_TIMEOUT_S = 600.0


def put_patched(
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
    with working_directory() as directory:
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
        _put(started.link, store, results)


def _put(link: GuestLink, store: Store, results: Mapping[bytes, ManifestEntry | None]) -> None:
    """Removals first: a directory may come to stand where a file stood."""
    gone = [path for path, entry in results.items() if entry is None]
    _refuse(placement.place(link, RemoveFiles, gone))
    # git knows no empty directories: those that lost their last file go.
    _refuse(placement.place(link, RemoveFolders, sorted(all_above(gone), reverse=True)))
    _refuse(placement.place(link, PutFiles, _pieces(store, results)))


def _pieces(store: Store, results: Mapping[bytes, ManifestEntry | None]) -> Iterator[PutFile]:
    for path, entry in sorted(results.items()):
        if entry is not None:
            mode = SYMLINK if entry.mode == SYMLINK else stat.S_IMODE(entry.mode)
            yield from placement.pieces(path, mode, store.read(entry.blob))


def _refuse(failures: placement.Failures) -> None:
    for path, number in failures.items():
        words = os.fsencode(f"{os.fsdecode(path)}: {placement.error_text(number)}")
        raise file_error(RequestFailed(errno=number, reason=words, refused=[]))
