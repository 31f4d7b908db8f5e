"""The cache on the host, and files replaced as a whole, in it and elsewhere.

What the sandbox keeps in the cache can be made again, and may be lost.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import platformdirs

from sandbox.errors import SandboxError


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


def cache_directory() -> Path:
    """The user's cache directory for Moonpool (not created)."""
    return Path(platformdirs.user_cache_dir("moonpool"))


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


@contextlib.contextmanager
def alone(name: str, on_waiting: Callable[[], None] = lambda: None) -> Generator[None]:
    """Around work that one process at a time does, and one thread of it; where the cache can't be
    written, all of them, which only wastes time.

    Args:
        on_waiting: told where another one is at it.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            cache_directory().mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(cache_directory() / f"{name}.lock", flags, 0o600)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
