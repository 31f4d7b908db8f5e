"""Every message between host and guest, and what its fields are called: one file for both sides.

Owns names and types (`message` says which there can be); bounds are for whoever reads a value.
"""

from __future__ import annotations

from sandbox.guest.message import Fields, GuestAnswer, HostRequest

SCRATCH = b"/tmp/.moonpool"
"""Where spilled output, output of background processes, long scripts and long input go."""

VOLUMES = b"/opt/moonpool/volumes"
"""Where a sandbox holds on to its volumes, out of everybody's reach."""

REFUSED_LIMIT = 32
"""How many refused programs one message names at most."""


def background_output(number: int, stream: int) -> bytes:
    """The file that holds what a background process prints (stream 1 or 2)."""
    return SCRATCH + b"/background-%d-%d" % (number, stream)


# -- opening ---------------------------------------------------------------------------------
class PathAccess(Fields):
    """A rule for the kernel."""

    path: bytes
    access: int
    """Bits of `policies.kernel.rules.Access`."""


class Variable(Fields):
    """One of the environment of commands."""

    name: bytes
    value: bytes


class GuestSetup(HostRequest):
    """The host's first words: what the guest is to enforce."""

    rules: list[PathAccess]
    workspace: bytes
    environment: list[Variable]
    keep_bytes: int
    """How much of a command's output is kept, of each stream."""
    disk_bytes: int
    lifetime_s: int
    probe: bytes | None
    """A program that the rules forbid, to try the kernel with."""
    since_ns: int
    """The file system's clock when the first guest of this container began; 0 for that one."""
    seal_memory: bool
    services: bool
    """Whether any will have to be started (`service_protocol`)."""


class SealFact(Fields):
    """Something that the guest sees of its own seal."""

    key: bytes
    value: bytes


class FirstWords(GuestAnswer):
    """What stands between the guest and the host, as the guest sees it."""

    abi: int
    """Version of the kernel's Landlock, which enforces the rules; 0 where there is none."""
    missing: list[bytes]
    """Paths of rules where nothing stands, or a link does."""
    facts: list[SealFact]
    probe_read: int | None
    """Error number of reading the probe, 0 for success; None where there was none to try."""
    probe_executed: int | None
    since_ns: int


class Done(GuestAnswer):
    """The request was done; where its answer comes in pieces, this is the last one."""


class RequestFailed(GuestAnswer):
    """The request was not done."""

    errno: int
    reason: bytes
    refused: list[bytes]
    """Programs that the kernel's rules refused, absolute."""


# -- commands --------------------------------------------------------------------------------
class ProgramRun(Fields):
    """A program without a shell."""

    argv: list[bytes]
    directory: bytes | None
    """Where it starts; None: where the last script ended."""
    variables: list[Variable]
    """Its own, beside or in place of those that all have."""
    keeps: bool
    """Whether what it leaves running goes on when it has ended by itself."""


class RunCommand(HostRequest):
    """A script or a program. Answered by `Printed` as it prints, and one `CommandEnd`."""

    script: bytes | None
    program: ProgramRun | None
    timeout_ms: int
    stdin: bytes | None
    stdin_file: bytes | None
    """The file to take standard input from, where it does not fit into `stdin`; it is removed."""


class Printed(GuestAnswer):
    stream: int
    """1 or 2."""
    data: bytes


class StreamEnd(Fields):
    """What there is of a stream beside what was printed; None stands for one that is empty."""

    tail: bytes
    total_bytes: int
    spill: bytes | None
    """The file that holds all of it, up to a limit."""
    spilled_bytes: int


class CommandEnd(GuestAnswer):
    exit_code: int
    ending: bytes
    """A value of `sandbox.results.Ending`."""
    out: StreamEnd | None
    err: StreamEnd | None
    directory: bytes
    """The next command's."""
    leftovers: int
    """Processes that it left running, which were ended."""
    refused: list[bytes]
    limits: list[bytes]
    """Values of `sandbox.results.LimitMet`, met since the command before ended."""


class StartProcess(HostRequest):
    """In the background; its number is the request's."""

    script: bytes


class PollProcess(HostRequest):
    """Answered by `ProcessState`."""

    process: int


class ProcessState(GuestAnswer):
    exit_code: int | None
    """None while it runs."""


class EndProcess(HostRequest):
    """A command or a background process, with all that it started."""

    process: int


class Freeze(HostRequest):
    """End everything but the guest. Answered by `Frozen`."""


class Frozen(GuestAnswer):
    ended: int
    """Processes."""


class Pause(HostRequest):
    """Have everything but the guest stand still."""


class GoOn(HostRequest):
    """Have it go on."""


class Prolong(HostRequest):
    """Live for a whole lifetime from now."""


# -- files -----------------------------------------------------------------------------------
class ReadPiece(HostRequest):
    """Answered by `FilePiece`."""

    path: bytes
    offset: int
    limit: int


class FilePiece(GuestAnswer):
    data: bytes
    size: int
    """Size of the whole file, in bytes."""


class WritePiece(HostRequest):
    path: bytes
    data: bytes
    append: bool
    """Whether the file has pieces before this one."""
    overwrite: bool


class DeletePath(HostRequest):
    path: bytes


class ListDirectory(HostRequest):
    """Answered by `Listed`."""

    path: bytes
    limit: int


class ListedEntry(Fields):
    name: bytes
    kind: bytes
    """``f``, ``d``, ``l``, or ``o`` for anything else."""
    size: int


class Listed(GuestAnswer):
    entries: list[ListedEntry]
    cut: bool
    """There are more."""


# -- the workspace ---------------------------------------------------------------------------
class WalkTree(HostRequest):
    """Answered by any number of `TreeChanges`, then `Done`."""

    start: bytes
    """A directory of the workspace; empty for all of it."""
    everything: bool
    """Not only what changed."""


class ChangedFile(Fields):
    path: bytes
    mode: int
    ctime_ns: int


class ChangedFolder(Fields):
    path: bytes
    names: list[bytes]
    """All its entries, or some of very many: each a kind's letter (as in `ListedEntry`) and the
    name."""


class TreeChanges(GuestAnswer):
    files: list[ChangedFile]
    folders: list[ChangedFolder]


class FetchFiles(HostRequest):
    """Answered by a `FileHead` for each path in turn with its `FileData` after it, then `Done`."""

    paths: list[bytes]
    limit: int
    """For all together, in bytes: the content of what does not fit is not sent."""


class FileHead(GuestAnswer):
    path: bytes
    mode: int
    """0: nothing stands there."""
    size: int


class FileData(GuestAnswer):
    data: bytes


class ListFolders(HostRequest):
    """Answered by any number of `OddFolders`, then `Done`."""


class OddFolder(Fields):
    """A directory that is empty, holds a ``.git``, or has another mode than most."""

    path: bytes
    mode: int
    empty: bool
    repository: bool


class OddFolders(GuestAnswer):
    folders: list[OddFolder]


# -- putting in place ------------------------------------------------------------------------
class PutFile(Fields):
    path: bytes
    mode: int
    """For a link its type, for a file its permission bits."""
    data: bytes
    offset: int
    """0 for the first piece, which takes away whatever stands there."""


class FolderMode(Fields):
    path: bytes
    mode: int


class RemoveFiles(HostRequest):
    """Answered by `Placed`, as all that follow. Paths that are gone already are fine."""

    rows: list[bytes]


class PutFiles(HostRequest):
    rows: list[PutFile]


class RemoveFolders(HostRequest):
    """Where they are empty."""

    rows: list[bytes]


class MakeFolders(HostRequest):
    rows: list[bytes]


class SetFolderModes(HostRequest):
    rows: list[FolderMode]


class NotPlaced(Fields):
    row: int
    """Which of the request's, from 0."""
    errno: int


class Placed(GuestAnswer):
    failed: list[NotPlaced]
