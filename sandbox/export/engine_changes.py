"""What stands in a workspace copy, read through the engine: for a container whose guest is gone.

The engine's own tar of the whole workspace, parsed as it streams: nothing is unpacked, and what is
in it is a stranger's.
"""

import stat
import tarfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import IO, cast

from policies.paths import WORKSPACE
from sandbox.engine.docker import Engine
from sandbox.engine.image_transfer import PieceReader
from sandbox.errors import SandboxLost
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, Manifest, ManifestEntry, blob_id
from sandbox.git.path_rules import PATH_LIMIT, carried
from sandbox.git.store import Store
from sandbox.patch.values import LeftOut, mode_notes, special, too_large

_TAR_PIECE = 1 << 18
_COMPARED_IN_MEMORY = 8 << 20
_ENGINE_TIMEOUT_S = 900.0
"""For all of a container's files: enough holes would make the engine's tar last for days."""


def _in_time(pieces: Iterator[bytes]) -> Iterator[bytes]:
    end = time.monotonic() + _ENGINE_TIMEOUT_S
    for piece in pieces:
        if time.monotonic() > end:
            raise SandboxLost("the workspace is too large to be read from the engine")
        yield piece


def from_engine(
    engine: Engine, container: str, manifest: Manifest, store: Store, *, limit_bytes: int
) -> tuple[dict[bytes, ManifestEntry | None], list[LeftOut]]:
    """Compare the whole workspace, as the engine packs it, with the baseline.

    For a container whose guest is gone. Plain tar, parsed as it streams, nothing unpacked.

    Raises:
        SandboxLost: the container is gone too, or its tar makes no sense.
    """
    left_out: list[LeftOut] = []
    seen: dict[bytes, ManifestEntry | None] = {}
    odd: list[LeftOut] = []
    alone: dict[bytes, bytes] = {}
    # As for a fetch. Files with holes cost the container nothing, and us their full size.
    allowed = 4 * limit_bytes
    for path, member, tar in _members(engine, container, WORKSPACE):
        if member.isdir() or b"/.git/" in b"/" + path + b"/":
            continue
        if not carried(path):
            shown = path[:PATH_LIMIT] or b"?"
            left_out.append(LeftOut(path=shown, reason="has a path that no patch can carry"))
            continue
        if member.issym():
            target = member.linkname.encode("utf-8", "surrogateescape")
            seen[path] = ManifestEntry(SYMLINK, store.put([target], len(target)), len(target))
        elif member.islnk():
            first = _below(member.linkname, WORKSPACE)
            entry = seen.get(first)
            if entry is None or entry.blob not in store:
                # Its first name is not ours to carry, such as one in .git, or stands as it did,
                # and no bytes of it were kept.
                alone[path] = first
            seen[path] = entry
        elif member.isreg() and member.size <= min(limit_bytes, allowed):
            seen[path] = _stored(path, member, tar, manifest, store)
            odd += mode_notes(path, stat.S_IFREG | member.mode)
            if seen[path] != manifest.entries.get(path):
                allowed -= member.size
        elif member.isreg():
            # In the baseline or not, its bytes do not come along, so it stays as it was.
            seen[path] = manifest.entries.get(path)
            left_out.append(too_large(path, member.size))
        else:
            # A file that stood there is gone.
            left_out.append(special(path))
    if alone:
        _settle(
            seen, left_out, _first_names(engine, container, alone, store, (limit_bytes, allowed))
        )
    left_out += odd
    changed = {
        path: entry
        for path, entry in seen.items()
        if entry is not None and manifest.entries.get(path) != entry
    }
    return {**changed, **dict.fromkeys(manifest.entries.keys() - seen.keys())}, left_out


def _settle(
    seen: dict[bytes, ManifestEntry | None],
    left_out: list[LeftOut],
    links: Iterable[tuple[bytes, ManifestEntry | None]],
) -> None:
    for path, entry in links:
        if entry is None:
            seen[path] = None  # which is neither changed nor deleted
            reason = "is a hard link of a file that is left out"
            left_out.append(LeftOut(path=path, reason=reason))
        else:
            seen[path] = entry


def _first_names(
    engine: Engine,
    container: str,
    links: Mapping[bytes, bytes],
    store: Store,
    bounds: tuple[int, int],
) -> Iterator[tuple[bytes, ManifestEntry | None]]:
    """What each of these hard links is, from the file that it is listed under; None: too large."""
    limit_bytes, allowed = bounds
    wanted = set(links.values())
    found: dict[bytes, ManifestEntry] = {}
    for path, member, tar in _members(engine, container, WORKSPACE):
        if path in wanted and member.isreg() and member.size <= min(limit_bytes, allowed):
            mode = EXECUTABLE if member.mode & 0o100 else FILE
            found[path] = ManifestEntry(
                mode, store.put(_pieces(tar, member), member.size), member.size
            )
            allowed -= member.size
    for path, first in links.items():
        yield path, found.get(first)


def _stored(
    path: bytes, member: tarfile.TarInfo, tar: tarfile.TarFile, manifest: Manifest, store: Store
) -> ManifestEntry:
    """The entry of a file in a tar; its bytes go into the store where they are new."""
    mode = EXECUTABLE if member.mode & 0o100 else FILE
    known = manifest.entries.get(path)
    if known is not None and known.size == member.size <= _COMPARED_IN_MEMORY:
        data = b"".join(_pieces(tar, member))
        if blob_id(data) == known.blob:
            return ManifestEntry(mode, known.blob, known.size)
        return ManifestEntry(mode, store.put([data], len(data)), len(data))
    return ManifestEntry(mode, store.put(_pieces(tar, member), member.size), member.size)


def _members(
    engine: Engine, container: str, root: str
) -> Iterator[tuple[bytes, tarfile.TarInfo, tarfile.TarFile]]:
    """Members of the engine's tar of a directory, by path relative to it."""
    try:
        with _read(engine, container, root) as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # the module keeps every header it has read
                yield _below(member.name, root), member, tar
    except (tarfile.TarError, FileNotFoundError) as error:
        raise SandboxLost(f"the workspace can't be read from the engine: {error}") from error


def _read(engine: Engine, container: str, path: str) -> tarfile.TarFile:
    """The engine's tar of what is at a path, while it comes."""
    pieces = cast("IO[bytes]", PieceReader(_in_time(engine.get_archive(container, path))))
    return tarfile.open(fileobj=pieces, mode="r|", encoding="utf-8", errors="surrogateescape")


def _below(name: str, root: str) -> bytes:
    """A member's path relative to the directory that was packed."""
    base = root.rpartition("/")[2]
    return name.removeprefix(base).lstrip("/").encode("utf-8", "surrogateescape")


def _pieces(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = tar.extractfile(member)
    while file is not None and (data := file.read(_TAR_PIECE)):
        yield data


def one_from_engine(
    engine: Engine, container: str, path: bytes
) -> tuple[bytes, int, Iterator[bytes]]:
    """One file or link of a container: its path, its permission bits, its content.

    Raises:
        SandboxLost: it is not there.
    """
    full = WORKSPACE.encode() + b"/" + path
    tar = _read(engine, container, full.decode("utf-8", "surrogateescape"))
    member = tar.next()
    if member is None:
        raise SandboxLost("the baseline can't be read from the engine")
    return path, member.mode & 0o7777, _content(tar, member)


def many_from_engine(
    engine: Engine, container: str, paths: Collection[bytes]
) -> Iterator[tuple[bytes, int, Iterator[bytes]]]:
    """As `one_from_engine`, those of `paths` that are there, in one go: each content is to be read
    before the next comes."""
    for path, member, tar in _members(engine, container, WORKSPACE):
        if path in paths and (member.isreg() or member.issym()):
            yield path, member.mode & 0o7777, _content(tar, member)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    if member.issym():
        yield member.linkname.encode("utf-8", "surrogateescape")
    else:
        yield from _pieces(tar, member)
