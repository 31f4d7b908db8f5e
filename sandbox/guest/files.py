"""File operations on bytes, under the same Landlock rules as the commands.

Every function takes absolute paths as bytes; what the kernel refuses is an OSError, which the
server sends to the host with its number. Paths are resolved here, never on the host.
"""

from __future__ import annotations

import os

from sandbox.guest import protocol, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest.message import GuestAnswer

_TYPE = 0o170000
_DIRECTORY = 0o040000
_REGULAR = 0o100000
_LINK = 0o120000

_WALK_FRAME_BYTES = 1 << 18
_WALK_NAMES = 1000
_PATH_LIMIT = 4000


def _letter(mode: int) -> bytes:
    kind = mode & _TYPE
    if kind == _REGULAR:
        return b"f"
    if kind == _DIRECTORY:
        return b"d"
    if kind == _LINK:
        return b"l"
    return b"o"


def open_regular(path: bytes, flags: int) -> tuple[int, int]:
    """Open a file that is one; gives its size too."""
    # O_NONBLOCK: a named pipe in the workspace must not hang the guest.
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
    state = os.fstat(handle)
    kind = state.st_mode & _TYPE
    if kind != _REGULAR:
        os.close(handle)
        if kind == _DIRECTORY:
            raise IsADirectoryError(21, "is a directory")
        raise OSError(22, "is not a regular file")
    return handle, state.st_size


def read(path: bytes, offset: int, limit: int) -> tuple[bytes, int]:
    """Up to `limit` bytes from `offset`, and the file's size."""
    handle, size = open_regular(path, os.O_RDONLY)
    try:
        # No more than there is: the memory for all of a limit costs more than the call. The
        # kernel's own files have a size of 0, whatever is in them.
        return os.pread(handle, min(limit, size - offset) if size > offset else limit, offset), size
    finally:
        os.close(handle)


def write(path: bytes, data: bytes, *, append: bool, overwrite: bool) -> None:
    """Write a piece of a file; the first one makes parents and cuts what was there."""
    flags = os.O_WRONLY | (os.O_APPEND if append else os.O_CREAT)
    if not append:
        # Cut by the open itself would cut a device or what a dangling check let through.
        flags |= 0 if overwrite else os.O_EXCL
    try:
        handle, size = open_regular(path, flags)
    except FileNotFoundError:
        if append:
            raise
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle, size = open_regular(path, flags)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        # Cut after writing: ext4 takes a cut to nothing, then a close, for a careless replacement
        # and flushes the file, which costs more than all the rest.
        if not append and size > len(data):
            os.ftruncate(handle, len(data))
    finally:
        os.close(handle)


def delete(path: bytes) -> None:
    """Remove one file or link."""
    if os.lstat(path).st_mode & _TYPE == _DIRECTORY:
        raise IsADirectoryError(21, "is a directory")
    os.unlink(path)


def listing(path: bytes, limit: int) -> tuple[list[protocol.ListedEntry], bool]:
    """What is in a directory, at most `limit` entries; whether there are more."""
    rows: list[protocol.ListedEntry] = []
    with os.scandir(path) as found:
        for entry in found:
            if len(rows) >= limit:
                return rows, True
            try:
                state = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            kind = _letter(state.st_mode)
            rows.append(protocol.ListedEntry(name=entry.name, kind=kind, size=state.st_size))
    return rows, False


def enter(path: bytes, mode: int) -> list[os.DirEntry[bytes]]:
    """The entries of a directory, also where its owner (we) took the permissions for that away.

    It stays open afterwards: what is in it has to be looked at and read. Without x, as after
    `chmod -R 644`, it can be listed and nothing in it looked at.
    """
    if mode & 0o500 != 0o500:
        os.chmod(path, mode & 0o7777 | 0o700)
    return list(os.scandir(path))


def is_untouched(state: os.stat_result, since_ns: int, layered: frozenset[int]) -> bool:
    """Whether nothing in or below a directory can have changed since a time.

    On a layered file system nothing below it was written where it lies in a lower layer alone: the
    kernel first copies every directory above a file that it copies up. A directory that lies in two
    layers has one link there, by the kernel's own rule, and any other at least two (overlayfs: the
    comment in `ovl_getattr`). What lies in the upper layer alone has been made since.

    Args:
        layered: devices of such file systems; elsewhere a directory tells nothing.
    """
    return state.st_dev in layered and state.st_nlink > 1 and state.st_ctime_ns < since_ns


def walk(
    root: bytes,
    start: bytes,
    since_ns: int,
    layered: frozenset[int],
    send: Callable[[protocol.TreeChanges], None],
) -> None:
    """Report what changed in the workspace `root`, at or below the directory `start`.

    Changed is what has a ctime of `since_ns` or later, which no process without privileges can
    set back. Of a changed directory all entries are told, from which the host sees what is gone.
    Paths are relative to `root`. What lies in any `.git` is not looked at. With `since_ns` 0
    everything is reported.
    """
    prefix = len(root) + 1
    changes = protocol.TreeChanges(files=[], folders=[])
    waiting = 0  # bytes
    stack = [start]
    while stack:
        directory = stack.pop()
        own = os.lstat(directory)
        changed = own.st_ctime_ns >= since_ns
        names: list[bytes] = []
        for entry in enter(directory, own.st_mode):
            name = entry.name
            state = entry.stat(follow_symlinks=False)
            kind = state.st_mode & _TYPE
            if changed:
                names.append(_letter(state.st_mode) + name)
            if kind == _DIRECTORY and len(directory) + len(name) < _PATH_LIMIT:
                if name != b".git" and not is_untouched(state, since_ns, layered):
                    stack.append(directory + b"/" + name)
            elif state.st_ctime_ns >= since_ns:
                # A directory that is too deep for the kernel to take its path stands for itself.
                path = (directory + b"/" + name)[prefix:]
                changes.files.append(
                    protocol.ChangedFile(path=path, mode=state.st_mode, ctime_ns=state.st_ctime_ns)
                )
                waiting += len(path) + 32
                if waiting > _WALK_FRAME_BYTES:
                    send(changes)
                    changes, waiting = protocol.TreeChanges(files=[], folders=[]), 0
        if changed:
            # A directory with very many entries goes in pieces; the host joins them.
            path = directory[prefix:]
            for at in range(0, max(len(names), 1), _WALK_NAMES):
                piece = names[at : at + _WALK_NAMES]
                changes.folders.append(protocol.ChangedFolder(path=path, names=piece))
                waiting += len(path) + sum(map(len, piece)) + 8 * len(piece)
                if waiting > _WALK_FRAME_BYTES:
                    send(changes)
                    changes, waiting = protocol.TreeChanges(files=[], folders=[]), 0
    send(changes)


def fetch(root: bytes, path: bytes, limit: int, send: Callable[[GuestAnswer], None]) -> int:
    """Send one file or link: its head, then its content (of a file only where `limit` allows it).

    Gives how much of a file was sent, in bytes.
    """
    full = root + b"/" + path
    try:
        state = os.lstat(full)
    except (FileNotFoundError, NotADirectoryError):
        send(protocol.FileHead(path=path, mode=0, size=0))
        return 0
    kind = state.st_mode & _TYPE
    if kind == _LINK:
        target = os.readlink(full)
        send(protocol.FileHead(path=path, mode=state.st_mode, size=len(target)))
        send(protocol.FileData(data=target))
        return 0
    if kind != _REGULAR or state.st_size > limit:
        send(protocol.FileHead(path=path, mode=state.st_mode, size=state.st_size))
        return 0
    try:
        handle = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError:
        os.chmod(full, state.st_mode & 0o7777 | 0o400)
        handle = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        os.fchmod(handle, state.st_mode & 0o7777)  # it may be looked at while the agent works
    try:
        size = state.st_size
        send(protocol.FileHead(path=path, mode=state.st_mode, size=size))
        left = size
        while left:
            data = os.read(handle, min(left, wire.PIECE))
            if not data:
                # It shrank, though nothing else should run: pad, so that the frames stay in step.
                data = bytes(min(left, wire.PIECE))
            left -= len(data)
            send(protocol.FileData(data=data))
        return size
    finally:
        os.close(handle)
