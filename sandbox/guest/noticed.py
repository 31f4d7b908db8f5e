"""What the kernel held commands to, until the host is told: limits met, programs refused.

Counts come from the kernel itself, refused programs from `refusals`; neither from a command's word.
"""

from __future__ import annotations

from sandbox.guest import processes, refusals
from sandbox.guest.protocol import REFUSED_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.guest.loop import GuestConfig
    from sandbox.guest.shellstate import ShellState


class Noticed:
    """Limits by name (`memory`, `pids`, `disk`) and programs by path."""

    def __init__(self, config: GuestConfig, shell: ShellState) -> None:
        self._shell = shell
        self._counters = (
            (b"memory", config.oom_counter, b"oom_kill"),
            (b"pids", config.pids_counter, b"max"),
        )
        self._counts = {name: processes.counted(file, key) for name, file, key in self._counters}
        self._rules = refusals.Refusals(config.executable) if config.executable else None
        self.limits: dict[bytes, None] = {}
        self._programs: dict[bytes, None] = {}
        self._crowded = False

    def look_at_counters(self) -> None:
        """Note the limits that the kernel has held processes to since the last look."""
        for name, file, key in self._counters:
            count = processes.counted(file, key)
            if count != self._counts[name]:
                self._counts[name] = count
                self.limits[name] = None
                self._crowded = self._crowded or name == b"pids"

    def crowded(self) -> bool:
        """Whether the limit of processes was met since the last time that this was asked; what the
        host was told of it meanwhile counts too."""
        self.look_at_counters()
        crowded, self._crowded = self._crowded, False
        return crowded

    def look_at_output(self, code: int, texts: list[bytes], script: bytes) -> None:
        """Note the refused programs that a command's end speaks of."""
        if self._rules is not None and refusals.suspicious(code, texts):
            for program in self._refused(refusals.words(code, texts, script)):
                self._programs[program] = None

    def not_started(self, program: bytes) -> list[bytes]:
        """`program` again, by its path, if it is the kernel's rules that refused it."""
        return self._refused([program])

    def _refused(self, names: list[bytes]) -> list[bytes]:
        if self._rules is None:
            return []
        shell = self._shell
        path = shell.environment.get(b"PATH", b"") + b":" + b":".join(shell.path)
        return self._rules.among(names, [shell.directory, shell.workspace], path)

    def told(self) -> tuple[list[bytes], list[bytes]]:
        """Programs and limits, for the host; they are forgotten here."""
        programs, limits = list(self._programs)[:REFUSED_LIMIT], list(self.limits)
        self._programs.clear()
        self.limits.clear()
        return programs, limits
