"""Files of a directory on the host replaced all together, or none of them.

Owns the writing: everything new is staged first, what it replaces is moved aside, and a failure at
any point puts all of it back. Knows which files, not why.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from policies.frozen import dataclass
from sandbox.apply.target import NEW_FILE, PresentFile, Target
from sandbox.cache import InTheWayError
from sandbox.errors import PatchError
from sandbox.git.manifest import EXECUTABLE, SYMLINK, ManifestEntry
from sandbox.git.store import Store

STAGING_PREFIX = b".moonpool-apply-"

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """What is to happen, checked beforehand by the caller."""

    removed: Mapping[bytes, PresentFile]
    """What stands at each path that is replaced or deleted."""
    placed: Mapping[bytes, ManifestEntry]
    """What comes to stand; content in the store."""
    folders: Sequence[bytes]
    """Directories that give way to a file; deepest first."""


def replace_files(target: Target, store: Store, replacement: Replacement) -> None:
    """Do it. Raises `PatchError`; the directory is then as it was, or the message says what not."""
    try:
        with _staged(target) as staging:
            _Replacing(target, store, replacement, staging).run()
    except InTheWayError as way:
        raise PatchError(
            f"{os.fsdecode(way.path)!r} turned into a file or link meanwhile; nothing was changed."
        ) from way
    except OSError as problem:
        name = f" {os.fsdecode(problem.filename)!r}" if problem.filename else ""
        raise PatchError(
            f"writing{name} failed ({problem.strerror}); nothing was changed."
        ) from problem


class _Staging:
    """A directory of ours at the root of the target, on the same file system."""

    def __init__(self, name: bytes, directory: int) -> None:
        self.name = name
        self.directory = directory
        self.kept = False
        """Whether it holds what could not be put back, so that it has to stay."""


@contextmanager
def _staged(target: Target) -> Iterator[_Staging]:
    name = STAGING_PREFIX + secrets.token_hex(8).encode()
    os.mkdir(name, 0o700, dir_fd=target.root)
    directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=target.root)
    staging = _Staging(name, directory)
    try:
        yield staging
    finally:
        if not staging.kept:
            with suppress(OSError):
                for staged in os.listdir(directory):
                    os.unlink(staged, dir_fd=directory)
                os.rmdir(name, dir_fd=target.root)
        os.close(directory)


class _Replacing:
    """One replacement under way, and how to take back what was done of it."""

    def __init__(
        self, target: Target, store: Store, replacement: Replacement, staging: _Staging
    ) -> None:
        self._target = target
        self._store = store
        self._wanted = replacement
        self._staging = staging
        self._undo: list[Callable[[], None]] = []
        self._there: set[bytes] = set()

    def run(self) -> None:
        for number, (path, entry) in enumerate(self._wanted.placed.items()):
            self._stage(path, entry, b"new-%d" % number)
        self._note_down()
        try:
            for number, (path, standing) in enumerate(self._wanted.removed.items()):
                self._set_aside(path, standing, b"old-%d" % number)
            for path in self._wanted.folders:
                self._clear(path)
            for number, path in enumerate(self._wanted.placed):
                self._place(path, b"new-%d" % number)
        except BaseException as problem:  # an interrupt too must not leave half of it
            self._put_back(problem)
            raise
        self._prune()

    def _stage(self, path: bytes, entry: ManifestEntry, name: bytes) -> None:
        directory = self._staging.directory
        if entry.mode == SYMLINK:
            os.symlink(self._store.read_bytes(entry.blob), name, dir_fd=directory)
            return
        executable = entry.mode == EXECUTABLE
        before = self._wanted.removed.get(path)
        made = os.open(name, NEW_FILE, 0o777 if executable else 0o666, dir_fd=directory)
        with open(made, "wb") as file:
            file.writelines(self._store.read(entry.blob))
            if before is not None and before.entry.mode != SYMLINK:
                _take_over(made, before.status, executable=executable)

    def _note_down(self) -> None:
        """For whoever finds the directory after this process was killed."""
        lines = [b"Files that an interrupted `moonpool apply` had moved aside:\n"]
        lines += [
            b"old-%d %s\n" % (number, repr(os.fsdecode(path)).encode("utf-8", "replace"))
            for number, path in enumerate(self._wanted.removed)
        ]
        with open(
            os.open(b"README", NEW_FILE, 0o600, dir_fd=self._staging.directory), "wb"
        ) as file:
            file.writelines(lines)

    def _set_aside(self, path: bytes, standing: PresentFile, name: bytes) -> None:
        with self._target.parent(path) as (directory, last):
            os.rename(last, name, src_dir_fd=directory, dst_dir_fd=self._staging.directory)
        self._undo.append(partial(self._restore, path, name))
        status = os.stat(name, dir_fd=self._staging.directory, follow_symlinks=False)
        if _identity(status) != _identity(standing.status):
            raise PatchError(
                f"{os.fsdecode(path)!r} changed while the patch was applied; nothing was changed."
            )

    def _restore(self, path: bytes, name: bytes) -> None:
        with self._target.parent(path) as (directory, last):
            _move_in(self._staging.directory, name, directory, last)

    def _clear(self, path: bytes) -> None:
        with self._target.parent(path) as (directory, name):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            os.rmdir(name, dir_fd=directory)
        make_again = partial(os.mkdir, mode=stat.S_IMODE(status.st_mode))
        self._undo.append(partial(self._at, path, make_again))

    def _place(self, path: bytes, staged: bytes) -> None:
        end = path.find(b"/")
        while end > 0:
            self._make_folder(path[:end])
            end = path.find(b"/", end + 1)
        with self._target.parent(path) as (directory, name):
            _move_in(self._staging.directory, staged, directory, name)
        self._undo.append(partial(self._at, path, os.unlink))

    def _make_folder(self, path: bytes) -> None:
        if path in self._there:
            return
        with self._target.parent(path) as (directory, name), suppress(FileExistsError):
            os.mkdir(name, dir_fd=directory)
            self._undo.append(partial(self._take_away_folder, path))
        self._there.add(path)

    def _take_away_folder(self, path: bytes) -> None:
        with suppress(OSError):
            self._at(path, os.rmdir)

    def _at(self, path: bytes, do: Callable[..., None]) -> None:
        with self._target.parent(path) as (directory, name):
            do(name, dir_fd=directory)

    def _put_back(self, problem: BaseException) -> None:
        lost = 0
        for undo in reversed(self._undo):
            try:
                undo()
            except OSError:
                lost += 1
        if lost:
            self._staging.kept = True
            raise PatchError(
                f"applying failed ({problem}), and {lost} changes could not be taken back: what "
                f"was moved aside is in {os.fsdecode(self._staging.name)}, see README there."
            ) from problem

    def _prune(self) -> None:
        """Directories that lost their last file go, as with git; others refuse by themselves."""
        for path in self._wanted.removed:
            above = path.rpartition(b"/")[0]
            with suppress(OSError):
                while above:
                    self._at(above, os.rmdir)
                    above = above.rpartition(b"/")[0]


def _take_over(file: int, old: os.stat_result, *, executable: bool) -> None:
    """Permissions and, where that is allowed, the owner of the file that is replaced."""
    mode = stat.S_IMODE(old.st_mode) & 0o777
    mode = mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(OSError):
            os.fchown(file, old.st_uid, old.st_gid)
    os.fchmod(file, mode)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    kind = stat.S_IFMT(status.st_mode)
    return (status.st_dev, status.st_ino, kind, status.st_size, status.st_mtime_ns)


def _move_in(source: int, staged: bytes, directory: int, name: bytes) -> None:
    """Move a staged file to where nothing may be yet."""
    try:
        os.link(staged, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as problem:
        if problem.errno not in _NO_HARD_LINKS:
            raise
    else:
        os.unlink(staged, dir_fd=source)
        return
    # A file system without hard links: looking first is all there is.
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(staged, name, src_dir_fd=source, dst_dir_fd=directory)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
