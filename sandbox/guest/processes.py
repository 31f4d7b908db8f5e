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
    # Process 1 and its child may mean all; anywhere else, all are the machine's.
    if pid == -1 and 1 not in (os.getpid(), os.getppid()):
        raise RuntimeError("not in a container: every process of this machine is meant")
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def others(aside: int = 0) -> list[tuple[int, int, int]]:
    """Ids of all processes but the guest, each with its parent and session.

    Args:
        aside: a process that is left out, with all that descend from it; 0: none.
    """
    found = [(pid, parent, session) for pid, parent, session, state in _all() if state != b"Z"]
    if not aside:
        return found
    below_it = _descendants(aside, found)
    return [row for row in found if row[0] not in below_it]


def below(top: int) -> list[tuple[int, bytes]]:
    """Ids of all processes that descend from one, each with the letter of its state."""
    found = _all()
    wanted = _descendants(top, [row[:3] for row in found]) - {top}
    return [(pid, state) for pid, _, _, state in found if pid in wanted]


def _descendants(top: int, found: list[tuple[int, int, int]]) -> set[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for pid, parent, _ in found:
        children.setdefault(parent, []).append(pid)
    wanted, waiting = {top}, [top]
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), ()) if pid not in wanted]
        wanted.update(new)
        waiting += new
    return wanted


def _all() -> list[tuple[int, int, int, bytes]]:
    """All processes but the guest: id, parent, session, the letter of the state."""
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
            if len(fields) > 4:
                found.append((int(name), int(fields[1]), int(fields[3]), fields[0]))
    return found


def unattached(found: list[tuple[int, int, int]], keep: set[int]) -> list[int]:
    """Processes that descend from none of `keep`, nor share a session with one."""
    parents = {pid: parent for pid, parent, _ in found}
    loose = []
    for pid, _, session in found:
        at = pid
        while at in parents and at not in keep:
            at = parents[at]
        if at not in keep and session not in keep:
            loose.append(pid)
    return loose


def end_unattached(keep: set[int], reap: Callable[[], bool], aside: int) -> int:
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
        doomed = unattached(others(aside), keep)
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


def end_all(reap: Callable[[], bool], aside: int) -> int:
    """Kill every process but the guest, in one call that no fork can outrun; gives the number."""
    count = len(others(aside))
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


def signal_others(number: int) -> None:
    """Send a signal to every process that this one may signal."""
    _signal(-1, number)


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
    return int((b"\n" + text).partition(b"\n" + key + b" ")[2].partition(b"\n")[0] or 0)
