"""How much disk the sandbox uses: a cheap look often, an exact count when that is alarming.

The layered file system has no quota of its own on most hosts, so the guest watches. One file is
bounded by a resource limit as well, space can't be had without writing it (see
`sandbox.container.seccomp`), and the looks come the closer together the less is left: a writer gets
no further than what it writes between two of them. Where it had to be stopped, what it wrote stays,
and later commands may run and delete as long as they add nothing.
"""

from __future__ import annotations

import os
import time

from sandbox.guest import processes
from sandbox.guest.files import is_untouched
from sandbox.guest.unnamed import Unnamed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ENTRY_COST = 4096
"""What an entry of a directory counts for, in bytes, beside its content: an empty file takes an
inode, and of those a disk has only so many."""

_MARGIN = 16 << 20
"""How much the whole file system may grow by others' doing before we count again, in bytes."""
_GRACE = 1 << 20
"""What commands may add once the limit is passed: deleting takes a little, too."""

_FASTEST = 8 << 30
"""How much a process could write, in bytes a second: more than any does."""
_LONGEST_PAUSE_S = 0.5
_SHORTEST_PAUSE_S = 0.005
_ALERT_PAUSE_S = 0.002
"""Between looks at a sandbox that is past its limit."""

_RECOUNT_S = 2.0
"""How often we count at least while commands run: what others give back hides what ours take."""
_RECOUNT_SHARE = 50
"""Counting comes again after so many times as long as it took, where that is more."""
_DIRECTORY = 0o040000
_TYPE = 0o170000
_PATH_LIMIT = 3500
"""A path that is longer is gone on with from a descriptor: the kernel takes 4096 bytes."""
_DEEP_LIMIT = 256
_LINKED_LIMIT = 100_000
_TOO_MUCH = 1 << 62
"""Bytes: what can't be told."""


class Disk:
    """Growth since the start, against a limit in bytes (0: no limit)."""

    def __init__(
        self,
        roots: list[bytes],
        limit: int,
        since_ns: int,
        *,
        layered: frozenset[int] = frozenset(),
        restarted: bool,
    ) -> None:
        """`since_ns`: what changed before is of the image and not counted, as no process without
        privileges can set that time back. `restarted`: there may be something to count already.
        `layered`: as for `files.is_untouched`.
        """
        self._layered = layered
        self.roots = _outermost(roots)
        self.limit = limit
        self._since_ns = since_ns
        self._tolerated = 0
        self._unclear = False
        self._looked_at = _file_systems(self.roots)
        self._alarm = 0 if restarted else self._used() + limit
        self._known = (0, self._used_each())
        """When all there was could last be measured: that, and what each file system held; since
        then, the least that they did."""
        self._recount_at = time.monotonic() + _RECOUNT_S

    def _used(self) -> int:
        return sum(self._used_each())

    def _used_each(self) -> list[int]:
        """What is used on each file system; several may be on one disk, and say the same."""
        used = []
        for path in self._looked_at:
            state = os.statvfs(path)
            blocks = (state.f_blocks - state.f_bfree) * state.f_frsize
            used.append(blocks + (state.f_files - state.f_ffree) * _ENTRY_COST)
        return used

    def left(self) -> int:
        """Bytes that may be written before it takes a count to say more; 0 where it does now."""
        if not self.limit:
            return _TOO_MUCH
        each = self._used_each()
        self._lower(each)
        if time.monotonic() > self._recount_at:
            return 0
        used = sum(each)
        # What others give back is not ours to fill.
        self._alarm = min(self._alarm, used + self.limit)
        return max(self._alarm - used, 0)

    def _lower(self, used: list[int]) -> None:
        """Have what is known follow what was given back, by us or by others."""
        then, before = self._known
        back = max(old - new for old, new in zip(before, used))  # noqa: B905 - Python 3.8
        if back > 0:
            self._known = (max(then - back, 0), list(map(min, before, used)))

    def pause_s(self, left: int) -> float:
        """How long the next look can wait."""
        shortest = _ALERT_PAUSE_S if self._tolerated else _SHORTEST_PAUSE_S
        return min(max(left / _FASTEST, shortest), _LONGEST_PAUSE_S)

    def exceeded(self, aside: int = 0, held: tuple[int, bool] = (0, False)) -> bool:
        """Count: True when what is written below the roots takes more than the limit, and more
        than it did when that was last found.

        Others write to that disk too, so only our own files count; but while a process holds what
        can't be measured, all that a disk has grown by counts. Nothing may write meanwhile.

        Args:
            aside: a process that is looked at elsewhere, with all below it; 0: none.
            held: what those hold without a name: bytes, and whether there may be more.
        """
        began = time.monotonic()
        taken = self._count(aside, held)
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
            # The sandbox goes on, so that it can delete: what it holds by now is let be.
            if over:
                self._tolerated = taken + _GRACE if taken < _TOO_MUCH else 0
            left = _GRACE
        self._alarm = self._used() + (left if taken > self.limit else max(left, _MARGIN))
        return over

    def _count(self, aside: int, held: tuple[int, bool]) -> int:
        """Bytes, or `_TOO_MUCH` where it can't be told."""
        total = sum(map(self._own, self.roots)) + held[0]
        linked: set[tuple[int, int]] = set()
        deep: list[int] = []
        stack = list(self.roots)
        try:
            unnamed = Unnamed([row[0] for row in processes.others(aside)] if aside else None)
            total += unnamed.least()
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
        used = self._used_each()
        then, before = self._known
        if unnamed.more() or held[1]:
            grown = max(new - old for old, new in zip(before, used))  # noqa: B905 - Python 3.8
            return max(total, then + grown)
        self._known = (total, used)
        return total

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
                if directory and not is_untouched(state, self._since_ns, self._layered):
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
