"""Where an opened sandbox has its container and its look at the workspace from, and who removes it.

A sandbox alone does all of it itself, on the spot. Those of one process may share: then what each
gets is still what it would have got alone.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from sandbox.container import opening
from sandbox.container.opening import StartedContainer
from sandbox.container.plan import OpeningPlan
from sandbox.engine.docker import Engine
from sandbox.workspace.scan import Scan
from sandbox.workspace.source import HostSource, ImageSource


class ContainerSupply(Protocol):
    """What opens share."""

    def start(
        self, engine: Engine, plan: OpeningPlan, *, meanwhile: Callable[[], None]
    ) -> StartedContainer:
        """A container of that plan in which nothing has run; errors as for `opening.start`."""

    def discard(self, engine: Engine, started: StartedContainer) -> None:
        """Remove it with everything in it; errors as for `opening.discard`."""

    def look(self, source: HostSource | ImageSource) -> Scan:
        """A look that began after this was called; errors as for `HostSource.glance`."""

    def walk(self, source: HostSource | ImageSource) -> str:
        """What `HostSource.walk` gives, likewise begun after this was called."""

    def copying(self, source: HostSource | ImageSource) -> AbstractContextManager[bool]:
        """Around making a copy; True where another may have made the same one meanwhile."""


class DirectSupply:
    """Of a sandbox alone."""

    def start(
        self, engine: Engine, plan: OpeningPlan, *, meanwhile: Callable[[], None]
    ) -> StartedContainer:
        return opening.start(engine, plan, meanwhile=meanwhile)

    def discard(self, engine: Engine, started: StartedContainer) -> None:
        opening.discard(engine, started)

    def look(self, source: HostSource | ImageSource) -> Scan:
        return source.glance()

    def walk(self, source: HostSource | ImageSource) -> str:
        return source.walk()

    def copying(self, source: HostSource | ImageSource) -> AbstractContextManager[bool]:  # noqa: ARG002
        return nullcontext(False)


DIRECT = DirectSupply()
