"""What takes disk space without a name any more, because a process holds it.

By descriptor, as a working directory, as the program it runs: that can be measured. A mapping says
how much of a file is mapped and not how large that is, and a file that was sent through a socket
and not yet received is in nobody's hands. Owns finding these; what follows is `disk`'s to say.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_IN_MEMORY = (b"/memfd:", b"/dev/", b"/SYSV", b"/[aio]", b"anon_inode:", b"/moonpool-services/")
_PATIENCE_S = 0.1
_ENAMETOOLONG = 36


class Unnamed:
    """One look at processes, which should stand still meanwhile."""

    def __init__(self, pids: Iterable[int] | None = None) -> None:
        """`pids`: which; None: all but the guest."""
        self._sizes: dict[tuple[int, int], int] = {}
        self._mapped: dict[tuple[int, int], int] = {}
        self._in_flight = False
        self._refused = False
        until = time.monotonic() + _PATIENCE_S
        if pids is None:
            pids = [int(name) for name in os.listdir(b"/proc") if name.isdigit() and name != b"1"]
        for pid in pids:
            while not self._looked_into(b"/proc/%d" % pid):
                if time.monotonic() > until:
                    self._refused = True
                    return
                time.sleep(0.001)

    def least(self) -> int:
        """Bytes that were found, which is the least that there is."""
        return sum({**self._mapped, **self._sizes}.values())

    def more(self) -> bool:
        """Whether there may be files, or larger ones than what was found.

        So there may where a process does not let us look. One that is about to start another
        program, or to end, does not either, but soon.
        """
        measured = self._mapped.keys() <= self._sizes.keys()
        return self._refused or self._in_flight or not measured

    def _looked_into(self, process: bytes) -> bool:
        try:
            for name in os.listdir(process + b"/task"):
                task = process + b"/task/" + name
                self._hold(task + b"/cwd")
                self._hold(task + b"/exe")
                for handle in os.listdir(task + b"/fd"):
                    if self._hold(task + b"/fd/" + handle):
                        self._in_flight |= _carries(task + b"/fdinfo/" + handle)
            self._map(process + b"/maps")
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended
        except PermissionError:
            return False
        return True

    def _hold(self, link: bytes) -> bool:
        """Take in what a link of a process leads to; True: it is a socket."""
        try:
            try:
                target = os.readlink(link)
                nameless = _on_disk(target)
            except OSError as error:
                if error.errno != _ENAMETOOLONG:
                    raise
                target = b""
                nameless = os.stat(link).st_nlink == 0
            if nameless:
                state = os.stat(link)
                self._sizes[state.st_dev, state.st_ino] = state.st_blocks * 512
        except FileNotFoundError:
            return False
        return target.startswith(b"socket:")

    def _map(self, path: bytes) -> None:
        with open(path, "rb") as lines:
            for line in lines:
                fields = line.rstrip(b"\n").split(None, 5)
                if len(fields) == 6 and _on_disk(fields[5]):
                    start, _, end = fields[0].partition(b"-")
                    major, _, minor = fields[3].partition(b":")
                    key = (os.makedev(int(major, 16), int(minor, 16)), int(fields[4]))
                    size = int(end, 16) - int(start, 16)
                    self._mapped[key] = max(self._mapped.get(key, 0), size)


def _carries(information: bytes) -> bool:
    """Whether descriptors wait in a socket."""
    try:
        with open(information, "rb") as lines:
            return any(
                line.startswith(b"scm_fds:") and line.split()[1:] != [b"0"] for line in lines
            )
    except FileNotFoundError:
        return False


def _on_disk(target: bytes) -> bool:
    return target.endswith(b" (deleted)") and not target.startswith(_IN_MEMORY)
