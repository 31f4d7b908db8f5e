"""The baseline's own files: their bytes and modes, from where they still are what was copied.

The host's own file serves while its object id tells that it is; otherwise the bytes come from the
snapshot, through the engine. Owns the directory in which a patch is made of them, and what happens
where it can't be written.
"""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from sandbox.container.spec import shelf
from sandbox.engine.docker import Engine
from sandbox.errors import CollisionError, PatchError
from sandbox.git.manifest import SYMLINK, ManifestEntry
from sandbox.git.store import Store
from sandbox.guest.wire import PIECE
from sandbox.patch.values import LeftOut, collides
from sandbox.workspace.scan import open_file
from sandbox.workspace.snapshot import Snapshot

_LITTLE_SPACE_BYTES = 8 << 20


class NoSpace(PatchError):
    """The working files can't be written: another place may do."""


def _is_full(directory: Path, error: PatchError) -> bool:
    """Whether space was what was missing. git says so in words of its own: then the disk tells."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
        return True
    try:
        return shutil.disk_usage(directory).free < _LITTLE_SPACE_BYTES
    except OSError:
        return True


@contextlib.contextmanager
def working_directory(parent: Path | None = None) -> Iterator[Path]:
    """A new directory for the private store, in `parent` or else in the temporary directory.

    Raises:
        NoSpace: it can't be written, or what is done in it fails for want of space.
    """
    try:
        directory = Path(tempfile.mkdtemp(prefix="moonpool-export-", dir=parent))
        try:
            yield directory
        except PatchError as error:
            if not _is_full(directory, error):
                raise
            raise NoSpace(
                f"{error} (in {directory.parent}): free some space, or set TMPDIR"
            ) from error
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    except OSError as error:
        raise NoSpace(
            f"the patch's working files in {parent or tempfile.gettempdir()} can't be written "
            f"({error.strerror or error}): free some space, or set TMPDIR"
        ) from error


_ONE_BY_ONE = 32
"""More files than this are faster found by reading the whole snapshot once."""
_COMPARED_LIMIT = 256
"""Files that are read from the snapshot only to see that they have not changed."""


def bring(
    engine: Engine,
    copied: Snapshot,
    store: Store,
    wanted: Mapping[bytes, ManifestEntry],
    workspace: Path,
) -> dict[bytes, int]:
    """Put the bytes of these files into the store; gives the permission bits of each.

    Raises:
        PatchError: neither the host nor the snapshot has a file as it was copied.
        EngineError: the snapshot can't be read.
    """
    modes: dict[bytes, int] = {}
    absent: dict[bytes, ManifestEntry] = {}
    for path, entry in wanted.items():
        mode = _from_host(store, workspace, path, entry)
        if mode is None:
            absent[path] = entry
        else:
            modes[path] = mode
    if absent:
        container = engine.create(shelf(copied.image))
        try:
            modes |= _from_snapshot(engine, container, store, absent)
        finally:
            engine.remove(container)
    return modes


def lacking_on_host(
    store: Store, wanted: Mapping[bytes, ManifestEntry], workspace: Path
) -> set[bytes]:
    """As `bring`, from the host alone; gives the files that are not there as they were copied."""
    return {
        path for path, entry in wanted.items() if _from_host(store, workspace, path, entry) is None
    }


def _from_snapshot(
    engine: Engine, container: str, store: Store, absent: Mapping[bytes, ManifestEntry]
) -> dict[bytes, int]:
    from sandbox.export import engine_changes  # noqa: PLC0415 - for what the host has no more

    if len(absent) > _ONE_BY_ONE:
        found = engine_changes.many_from_engine(engine, container, absent.keys())
    else:
        found = (engine_changes.one_from_engine(engine, container, path) for path in absent)
    modes = {}
    for path, mode, pieces in found:
        entry = absent[path]
        if store.put(pieces, entry.size) != entry.blob:
            raise PatchError(
                f"the baseline of {os.fsdecode(path)} is not what was copied: run again"
            )
        modes[path] = mode
    if lacking := absent.keys() - modes.keys():
        path = min(lacking)
        raise PatchError(f"the baseline of {os.fsdecode(path)} is not in the snapshot: run again")
    return modes


def _from_host(store: Store, workspace: Path, path: bytes, entry: ManifestEntry) -> int | None:
    """Put the host's file into the store; gives its permission bits as they were copied, or None
    where it is not what was copied.

    Raises:
        CollisionError: it has the id of a file in the store, and another content.
    """
    try:
        if entry.mode == SYMLINK:
            target = os.readlink(os.fsencode(workspace) + b"/" + path)
            same = len(target) == entry.size and store.put([target], entry.size) == entry.blob
            return 0o777 if same else None
        with open_file(workspace, path) as file:
            state = os.fstat(file.fileno())
            if state.st_size != entry.size:
                return None
            pieces = iter(lambda: file.read(PIECE), b"")
            same = store.put(pieces, entry.size) == entry.blob
            mode = stat.S_IMODE(state.st_mode) & 0o777 | 0o400
            return mode if same and bool(mode & 0o100) is bool(entry.mode & 0o100) else None
    except CollisionError:
        raise
    except (OSError, PatchError):
        return None


def collided(
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
            if _from_host(store, workspace, path, entry) is None:
                elsewhere.append((path, entry.size))
        except CollisionError:
            left_out.append(collides(path))
    if elsewhere:
        left_out += _collided_with_copy(engine, copied, store, elsewhere)
    return left_out


def _collided_with_copy(
    engine: Engine, copied: Snapshot, store: Store, files: list[tuple[bytes, int]]
) -> list[LeftOut]:
    """As `collided`, of files of which the host has another content by now: by the snapshot."""
    from sandbox.export import engine_changes  # noqa: PLC0415 - for what the host has no more

    left_out = [
        LeftOut(path=path, reason="could not be compared with what was copied, and stays as it was")
        for path, _ in files[_COMPARED_LIMIT:]
    ]
    container = engine.create(shelf(copied.image))
    try:
        for path, size in files[:_COMPARED_LIMIT]:
            try:
                _, _, pieces = engine_changes.one_from_engine(engine, container, path)
                store.put(pieces, size)
            except CollisionError:
                left_out.append(collides(path))
    finally:
        engine.remove(container)
    return left_out
