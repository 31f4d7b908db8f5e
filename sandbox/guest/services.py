"""What the guest says to the supervisor of services, from the thread that serves the host.

A service is none of the guest's commands: it can't be signalled from here, and is no leftover.
"""

from __future__ import annotations

from sandbox.guest.service_protocol import ServiceStarted, StartService
from sandbox.guest.supervisor import BEGIN, END, GO_ON, STOP, next_frame, write_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Services:
    """Starts them, and has them stand still and go on."""

    def __init__(self, pid: int, requests: int, answers: int) -> None:
        self.pid = pid
        """The supervisor's: all services descend from it."""
        self._requests = requests
        self._answers = answers
        self.still = False
        """They were stopped, and nothing has had them go on."""

    def start(self, _: int, wanted: StartService) -> ServiceStarted:
        """Nothing else is answered meanwhile, and no command runs yet."""
        ending, code, waited_ms, printed, ready_printed = self._ask(BEGIN, *wanted)
        return ServiceStarted(
            ending=ending,
            exit_code=code,
            waited_ms=waited_ms,
            printed=printed,
            ready_printed=ready_printed,
        )

    def stop(self) -> tuple[int, bool]:
        """Have all stand still, which they do when this returns; gives what they hold without a
        name, in bytes, and whether there may be more."""
        self.still = True
        least, more = self._ask(STOP)
        return least, bool(more)

    def go_on(self) -> None:
        """Have them go on, where they stand still."""
        if self.still:
            self.still = False
            self._ask(GO_ON)

    def end(self) -> None:
        """End all of them for good."""
        self._ask(END)

    def _ask(self, word: bytes, *values: Any) -> Any:
        write_frame(self._requests, [word, *values])
        answer = next_frame(self._answers)
        if answer is None:
            raise RuntimeError("the supervisor of services ended")
        return answer
