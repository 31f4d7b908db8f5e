"""What comes back from a sandbox, as values."""

from dataclasses import field
from enum import Enum, StrEnum, auto

from policies.frozen import dataclass


class Ending(StrEnum):
    """How a command ended."""

    EXITED = "exited"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    OUT_OF_DISK = "out of disk"
    HOST_DISK_LOW = "host disk low"
    """The disk of the host was filling up, by this command or by somebody else."""
    CANCELLED = "cancelled"
    """The operator ended it, or the run did."""
    LOST = "lost"
    """The guest died under it and was started again; the files are still there."""


class Leftovers(Enum):
    """What becomes of what a command leaves running when it has ended by itself."""

    END = auto()
    KEEP = auto()
    """It goes on, as a daemon does that the command has started; a command that is ended before its
    time ends with all of its own. Where it met the limit of processes, the next command ends it."""


class LimitMet(StrEnum):
    """A limit that the kernel or the guest held processes to, though it ended no command itself."""

    MEMORY = "memory"
    """Processes were killed for want of it."""
    PIDS = "pids"
    """Processes could not be started."""
    DISK = "disk"
    """Background processes were ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One stream of one command: all of it, or its head and its tail."""

    head: bytes
    tail: bytes = b""
    total_bytes: int = 0
    spill: str | None = None
    """File in the container that holds the whole stream (up to its own cap), where it was cut."""
    spilled_bytes: int = 0

    @property
    def cut(self) -> bool:
        return self.total_bytes > len(self.head) + len(self.tail)

    @property
    def data(self) -> bytes:
        """The bytes as they came; where some were left out, a line says how many and where."""
        if not self.cut:
            return self.head + self.tail
        missing = self.total_bytes - len(self.head) - len(self.tail)
        where = f"; the first {self.spilled_bytes} bytes are in {self.spill}" if self.spill else ""
        note = f"\n[... {missing} bytes left out{where} ...]\n"
        return self.head + note.encode() + self.tail


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    exit_code: int
    """As a shell reports it: 128 + N for signal N; 124 for a timeout."""
    ending: Ending
    out: Output
    err: Output
    duration_s: float
    cwd: str
    """Working directory of the next command, absolute in the container."""
    leftovers: int = 0
    """Processes the command left running, which were ended."""
    refused: tuple[str, ...] = ()
    """Absolute paths of programs that the kernel refused under it, as far as it shows: an attempt
    whose error is swallowed leaves no trace (`sandbox.guest.refusals`)."""
    limits: tuple[LimitMet, ...] = ()
    """Met since the command before ended."""

    @property
    def stdout(self) -> bytes:
        return self.out.data

    @property
    def stderr(self) -> bytes:
        return self.err.data


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundStatus:
    """A background process, and what it printed since it was last asked."""

    id: int
    exit_code: int | None
    """None while it runs."""
    out: Output
    err: Output


class FileType(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    name: bytes
    type: FileType
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    entries: tuple[DirectoryEntry, ...] = field(default=())
    cut: bool = False
    """Whether there are more than the limit."""
