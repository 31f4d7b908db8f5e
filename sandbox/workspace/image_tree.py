"""A folder of an image, read as data: the engine's tar of it, kept in one file while it is used.

Nothing of the image runs and nothing is unpacked. Owns the look at that tar. That a folder stands
there is seen before (`sandbox.container.moved_folder`).
"""

import io
import os
import stat
import tarfile
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import IO, BinaryIO

from sandbox.container.spec import shelf
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo
from sandbox.errors import WorkspaceError
from sandbox.workspace.scan import FoundFile
from sandbox.workspace.source import ImageFolder

_COUNT_LIMIT = 2_000_000
_TAR_SHARE = 4
"""The tar may be so many times as large as what may be copied of it: rules leave things out."""
_TIMEOUT_S = 900.0
_END_BYTES = 1024
_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.CONTTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}


class _Part(io.RawIOBase):
    """One file in the tar."""

    def __init__(self, handle: int, start: int, size: int) -> None:
        super().__init__()
        self._handle = handle
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence, self._size)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = max(min(len(buffer), self._size - self._at), 0)
        data = os.pread(self._handle, wanted, self._start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class ImageTree:
    """What stands in a folder of an image, by path relative to it."""

    def __init__(self, folder: ImageFolder, spool: IO[bytes]) -> None:
        """`spool`: the engine's tar of the folder.

        Raises:
            WorkspaceError: it makes no sense, or holds absurdly much.
        """
        self.folder = folder
        self._spool = spool
        self._files: dict[bytes, tuple[int, int]] = {}
        self._links: dict[bytes, bytes] = {}
        self.rows: list[FoundFile] = []
        """As a look at a directory of the host has them; without what only that has."""
        try:
            with tarfile.open(
                fileobj=spool, mode="r:", encoding="utf-8", errors="surrogateescape"
            ) as tar:
                _require_end(spool)
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # or each header is kept
                    self._take(member)
        except (tarfile.TarError, ValueError) as error:
            raise WorkspaceError(f"{folder} can't be read from the engine: {error}") from error

    def _take(self, member: tarfile.TarInfo) -> None:
        path = _below(member.name)
        if not path:
            return
        if any(part in {b"", b".", b".."} for part in path.split(b"/")):
            raise ValueError(f"it holds what is no path: {path!r:.200}")
        kind = _KINDS.get(member.type)
        size = 0
        if member.type == tarfile.LNKTYPE:
            # A second name of a file is a file of its own in a copy.
            kind = stat.S_IFREG
            self._files[path] = self._files.get(_below(member.linkname), (0, 0))
            size = self._files[path][1]
        elif kind == stat.S_IFREG:
            size = member.size
            self._files[path] = member.offset_data, size
        elif kind == stat.S_IFLNK:
            self._links[path] = os.fsencode(member.linkname)
        elif kind is None:
            raise ValueError(f"it holds something of an unknown kind: {path!r:.200}")
        mode = kind | (member.mode & 0o7777)
        self.rows.append(FoundFile(path, mode, size, int(member.mtime) * 1_000_000_000, 0, 0))
        if len(self.rows) > _COUNT_LIMIT:
            raise WorkspaceError(f"{self.folder} holds more than {_COUNT_LIMIT} files")

    def open_file(self, path: bytes) -> BinaryIO:
        """A regular file. Raises `OSError`."""
        if path not in self._files:
            raise FileNotFoundError(os.fsdecode(path))
        return io.BufferedReader(_Part(self._spool.fileno(), *self._files[path]))

    def read_link(self, path: bytes) -> bytes:
        """The target of a symbolic link. Raises `OSError`."""
        if path not in self._links:
            raise FileNotFoundError(os.fsdecode(path))
        return self._links[path]


@contextmanager
def opened(
    engine: Engine, image: ImageInfo, folder: ImageFolder, *, max_bytes: int
) -> Generator[ImageTree]:
    """The tree at a path of an image, which is not started for it.

    Args:
        max_bytes: what may be copied of it.

    Raises:
        WorkspaceError: it is too large, or makes no sense.
        EngineError: the engine fails.
    """
    container = engine.create(shelf(image.id))
    try:
        with _spool(engine.cache) as spool:
            written = 0
            until = time.monotonic() + _TIMEOUT_S
            with closing(_packed(engine, container, folder)) as pieces:
                for piece in pieces:
                    written += len(piece)
                    if written > _TAR_SHARE * max_bytes or time.monotonic() > until:
                        raise WorkspaceError(
                            f"{folder} holds more than {written} bytes, and the policy's "
                            f"workspace.max_bytes is {max_bytes}: raise it, or name a folder of it"
                        )
                    try:
                        spool.write(piece)
                    except OSError as error:
                        raise WorkspaceError(
                            f"{folder} can't be kept in {engine.cache} while it is read "
                            f"({error.strerror}): make room there"
                        ) from error
            spool.flush()
            spool.seek(0)
            yield ImageTree(folder, spool)
    finally:
        engine.remove(container)


def _require_end(spool: IO[bytes]) -> None:
    """`tarfile` takes one that breaks off in a header for one that is at its end."""
    at = spool.tell()
    size = spool.seek(0, os.SEEK_END)
    spool.seek(max(size - _END_BYTES, 0))
    last = spool.read()
    spool.seek(at)
    if last != bytes(_END_BYTES):
        raise ValueError("it breaks off")


def _packed(engine: Engine, container: str, folder: ImageFolder) -> Generator[bytes]:
    try:
        yield from engine.get_archive(container, folder.path)
    except FileNotFoundError:
        raise WorkspaceError(
            f"there is no workspace {folder}: the image has nothing there"
        ) from None


def _spool(place: os.PathLike[str]) -> IO[bytes]:
    """A file without a name."""
    os.makedirs(place, exist_ok=True, mode=0o700)
    return tempfile.TemporaryFile(prefix="moonpool-image-", dir=place)


def _below(name: str) -> bytes:
    """A member's path relative to the folder that was packed."""
    return name.partition("/")[2].strip("/").encode("utf-8", "surrogateescape")
