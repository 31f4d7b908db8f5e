"""One container over its life: the link to its guest, and what happens when the guest dies."""

import contextlib
import threading
from collections.abc import Callable
from functools import partial

from sandbox.container import opening
from sandbox.container.host_disk import EngineDisk, HostDisk
from sandbox.container.opening import StartedContainer
from sandbox.container.plan import OpeningPlan
from sandbox.engine.docker import Engine
from sandbox.errors import ContainerGone, FileMissing, SandboxError, SandboxLost
from sandbox.guest.message import HostRequest
from sandbox.guest.protocol import Done, Prolong
from sandbox.link.connection import A, GuestLink

_RESTARTS = 3
"""A guest that dies more often than this has no honest reason to."""


class Session:
    """A started container, and the right to start it again."""

    def __init__(
        self,
        engine: Engine,
        plan: OpeningPlan,
        started: StartedContainer,
        *,
        discard: Callable[[StartedContainer], None] | None = None,
    ) -> None:
        """`discard` removes the container in the end, where that is not ours to do."""
        self._discard = discard or partial(opening.discard, engine)
        self.engine = engine
        self.plan = plan
        self.started = started
        self._reviving = threading.Lock()
        self._restarts = 0
        self._closed = False
        self._doomed: str | None = None
        self.disk_low = threading.Event()
        """The host's disk is filling up: the running command is to end."""
        self._disk = HostDisk(EngineDisk(engine), end_command=self.disk_low.set, kill=self._kill)

    @property
    def link(self) -> GuestLink:
        return self.started.link

    def ask(self, request: HostRequest, kind: type[A]) -> A:
        """Ask the guest; where it has died, start it again and ask once more.

        Raises:
            FileError: the guest's kernel refused it.
            SandboxLost: the guest does not come back.
        """
        link = self.link
        try:
            return link.ask(request, kind)
        except SandboxLost as lost:
            self.revive(lost, link)
            return self.link.ask(request, kind)

    def revive(self, lost: SandboxLost, link: GuestLink | None = None) -> None:
        """Start a dead guest again.

        Args:
            link: the one that it was lost on; nothing is done where another thread has seen to it.

        Raises:
            SandboxLost: it died too often, or does not come back.
        """
        with self._reviving:
            if link is not None and link is not self.link:
                return
            if self._doomed is not None:
                raise SandboxLost(self._doomed) from lost
            self._restarts += 1
            if self._closed or self._restarts > _RESTARTS:
                raise lost
            self.started = opening.restart(self.engine, self.plan, self.started)

    def rouse(self) -> bool:
        """Have the guest live for a whole lifetime from now; True where it had to be started again.

        That is the operator's doing, and does not count as a death of its own.

        Raises:
            SandboxLost: it does not come back.
        """
        link = self.link
        if link.lost is None:
            try:
                link.ask(Prolong(), Done)
            except SandboxLost:
                pass
            else:
                return False
        with self._reviving:
            if link is self.link:
                if self._doomed is not None or self._closed:
                    raise SandboxLost(self._doomed or "the sandbox was closed")
                self.started = opening.restart(self.engine, self.plan, self.started)
        return True

    def stay_down(self) -> None:
        """Never start the guest: only the engine is asked any more."""
        self._restarts = _RESTARTS

    def is_gone(self) -> bool:
        """Whether the container was removed, or is being removed: nothing can be had from it."""
        try:
            state = self.engine.inspect(self.started.container).get("State") or {}
        except ContainerGone:
            return True
        except SandboxError:
            return False
        return state.get("Status") in {"removing", "dead"}

    def _kill(self, why: str) -> None:
        """End the container for good, from the thread that watches the host."""
        self._doomed = why
        self.link.give_up(why)
        with contextlib.suppress(SandboxError):
            self.engine.kill(self.started.container)

    def close(self) -> None:
        """Remove the container with everything in it."""
        if not self._closed:
            self._closed = True
            self._disk.stop()
            self._discard(self.started)


def path_bytes(path: str) -> bytes:
    """A path as the guest takes it.

    Raises:
        FileMissing: no file can have that name.
    """
    name = path.encode("utf-8", "surrogateescape")
    if b"\0" in name or not name:
        raise FileMissing("no file can have that name")
    return name
