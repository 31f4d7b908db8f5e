"""Putting files of the workspace in place, path by path, while nothing else runs.

No step on the way to a path follows a link: each directory is opened in the one above it. What
stands in the way of something that is to stand there goes, whatever it is. Owns doing what it is
told, exactly; what is to be done is the host's, which looks afterwards whether it was.
"""

from __future__ import annotations

import os

from sandbox.guest import files, protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Placing = (
        protocol.RemoveFiles
        | protocol.PutFiles
        | protocol.RemoveFolders
        | protocol.MakeFolders
        | protocol.SetFolderModes
    )

_TYPE = 0o170000
_DIRECTORY = 0o040000
_LINK = 0o120000
_USUAL = 0o755
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FRAME_BYTES = 1 << 18
_PATH_LIMIT = 4000


class Tree:
    """The directories of a workspace, opened one in the other; the last one stays open."""

    def __init__(self, root: bytes) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path: bytes = b""
        self._handle = self._root
        self._acts: dict[type, Callable[[Any], None]] = {
            protocol.RemoveFiles: self._remove,
            protocol.PutFiles: self._put,
            protocol.SetFolderModes: self._set_mode,
            protocol.RemoveFolders: self._remove_folder,
            protocol.MakeFolders: self._make_folder,
        }

    def close(self) -> None:
        self._leave()
        os.close(self._root)

    def _leave(self) -> None:
        if self._handle != self._root:
            os.close(self._handle)
        self._path, self._handle = b"", self._root

    def each(self, wanted: Placing) -> list[protocol.NotPlaced]:
        """Do what is wanted with each row of it; gives those that failed."""
        failed = []
        act = self._acts[type(wanted)]
        for at, row in enumerate(wanted.rows):
            try:
                act(row)
            except OSError as error:
                failed.append(protocol.NotPlaced(row=at, errno=error.errno or 5))
        return failed

    def _enter(self, path: bytes, *, make: bool) -> int:
        """A directory, opened; with `make` it is there afterwards, whatever was in its place."""
        if path == self._path:
            return self._handle
        self._leave()
        handle = self._root
        try:
            for name in path.split(b"/") if path else ():
                below = self._step(handle, name, make=make)
                if handle != self._root:
                    os.close(handle)
                handle = below
        except OSError:
            if handle != self._root:
                os.close(handle)
            raise
        self._path, self._handle = path, handle
        return handle

    def _step(self, above: int, name: bytes, *, make: bool) -> int:
        if name in (b"", b".", b".."):
            raise OSError(22, "not a path inside the workspace")
        try:
            mode = os.lstat(name, dir_fd=above).st_mode
        except FileNotFoundError:
            if not make:
                raise
            mode = 0
        if mode & _TYPE != _DIRECTORY:
            if not make:
                raise NotADirectoryError(20, "is no directory")
            if mode:
                _permitted(above, lambda: os.unlink(name, dir_fd=above))
            _permitted(above, lambda: os.mkdir(name, _USUAL, dir_fd=above))
            os.chmod(name, _USUAL, dir_fd=above)
        elif mode & 0o500 != 0o500:
            os.chmod(name, mode & 0o7777 | 0o700, dir_fd=above)
        return os.open(name, _OPEN, dir_fd=above)

    # -- what is done to one path ----------------------------------------------------------

    def _remove(self, path: bytes) -> None:
        """Take away a file, a link or something special; what is gone already is fine."""
        above, name = os.path.split(path)
        try:
            handle = self._enter(above, make=False)
            _permitted(handle, lambda: os.unlink(name, dir_fd=handle))
        except (FileNotFoundError, NotADirectoryError):
            self._leave()

    def _put(self, wanted: protocol.PutFile) -> None:
        """Have a file or a link stand there; a later piece of a file has an offset."""
        above, name = os.path.split(wanted.path)
        mode, offset = wanted.mode, wanted.offset
        handle = self._enter(above, make=not offset)
        if not offset:
            _clear(handle, name)
            if mode & _TYPE == _LINK:
                _permitted(handle, lambda: os.symlink(wanted.data, name, dir_fd=handle))
                return
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        if offset:
            os.chmod(name, 0o600, dir_fd=handle)
            file = os.open(name, flags, dir_fd=handle)
        else:
            flags |= os.O_CREAT | os.O_EXCL
            file = _permitted(handle, lambda: os.open(name, flags, 0o600, dir_fd=handle))
        try:
            view = memoryview(wanted.data)
            while view:
                count = os.pwrite(file, view, offset)
                view, offset = view[count:], offset + count
            os.fchmod(file, mode & 0o7777)
        finally:
            os.close(file)

    def _remove_folder(self, path: bytes) -> None:
        """Take away a directory where it is empty."""
        above, name = os.path.split(path)
        if path == self._path:
            self._leave()
        try:
            handle = self._enter(above, make=False)
            _permitted(handle, lambda: os.rmdir(name, dir_fd=handle))
        except (FileNotFoundError, NotADirectoryError):
            self._leave()
        except OSError as error:
            if error.errno != 39:  # ENOTEMPTY
                raise

    def _make_folder(self, path: bytes) -> None:
        self._enter(path, make=True)

    def _set_mode(self, wanted: protocol.FolderMode) -> None:
        os.fchmod(self._enter(wanted.path, make=False), wanted.mode & 0o7777)


def _permitted(above: int, act: Callable[[], int | None]) -> int:
    """Change a directory, also where its owner (we) took the permission for that away."""
    try:
        return act() or 0
    except PermissionError:
        mode = os.fstat(above).st_mode & 0o7777
        if mode & 0o300 == 0o300:
            raise
        os.fchmod(above, mode | 0o700)
        try:
            return act() or 0
        finally:
            os.fchmod(above, mode)


def _clear(above: int, name: bytes) -> None:
    """Take away whatever stands under a name: of a directory, all that is in it."""
    try:
        mode = os.lstat(name, dir_fd=above).st_mode
    except FileNotFoundError:
        return
    if mode & _TYPE != _DIRECTORY:
        _permitted(above, lambda: os.unlink(name, dir_fd=above))
        return
    os.chmod(name, mode & 0o7777 | 0o700, dir_fd=above)
    top = os.open(name, _OPEN, dir_fd=above)
    try:
        _empty(top)
    finally:
        os.close(top)
    _permitted(above, lambda: os.rmdir(name, dir_fd=above))


def _empty(top: int) -> None:
    """Take away all that is in a directory, however deep: without recursion, and with one
    directory open at a time. Its parent is reached again by `..`, which nobody moves meanwhile."""
    handle = os.dup(top)
    try:
        waiting = [_files_gone(handle)]
        names: list[bytes] = []
        while True:
            if waiting[-1]:
                names.append(waiting[-1].pop())
                os.chmod(names[-1], 0o700, dir_fd=handle)
                below = os.open(names[-1], _OPEN, dir_fd=handle)
                os.close(handle)
                handle = below
                waiting.append(_files_gone(handle))
                continue
            if not names:
                return
            above = os.open(b"..", _OPEN, dir_fd=handle)
            os.close(handle)
            handle = above
            waiting.pop()
            os.rmdir(names.pop(), dir_fd=handle)
    finally:
        os.close(handle)


def _files_gone(handle: int) -> list[bytes]:
    """Take away what is no directory; gives the directories."""
    found = []
    for name in map(os.fsencode, os.listdir(handle)):
        if os.lstat(name, dir_fd=handle).st_mode & _TYPE == _DIRECTORY:
            found.append(name)
        else:
            os.unlink(name, dir_fd=handle)
    return found


def odd_folders(root: bytes, send: Callable[[protocol.OddFolders], None]) -> None:
    """Send each directory that is empty, holds a `.git` or has another mode than most, in pieces.

    What lies in any `.git` is not looked at.
    """
    prefix = len(root) + 1
    rows: list[protocol.OddFolder] = []
    waiting = 0
    stack = [root]
    while stack:
        directory = stack.pop()
        mode = os.lstat(directory).st_mode
        entries = files.enter(directory, mode)
        stack += [
            directory + b"/" + entry.name
            for entry in entries
            if entry.name != b".git"
            and len(directory) + len(entry.name) < _PATH_LIMIT
            and entry.is_dir(follow_symlinks=False)
        ]
        mode = os.lstat(directory).st_mode & 0o7777
        repository = any(entry.name == b".git" for entry in entries)
        if mode != _USUAL or not entries or repository:
            path = directory[prefix:]
            rows.append(
                protocol.OddFolder(path=path, mode=mode, empty=not entries, repository=repository)
            )
            waiting += len(path) + 32
            if waiting > _FRAME_BYTES:
                send(protocol.OddFolders(folders=rows))
                rows, waiting = [], 0
    send(protocol.OddFolders(folders=rows))
