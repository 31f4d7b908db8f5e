"""A command's output and end as the guest tells them, held to the limits."""

from collections.abc import Callable
from typing import Literal

from policies.paths import WORKSPACE
from sandbox.errors import SandboxLost
from sandbox.guest.protocol import CommandEnd, StreamEnd
from sandbox.link import refused_programs
from sandbox.results import CommandResult, Ending, LimitMet, Output

OnOutput = Callable[[Literal["stdout", "stderr"], bytes], None]

_ENDINGS = {
    ending.encode(): ending
    for ending in (
        Ending.EXITED,
        Ending.TIMED_OUT,
        Ending.OUT_OF_MEMORY,
        Ending.OUT_OF_DISK,
        Ending.CANCELLED,
    )
}
"""The endings that the guest can tell of; the host finds out the others by itself."""
_LIMITS = len(LimitMet)


class Receiver:
    """Gathers a command's output, and holds a guest to its limits."""

    def __init__(self, keep: int, on_output: OnOutput | None) -> None:
        self._keep = keep
        self._on_output = on_output
        self.disk_low = False
        """Whether the command was cancelled because the host's disk was filling up."""
        self._heads = {1: bytearray(), 2: bytearray()}

    def take(self, stream: int, data: bytes) -> bool:
        """Take what was printed; False where that is more than a guest may send."""
        head = self._heads.get(stream)
        if head is None or len(head) + len(data) > self._keep:
            return False
        head += data
        if self._on_output is not None:
            self._on_output("stdout" if stream == 1 else "stderr", data)
        return True

    def result(self, end: CommandEnd, duration_s: float) -> CommandResult:
        """What a command came to.

        Raises:
            SandboxLost: the guest says what can't be.
        """
        try:
            return CommandResult(
                exit_code=end.exit_code,
                ending=self._ending(end.ending),
                out=self._output(1, end.out),
                err=self._output(2, end.err),
                duration_s=duration_s,
                cwd=end.directory.decode("utf-8", "replace"),
                leftovers=max(end.leftovers, 0),
                refused=refused_programs(end.refused),
                limits=tuple(LimitMet(name.decode("ascii")) for name in end.limits[:_LIMITS]),
            )
        except ValueError as error:
            raise SandboxLost(f"the guest's account of a command makes no sense: {error}") from None

    def _ending(self, name: bytes) -> Ending:
        ending = _ENDINGS.get(name)
        if ending is None:
            raise ValueError(f"{name!r:.40} is not for the guest to say")
        return Ending.HOST_DISK_LOW if self.disk_low and ending is Ending.CANCELLED else ending

    def _output(self, stream: int, end: StreamEnd | None) -> Output:
        head = bytes(self._heads[stream])
        if end is None:
            return Output(head=head, total_bytes=len(head))
        if len(end.tail) > self._keep:
            raise ValueError("more output than is kept")
        if end.tail and self._on_output is not None:
            # What came is the first of it; whoever watches wants to see how it ended.
            self._on_output("stdout" if stream == 1 else "stderr", b"\n" + end.tail)
        return Output(
            head=head,
            tail=end.tail,
            total_bytes=end.total_bytes,
            spill=None if end.spill is None else end.spill.decode("utf-8", "replace"),
            spilled_bytes=end.spilled_bytes,
        )

    def lost(self, duration_s: float, why: str) -> CommandResult:
        """The result of a command under which the guest died."""
        note = f"\n[the sandbox ended under this command ({why}) and was started again; "
        note += "files are as they were, running processes and exported variables are gone]\n"
        out, err = bytes(self._heads[1]), bytes(self._heads[2]) + note.encode()
        return CommandResult(
            exit_code=137,
            ending=Ending.LOST,
            out=Output(head=out, total_bytes=len(out)),
            err=Output(head=err, total_bytes=len(err)),
            duration_s=duration_s,
            cwd=WORKSPACE,
        )
