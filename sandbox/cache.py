"""The cache on the host; files replaced as a whole, in it and elsewhere; and opening a stranger's.

What the sandbox keeps in the cache can be made again, and may be lost.
"""

import contextlib
import errno
import fcntl
import hashlib
import marshal
import os
import stat
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from sandbox.errors import SandboxError

_SEALED = b"moonpool 1\n"
"""What a sealed file begins with."""
_LENGTH_BYTES, _DIGEST_BYTES = 8, 32
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def regular_file(
    path: str | bytes | os.PathLike[str],
    *,
    directory: int | None = None,
    follow: bool = False,
    buffering: int = -1,
) -> BinaryIO:
    """A file to read that a stranger may have put there: it is not waited for.

    Args:
        directory: an open one, from which the path counts.
        follow: go after a link; what is at its end is looked at all the same.
        buffering: as for `open`.

    Raises:
        OSError: it can't be opened, or is no regular file.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    handle = os.open(path, flags if follow else flags | os.O_NOFOLLOW, dir_fd=directory)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(kind, "it is no regular file", path)
    return os.fdopen(handle, "rb", buffering=buffering)


class InTheWayError(NotADirectoryError):
    """A part of a path is a link or a file."""

    def __init__(self, path: bytes) -> None:
        super().__init__(errno.ENOTDIR, "a link or a file is in the way", path)
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,), vars(self)


@contextlib.contextmanager
def folder_below(top: int | Path, parts: Iterable[bytes]) -> Generator[int]:
    """An open directory of a stranger's, reached from `top` by no link; `top` may be one.

    Raises:
        InTheWayError: a part is no directory.
        OSError: it can't be opened, or is not there.
    """
    directory = os.dup(top) if isinstance(top, int) else os.open(top, _DIRECTORY)
    try:
        above = b""
        for part in parts:
            above += b"/" + part
            try:
                inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            except OSError as problem:
                if problem.errno in {errno.ENOTDIR, errno.ELOOP}:
                    raise InTheWayError(above[1:]) from None
                raise
            os.close(directory)
            directory = inner
        yield directory
    finally:
        os.close(directory)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a reader sees the old one or the new one, never a part.

    A link that stands at `path` is replaced, never followed: in a directory that the repository's
    author had a hand in it may point anywhere. Raises `OSError`.
    """
    write_pieces_atomically(path, (data,))


def write_pieces_atomically(path: Path, data: Iterable[bytes]) -> None:
    """As `write_atomically`, of what is written as it comes."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def cache_directory(environ: Mapping[str, str]) -> Path:
    """The user's cache directory for Moonpool (not created), by the XDG Base Directory
    Specification: a relative path in the variable counts for none."""
    given = environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given, "moonpool")
    return Path(environ.get("HOME") or Path.home(), ".cache", "moonpool")


def keep(path: Path, data: bytes) -> None:
    """Write a file of the cache, with the directories above it.

    Raises:
        SandboxError: the cache can't be written; says what to do.
    """
    keep_pieces(path, (data,))


def keep_pieces(path: Path, data: Iterable[bytes]) -> None:
    """As `keep`, of what is written as it comes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_pieces_atomically(path, data)
    except OSError as error:
        raise SandboxError(
            f"the cache {path.parent} can't be written ({error.strerror}): free some space, or set "
            "XDG_CACHE_HOME to a directory of yours"
        ) from error


def sealed(values: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    """Plain values one after another, and a digest of them all, for `unsealed`."""
    digest = hashlib.sha256(_SEALED)
    yield _SEALED
    for value in values:
        data = marshal.dumps(value, 2)
        piece = len(data).to_bytes(_LENGTH_BYTES, "big") + data
        digest.update(piece)
        yield piece
    yield digest.digest()


def unsealed(file: Path) -> Iterator[tuple[Any, ...]]:
    """What was `sealed` into a file. Raises `OSError`, and `ValueError` where it is not whole."""
    data = memoryview(file.read_bytes())
    at, end = len(_SEALED), len(data) - _DIGEST_BYTES
    if data[:at] != _SEALED or hashlib.sha256(data[:end]).digest() != data[end:]:
        raise ValueError("not whole")
    while at < end:
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        # Our own cache, and whole: what could harm the reader is not in it.
        yield marshal.loads(data[start:at])  # noqa: S302


@contextlib.contextmanager
def alone(
    directory: Path, name: str, on_waiting: Callable[[], None] = lambda: None
) -> Generator[None]:
    """Around work that one process at a time does, and one thread of it; where the cache can't be
    written, all of them, which only wastes time.

    Args:
        directory: the cache.
        on_waiting: told where another one is at it.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(directory / f"{name}.lock", flags, 0o600)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
