"""How much disk the sandbox uses: a cheap look often, an exact count when that is alarming.

The layered file system has no quota of its own on most hosts, so the guest watches. One file is
bounded by a resource limit as well, and a fast writer gets no further than what it writes between
two looks.
"""

from __future__ import annotations

import os

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
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def exceeded(self) -> bool:
        """True when what is written below the roots takes more than the limit."""
        if not self.limit:
            return False
        used = self._used()
        if used < self._alarm:
            return False
        # Others write to that disk too: only our own files count.
        if self._count() > self.limit:
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
                        total += state.st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            stack.append(entry.path)
            except OSError:
                continue
        return total
