"""Where an opened sandbox has its container and its look at the workspace from, and whose that is.

A sandbox alone does all of it itself, on the spot. Those of one process may share: then what each
gets is still what it would have got alone. The process that made a container of a pool is named by
what no other ever has together: the machine's boot, the process namespace, the number in it and the
time of its start. So what a killed process leaves is known for that from then on, and what another
one still uses is never taken for it. The run that took it is the container's name, since an engine
changes no label of a container that stands.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from sandbox.container import opening
from sandbox.container.opening import StartedContainer
from sandbox.container.plan import OpeningPlan
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_POOL, LABEL_RUN, ContainerInfo
from sandbox.workspace.scan import Scan
from sandbox.workspace.source import HostSource, ImageSource


class ContainerSupply:
    """That of a sandbox alone; another one has its own way for what opens share."""

    def start(
        self, engine: Engine, plan: OpeningPlan, *, meanwhile: Callable[[], None]
    ) -> StartedContainer:
        """A container of that plan in which nothing has run; errors as for `opening.start`."""
        return opening.start(engine, plan, meanwhile=meanwhile)

    def discard(self, engine: Engine, started: StartedContainer) -> None:
        """Remove it with everything in it; errors as for `opening.discard`."""
        opening.discard(engine, started)

    def look(self, source: HostSource | ImageSource) -> Scan:
        """A look that began after this was called; errors as for `HostSource.glance`."""
        return source.glance()

    def walk(self, source: HostSource | ImageSource) -> str:
        """What `HostSource.walk` gives, likewise begun after this was called."""
        return source.walk()

    def copying(self, source: HostSource | ImageSource) -> AbstractContextManager[bool]:  # noqa: ARG002
        """Around making a copy; True where another may have made the same one meanwhile."""
        return nullcontext(False)


DIRECT = ContainerSupply()


_PREFIX = "moonpool."
_ID_LETTERS = 12


def this_process() -> str:
    """What names this process; empty on a system that does not say it."""
    return _named(os.getpid())


def _named(pid: int) -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The program's name stands in parentheses, and may hold some itself.
            after_name = file.read().rpartition(")")[2].split()
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {pid} {after_name[19]}"
    except (OSError, IndexError):
        return ""


def is_gone(process: str) -> bool:
    """Whether a process has ended, by its name here; False where that can't be told."""
    here = this_process().split(" ")
    boot, _, rest = process.partition(" ")
    namespace, _, rest = rest.partition(" ")
    if [boot, namespace] != here[:2]:
        return False
    number = rest.partition(" ")[0]
    return not number.isdecimal() or _named(int(number)) != process


def is_left(labels: Mapping[str, str]) -> bool:
    """Whether something carries the name of a process that has ended."""
    return is_gone(labels.get(LABEL_POOL, ""))


def name_for(run_id: str, container: str) -> str:
    """The name of a container that a run took. A run may have several."""
    return f"{_PREFIX}{run_id}.{container[:_ID_LETTERS]}"


def run_of(labels: Mapping[str, str], name: str) -> str:
    """The run that a container is of; empty for one that nobody took."""
    if LABEL_POOL not in labels or labels.get(LABEL_RUN):
        return labels.get(LABEL_RUN, "")
    run_id = name.removeprefix(_PREFIX).rpartition(".")[0]
    return run_id if name.startswith(_PREFIX) else ""


def is_waiting(row: ContainerInfo) -> bool:
    """Whether it was made ahead, and no run has it."""
    return LABEL_POOL in row.labels and not run_of(row.labels, row.name)
