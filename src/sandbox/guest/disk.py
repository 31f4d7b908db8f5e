"""How much disk the sandbox uses: a cheap look often, an exact count when that is alarming.

The layered file system has no quota of its own on most hosts, so the guest watches. One file is
bounded by a resource limit as well, and a fast writer gets no further than what it writes between
two looks.
"""

from __future__ import annotations

import os

_ENTRY_COST = 1024
"""What an entry of a directory counts for, in bytes, beside its content: an empty file takes an
inode, and of those a disk has only so many."""

_IN_MEMORY = (b"/memfd:", b"/dev/", b"/SYSV", b"/[aio]", b"anon_inode:")
_MARGIN = 64 << 20
"""How much the whole file system may grow by others' doing before we count again, in bytes."""


class Disk:
    """Growth since the start, against a limit in bytes (0: no limit)."""

    def __init__(self, roots: list[bytes], limit: int) -> None:
        self.roots = roots
        self.limit = limit
        self._alarm = self._used() + limit if limit else 0

    def _used(self) -> int:
        state = os.statvfs("/")
        inodes = state.f_files - state.f_ffree
        return (state.f_blocks - state.f_bfree) * state.f_frsize + inodes * _ENTRY_COST

    def exceeded(self) -> bool:
        """True when what is written below the roots takes more than the limit."""
        if not self.limit:
            return False
        used = self._used()
        if used < self._alarm:
            # What others give back is not ours to fill.
            self._alarm = min(self._alarm, used + self.limit)
            return False
        # Others write to that disk too: only our own files count.
        if self._count() + _unlinked() > self.limit:
            return True
        self._alarm = used + _MARGIN
        return False

    def _count(self) -> int:
        total = 0
        stack = list(self.roots)
        while stack:
            try:
                with os.scandir(stack.pop()) as entries:
                    for entry in entries:
                        state = entry.stat(follow_symlinks=False)
                        total += state.st_blocks * 512 + _ENTRY_COST
                        if entry.is_dir(follow_symlinks=False):
                            stack.append(entry.path)
            except OSError:
                continue
        return total


def _unlinked() -> int:
    """What files take that have no name any more, but a process that holds them.

    A process that does not let us look counts for more than any limit: it is looked at only when
    the disk has filled up and nothing that has a name explains it.
    """
    found: dict[tuple[int, int], int] = {}
    for pid in os.listdir(b"/proc"):
        if not pid.isdigit() or pid == b"1":
            continue
        try:
            for task in os.listdir(b"/proc/" + pid + b"/task"):
                _held(b"/proc/" + pid + b"/task/" + task + b"/fd", found)
            _mapped(b"/proc/" + pid + b"/maps", found)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            return 1 << 62
    return sum(found.values())


def _held(directory: bytes, found: dict[tuple[int, int], int]) -> None:
    for handle in os.listdir(directory):
        path = directory + b"/" + handle
        try:
            if _on_disk(os.readlink(path)):
                state = os.stat(path)
                found[state.st_dev, state.st_ino] = state.st_blocks * 512
        except FileNotFoundError:
            continue


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
