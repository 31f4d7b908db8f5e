"""A command's output and end as the guest tells them, held to the limits."""

from collections.abc import Callable
from typing import Literal

from sandbox.container.spec import WORKSPACE
from sandbox.errors import SandboxLost
from sandbox.link.connection import Value
from sandbox.link.refused_programs import programs
from sandbox.results import CommandResult, Ending, LimitMet, Output

OnOutput = Callable[[Literal["stdout", "stderr"], bytes], None]

_ENDINGS = {
    b"exited": Ending.EXITED,
    b"timed out": Ending.TIMED_OUT,
    b"out of memory": Ending.OUT_OF_MEMORY,
    b"out of disk": Ending.OUT_OF_DISK,
    b"cancelled": Ending.CANCELLED,
}

_LIMITS = {limit.encode(): limit for limit in LimitMet}


class Receiver:
    """Gathers a command's output, and holds a guest to its limits."""

    def __init__(self, keep: int, on_output: OnOutput | None) -> None:
        self._keep = keep
        self._on_output = on_output
        self.disk_low = False
        """It was cancelled because the host's disk was filling up."""
        self._heads = {1: bytearray(), 2: bytearray()}

    def take(self, stream: int, data: bytes) -> bool:
        head = self._heads.get(stream)
        if head is None or len(head) + len(data) > self._keep:
            return False
        head += data
        if self._on_output is not None:
            self._on_output("stdout" if stream == 1 else "stderr", data)
        return True

    def result(self, rest: list[Value], duration_s: float) -> CommandResult:
        match rest:
            case [int() as code, bytes() as end, list() as out, list() as err, bytes() as cwd,
                  int() as leftovers, list() as refused, list() as limits] if (
                    end in _ENDINGS):  # fmt: skip
                return CommandResult(
                    exit_code=code,
                    ending=self._ending(end),
                    out=self._output(1, out),
                    err=self._output(2, err),
                    duration_s=duration_s,
                    cwd=cwd.decode("utf-8", "replace"),
                    leftovers=max(leftovers, 0),
                    refused=_programs(refused),
                    limits=tuple(_limit(name) for name in limits[: len(_LIMITS)]),
                )
            case _:
                raise SandboxLost("the guest's answer to a command is malformed")

    def _ending(self, end: bytes) -> Ending:
        ending = _ENDINGS[end]
        return Ending.HOST_DISK_LOW if self.disk_low and ending is Ending.CANCELLED else ending

    def _output(self, stream: int, rest: list[Value]) -> Output:
        match rest:
            case [bytes() as tail, int() as total, (None | bytes()) as spill, int() as spilled] if (
                len(tail) <= self._keep
            ):
                return Output(
                    head=bytes(self._heads[stream]),
                    tail=tail,
                    total_bytes=total,
                    spill=None if spill is None else spill.decode("utf-8", "replace"),
                    spilled_bytes=spilled,
                )
            case _:
                raise SandboxLost("the guest's answer to a command is malformed")

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


def _programs(rows: list[Value]) -> tuple[str, ...]:
    try:
        return programs(rows)
    except ValueError:
        raise SandboxLost("the guest's list of refused programs is malformed") from None


def _limit(row: Value) -> LimitMet:
    if isinstance(row, bytes) and row in _LIMITS:
        return _LIMITS[row]
    raise SandboxLost("the guest's list of limits is malformed")
