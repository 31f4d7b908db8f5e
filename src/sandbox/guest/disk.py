"""How much disk the sandbox uses: a cheap look often, an exact count when that is alarming.

The layered file system has no quota of its own on most hosts, so the guest watches. One file is
bounded by a resource limit as well, space can't be had without writing it (`sandbox.seccomp`), and
the looks come the closer together the less is left: a writer gets no further than what it writes
between two of them. Where it had to be stopped, what it wrote stays, and later commands may run
and delete as long as they add nothing.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ENTRY_COST = 4096
"""What an entry of a directory counts for, in bytes, beside its content: an empty file takes an
inode, and of those a disk has only so many."""

_IN_MEMORY = (b"/memfd:", b"/dev/", b"/SYSV", b"/[aio]", b"anon_inode:")
_MARGIN = 16 << 20
"""How much the whole file system may grow by others' doing before we count again, in bytes."""
_GRACE = 1 << 20
"""What commands may add once the limit is passed: deleting takes a little, too."""

_FASTEST = 8 << 30
"""More than any process writes, in bytes a second."""
_LONGEST_PAUSE_S = 0.5
_SHORTEST_PAUSE_S = 0.005
_ALERT_PAUSE_S = 0.002
"""Between looks at a sandbox that is past its limit."""

_RECOUNT_S = 2.0
"""At least so often we count while commands run: what others give back hides what ours take."""
_RECOUNT_SHARE = 50
"""Or after so many times as long as counting took, where that is more."""
_PATIENCE_S = 0.1
_ENAMETOOLONG = 36
_DIRECTORY = 0o040000
_TYPE = 0o170000
_PATH_LIMIT = 3500
"""A path that is longer is gone on with from a descriptor: the kernel takes 4096 bytes."""
_DEEP_LIMIT = 256
_LINKED_LIMIT = 100_000
_TOO_MUCH = 1 << 62


class Disk:
    """Growth since the start, against a limit in bytes (0: no limit)."""

    def __init__(self, roots: list[bytes], limit: int, since_ns: int, *, restarted: bool) -> None:
        """`since_ns`: what changed before is of the image and not counted, as no process without
        privileges can set that time back. `restarted`: there may be something to count already.
        """
        self.roots = _outermost(roots)
        self.limit = limit
        self._since_ns = since_ns
        self._tolerated = 0
        self._unclear = False
        self._looked_at = _file_systems(self.roots)
        self._alarm = 0 if restarted else self._used() + limit
        self._recount_at = time.monotonic() + _RECOUNT_S

    def _used(self) -> int:
        used = 0
        for path in self._looked_at:
            state = os.statvfs(path)
            used += (state.f_blocks - state.f_bfree) * state.f_frsize
            used += (state.f_files - state.f_ffree) * _ENTRY_COST
        return used

    def room(self) -> int:
        """Bytes that may be written before it takes a count to say more; 0 where it does now."""
        if not self.limit:
            return _TOO_MUCH
        if time.monotonic() > self._recount_at:
            return 0
        used = self._used()
        # What others give back is not ours to fill.
        self._alarm = min(self._alarm, used + self.limit)
        return max(self._alarm - used, 0)

    def pause_s(self, room: int) -> float:
        """How long the next look can wait."""
        shortest = _ALERT_PAUSE_S if self._tolerated else _SHORTEST_PAUSE_S
        return min(max(room / _FASTEST, shortest), _LONGEST_PAUSE_S)

    def exceeded(self) -> bool:
        """Count: True when what is written below the roots takes more than the limit, and more
        than it did when that was last found.

        Others write to that disk too, so only our own files count. Nothing may write meanwhile.
        """
        began = time.monotonic()
        taken = self._count()
        now = time.monotonic()
        self._recount_at = now + max(_RECOUNT_S, _RECOUNT_SHARE * (now - began))
        if taken >= _TOO_MUCH and not self._unclear:
            # Something was in the middle of beginning or ending. It is not twice in a row.
            self._unclear = True
            self._alarm = self._used()
            return False
        self._unclear = False
        over = taken > self.limit and taken > self._tolerated
        if taken <= self.limit:
            self._tolerated = 0
            left = self.limit - taken
        else:
            # The sandbox goes on, so that it can make room: what it holds by now is let be.
            if over:
                self._tolerated = taken + _GRACE if taken < _TOO_MUCH else 0
            left = _GRACE
        self._alarm = self._used() + (left if taken > self.limit else max(left, _MARGIN))
        return over

    def _count(self) -> int:
        """Bytes, or `_TOO_MUCH` where it can't be told."""
        total = sum(map(self._own, self.roots))
        linked: set[tuple[int, int]] = set()
        deep: list[int] = []
        stack = list(self.roots)
        try:
            total += _unlinked()
            while stack:
                path = stack.pop()
                if len(path) > _PATH_LIMIT:
                    if len(deep) >= _DEEP_LIMIT:
                        return _TOO_MUCH
                    deep.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                    path = b"/proc/self/fd/%d" % deep[-1]
                total += self._entries(path, stack, linked)
        except OSError:
            return _TOO_MUCH
        finally:
            for handle in deep:
                os.close(handle)
        return min(total, _TOO_MUCH)

    def _own(self, root: bytes) -> int:
        try:
            state = os.lstat(root)
        except OSError:
            return 0
        return state.st_blocks * 512 if state.st_ctime_ns >= self._since_ns else 0

    def _entries(self, path: bytes, stack: list[bytes], linked: set[tuple[int, int]]) -> int:
        total = 0
        try:
            entries = _scan(path)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        with entries:
            for entry in entries:
                try:
                    state = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                directory = state.st_mode & _TYPE == _DIRECTORY
                if directory:
                    stack.append(entry.path)
                if state.st_ctime_ns < self._since_ns:
                    continue
                if state.st_nlink > 1 and not directory:
                    key = (state.st_dev, state.st_ino)
                    if key in linked:
                        continue
                    if len(linked) < _LINKED_LIMIT:
                        linked.add(key)
                total += state.st_blocks * 512 + _ENTRY_COST
        return total


def _outermost(roots: list[bytes]) -> list[bytes]:
    """The roots without those that lie below another one."""
    found: list[bytes] = []
    for root in sorted(set(roots), key=len):
        if not any((root + b"/").startswith(top + b"/") for top in found):
            found.append(root)
    return found


def _file_systems(roots: list[bytes]) -> list[bytes]:
    """One path on each file system that holds a root."""
    found: dict[int, bytes] = {}
    for path in (b"/", *roots):
        try:
            found.setdefault(os.stat(path).st_dev, path)
        except OSError:
            continue
    return list(found.values())


def _scan(path: bytes) -> Any:
    try:
        return os.scandir(path)
    except PermissionError:
        # Its owner (we) took the permission away: what is in it takes space all the same.
        os.chmod(path, os.stat(path).st_mode & 0o7777 | 0o700)
        return os.scandir(path)


def _unlinked() -> int:
    """What files take that have no name any more, but a process that holds them.

    A process that does not let us look counts for more than any limit: it is looked at only when
    the disk has filled up and nothing that has a name explains it. One that is about to start
    another program, or to end, does not let us look either, but soon.
    """
    found: dict[tuple[int, int], int] = {}
    until = time.monotonic() + _PATIENCE_S
    for pid in os.listdir(b"/proc"):
        if pid.isdigit() and pid != b"1":
            while not _looked_into(b"/proc/" + pid, found):
                if time.monotonic() > until:
                    return _TOO_MUCH
                time.sleep(0.001)
    return sum(found.values())


def _looked_into(process: bytes, found: dict[tuple[int, int], int]) -> bool:
    try:
        for task in os.listdir(process + b"/task"):
            _held(process + b"/task/" + task + b"/fd", found)
        _mapped(process + b"/maps", found)
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    except PermissionError:
        return False
    return True


def _held(directory: bytes, found: dict[tuple[int, int], int]) -> None:
    for handle in os.listdir(directory):
        path = directory + b"/" + handle
        try:
            if _without_name(path):
                state = os.stat(path)
                found[state.st_dev, state.st_ino] = state.st_blocks * 512
        except FileNotFoundError:
            continue


def _without_name(descriptor: bytes) -> bool:
    try:
        return _on_disk(os.readlink(descriptor))
    except OSError as error:
        if error.errno != _ENAMETOOLONG:
            raise
        return os.stat(descriptor).st_nlink == 0


def _mapped(path: bytes, found: dict[tuple[int, int], int]) -> None:
    with open(path, "rb") as lines:
        for line in lines:
            fields = line.rstrip(b"\n").split(None, 5)
            if len(fields) == 6 and _on_disk(fields[5]):
                start, _, end = fields[0].partition(b"-")
                major, _, minor = fields[3].partition(b":")
                key = (os.makedev(int(major, 16), int(minor, 16)), int(fields[4]))
                # No size to be had without a descriptor: what is mapped of it, at least.
                found.setdefault(key, 0)
                found[key] = max(found[key], int(end, 16) - int(start, 16))


def _on_disk(target: bytes) -> bool:
    return target.endswith(b" (deleted)") and not target.startswith(_IN_MEMORY)
