"""What is said of services between host and guest; known only where a policy has some."""

from __future__ import annotations

from sandbox.guest.message import GuestAnswer, HostRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.guest.protocol import PathAccess


class StartService(HostRequest):
    """Answered by `ServiceStarted`, once it is ready or will not be."""

    directory: bytes
    """Its own, absolute."""
    command: bytes
    ready: bytes
    timeout_ms: int
    rules: list[PathAccess]


class ServiceStarted(GuestAnswer):
    ending: bytes
    """``ready``, ``ended`` or ``timed out``."""
    exit_code: int | None
    """Of the command that starts it; None while it runs."""
    waited_ms: int
    printed: bytes
    """The last of what it printed."""
    ready_printed: bytes
    """Likewise of the last try of its ready line, where that failed."""
