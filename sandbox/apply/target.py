"""A directory of the host that a patch is applied to: looking at it without following a link.

Owns the walk: each part of a path is opened by itself, from the directory before it, and a link is
never gone through. Knows no patch.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policies.frozen import dataclass
from sandbox.cache import InTheWayError, folder_below, regular_file
from sandbox.errors import PatchError
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, ManifestEntry
from sandbox.git.path_rules import is_dot_git
from sandbox.git.store import Store

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentFile:
    """A file or link is there."""

    entry: ManifestEntry
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class NothingThere:
    """Nothing is there, and nothing is in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BehindNonDirectory:
    """What stands above is no directory."""

    blocker: bytes
    """Path of the file or link that is in the way."""


@dataclass(frozen=True, slots=True)
class PresentDirectory:
    """A directory is there."""


Seen = PresentFile | NothingThere | BehindNonDirectory | PresentDirectory


class Target:
    """The directory, held open: it stays this one whatever its path comes to mean."""

    def __init__(self, root: int) -> None:
        self.root = root

    def look(self, path: bytes, store: Store) -> Seen:
        """What is at the path; the content of a file or link goes into the store.

        Raises `PatchError` for what no patch can hold, and for what can't be read.
        """
        try:
            with self.parent(path) as (directory, name):
                return _look(directory, name, path, store)
        except InTheWayError as way:
            return BehindNonDirectory(blocker=way.path)
        except FileNotFoundError:
            return NothingThere()
        except OSError as problem:
            raise PatchError(f"can't read {os.fsdecode(path)!r}: {problem.strerror}") from problem

    @contextmanager
    def parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The open directory that holds the path, and the last part of it.

        Raises `InTheWayError` where a part is no directory, `FileNotFoundError` where one misses.
        """
        *above, name = path.split(b"/")
        with folder_below(self.root, above) as directory:
            yield directory, name

    @contextmanager
    def file(self, path: bytes) -> Iterator[int | None]:
        """The file at the path, open to be read; None where there is nothing, or a link above it.

        Raises `OSError` where it is no regular file: `IsADirectoryError` where it is a directory.
        """
        try:
            with self.parent(path) as (directory, name):
                file = regular_file(name, directory=directory, buffering=0)
        except (FileNotFoundError, InTheWayError):
            yield None
            return
        with file:
            yield file.fileno()

    def names(self, path: bytes) -> list[bytes]:
        """The names of all that is in the directory at the path."""
        with folder_below(self.root, path.split(b"/")) as directory:
            return [os.fsencode(name) for name in os.listdir(directory)]

    def below(self, path: bytes) -> Iterator[tuple[bytes, bool]]:
        """Everything below a directory, and whether it is one itself; deepest first."""
        waiting = [path]
        directories = []
        while waiting:
            inside = waiting.pop()
            with folder_below(self.root, inside.split(b"/")) as directory:
                for name in os.listdir(directory):
                    found = inside + b"/" + os.fsencode(name)
                    mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        waiting.append(found)
                        directories.append(found)
                    else:
                        yield found, False
        for found in reversed(directories):
            yield found, True


@contextmanager
def opened(path: Path) -> Iterator[Target]:
    """The directory to apply to. Raises `PatchError` where it is none, or is git's own."""
    try:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PatchError(f"{path} does not exist: name the directory to apply to.") from None
    except NotADirectoryError:
        raise PatchError(f"{path} is not a directory.") from None
    except OSError as problem:
        raise PatchError(f"can't open {path}: {problem.strerror}") from problem
    try:
        if any(is_dot_git(os.fsencode(part)) for part in path.resolve().parts):
            raise PatchError(f"{path} lies in a git directory: name the files' own directory.")
        if {"HEAD", "objects", "refs"} <= set(os.listdir(root)):
            raise PatchError(f"{path} is a git directory: name the files' own directory.")
        yield Target(root)
    finally:
        os.close(root)


@contextmanager
def work_on(path: Path, failing: str) -> Iterator[tuple[Target, Path]]:
    """The directory to apply to, and an empty one of our own that is gone after.

    Args:
        failing: what a `PatchError` says in place of an `OSError` inside; ``{}`` stands for that.
    """
    try:
        with (
            opened(path) as target,
            tempfile.TemporaryDirectory(
                prefix="moonpool-apply-", ignore_cleanup_errors=True
            ) as scratch,
        ):
            yield target, Path(scratch)
    except OSError as problem:
        raise PatchError(failing.format(problem)) from problem


def _look(directory: int, name: bytes, path: bytes, store: Store) -> Seen:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        return PresentDirectory()
    if stat.S_ISLNK(status.st_mode):
        link = os.readlink(name, dir_fd=directory)
        blob = store.put((link,), len(link))
        return PresentFile(entry=ManifestEntry(SYMLINK, blob, len(link)), status=status)
    if not stat.S_ISREG(status.st_mode):
        raise PatchError(f"{os.fsdecode(path)!r} is neither a file nor a link nor a directory.")
    # It may have become something else since.
    with regular_file(name, directory=directory, buffering=0) as file:
        status = os.fstat(file.fileno())
        blob = store.put(iter(lambda: file.read(_PIECE_BYTES), b""), status.st_size)
    mode = EXECUTABLE if status.st_mode & stat.S_IXUSR else FILE
    return PresentFile(entry=ManifestEntry(mode, blob, status.st_size), status=status)
