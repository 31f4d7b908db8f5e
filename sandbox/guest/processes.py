"""All processes of the container but the guest: which there are, and their end.

Owns the ways to kill that no fork can outrun. Refuses to know commands: who is to be kept is
said by process id, and ended children are taken by the caller's `reap`.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S = 5.0
_SIGKILL = 9
_SIGSTOP = 19
_SIGCONT = 18


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def _others() -> list[tuple[int, int, int]]:
    """Ids of all processes but the guest, each with its parent and session."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1":
            try:
                handle = os.open("/proc/" + name + "/stat", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fields = os.read(handle, 4096).rpartition(b")")[2].split()
            except OSError:
                continue
            finally:
                os.close(handle)
            if len(fields) > 4 and fields[0] != b"Z":
                found.append((int(name), int(fields[1]), int(fields[3])))
    return found


def unattached(others: list[tuple[int, int, int]], keep: set[int]) -> list[int]:
    """Processes that descend from none of `keep`, nor share a session with one."""
    parents = {pid: parent for pid, parent, _ in others}
    found = []
    for pid, _, session in others:
        at = pid
        while at in parents and at not in keep:
            at = parents[at]
        if at not in keep and session not in keep:
            found.append(pid)
    return found


def end_unattached(keep: set[int], reap: Callable[[], bool]) -> int:
    """Kill all that is not plainly part of one of `keep`; gives the number.

    Double forks and new sessions leave no trace of who started them, so the question is
    turned round: what stays is what hangs on a process that should live.
    """
    killed: set[int] = set()
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        # Stopped, so that nothing can fork while we choose.
        if not _signal(-1, _SIGSTOP):
            break
        doomed = unattached(_others(), keep)
        if not doomed:
            break
        for pid in doomed:
            _signal(pid, _SIGKILL)
        killed.update(doomed)
        reap()
        time.sleep(0.001)
    _signal(-1, _SIGCONT)
    reap()
    return len(killed)


def end_all(reap: Callable[[], bool]) -> int:
    """Kill every process but the guest, in one call that no fork can outrun; gives the number."""
    count = len(_others())
    if not _signal(-1, _SIGKILL):
        return 0
    until = time.monotonic() + _PATIENCE_S
    while reap() and time.monotonic() < until:
        time.sleep(0.001)
    return count


def exit_code(status: int) -> int:
    """As a shell reports what waitpid gave: 128 + N for signal N."""
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def stop_others() -> None:
    """Have every process but the guest stand still."""
    _signal(-1, _SIGSTOP)


def continue_others() -> None:
    """Have every process but the guest go on."""
    _signal(-1, _SIGCONT)


def counted(counter: int, key: bytes) -> int:
    """A count that the kernel keeps of a cgroup; `counter` is the open file, below 0 for none."""
    if counter < 0:
        return 0
    try:
        text = os.pread(counter, 4096, 0)
    except OSError:
        return 0
    for line in text.splitlines():
        name, _, value = line.partition(b" ")
        if name == key:
            return int(value)
    return 0
