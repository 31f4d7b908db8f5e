"""Whether anything below some directories was changed since they began to be watched (inotify(7)).

The kernel queues an event before the call that changes something returns, so whoever asks
afterwards hears of it. It says nothing of what is written through a mapping of a file, by another
name that a file has outside, or by another machine: so quiet is taken for a proof for a moment
only.
"""

import ctypes
import errno
import os
from collections.abc import Collection

_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_ONLY_DIRECTORY, _NO_LINK = 0x1000000, 0x2000000
_MASK = (
    _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
    | _ONLY_DIRECTORY | _NO_LINK
)  # fmt: skip
_EVENTS_BYTES = 1 << 16


class Stillness:
    """A watch over directories, each by itself. Close it in the end."""

    def __init__(self, root: bytes, directories: Collection[bytes]) -> None:
        """Watch the root and directories below it, which are relative to it.

        Raises:
            OSError: this system has no such watch, or not that many; or one of them is gone.
        """
        self._root = root
        self.directories = frozenset(directories)
        self._broken = False
        kernel = ctypes.CDLL(None, use_errno=True)
        self._handle = _checked(kernel.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            self._place = self._standing()
            for path in (root, *(os.path.join(root, name) for name in directories)):
                _checked(kernel.inotify_add_watch(self._handle, path, _MASK))
        except BaseException:
            self.close()
            raise

    def holds(self) -> bool:
        """Whether nothing was ever heard of any of them, and the root's name still leads there.

        Once something was, another watch is needed: a directory may have been replaced.
        """
        try:
            if not self._broken and self._standing() == self._place:
                os.read(self._handle, _EVENTS_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            pass
        self._broken = True
        return False

    def close(self) -> None:
        os.close(self._handle)

    def _standing(self) -> tuple[int, int]:
        state = os.stat(self._root)
        return state.st_dev, state.st_ino


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno() or errno.EIO
        raise OSError(number, os.strerror(number))
    return result
