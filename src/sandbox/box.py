"""The sandbox as others use it: open, run, read, write, export, close."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from policies.policy import Policy
from sandbox import export, opening, snapshot
from sandbox.engine import Engine
from sandbox.errors import (
    EngineError,
    FileError,
    FileMissing,
    ImageUnusable,
    SandboxError,
    SandboxLost,
)
from sandbox.guest.wire import PIECE
from sandbox.link import GuestLink, Value, file_error
from sandbox.manifest import Manifest
from sandbox.opening import Plan, Started
from sandbox.patch import LeftOut, Patch
from sandbox.prepare import PreparedImage, prepare
from sandbox.receiving import OnOutput, Receiver
from sandbox.results import (
    BackgroundStatus,
    CommandResult,
    DirectoryEntry,
    FileType,
    Listing,
    Output,
)
from sandbox.seal import KernelPolicy, SealReport
from sandbox.snapshot import Memory, Snapshot
from sandbox.workspace import Look, scan

_GRACE_S = 15.0
"""How long after a command's own time limit the guest may take to say so."""
_RESTARTS = 3
_READ_LIMIT = 64 << 20
_LIST_LIMIT = 2000
_SCRATCH = "/tmp/.moonpool"  # noqa: S108 - in the container

_TYPES = {b"f": FileType.FILE, b"d": FileType.DIRECTORY, b"l": FileType.SYMLINK}


class Sandbox:
    """A sealed container that holds a copy of a workspace. Use as a context manager.

    Not to be shared between threads, `cancel` excepted.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        plan: Plan,
        started: Started,
        copied: Snapshot,
        workspace: Path,
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._started = started
        self._snapshot = copied
        self._workspace = workspace
        self._manifest: Manifest | None = None
        self._restarts = 0
        self._cancelled = threading.Event()
        self._closed = False

    @classmethod
    def open(
        cls,
        *,
        workspace: Path,
        policy: Policy,
        image: str | None = None,
        run_id: str = "",
        may_ask: bool = False,
        kernel_policy: KernelPolicy = KernelPolicy.REQUIRE,
        engine: Engine | None = None,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> Self:
        """Copy a workspace into a fresh sealed container.

        Args:
            workspace: a directory on the host, git or not; it is only read.
            image: an engine's image reference; None: what the policy names, as
                ``moonpool image build`` left it.
            may_ask: somebody can be asked, so programs with ``ask: true`` may run.

        Raises:
            EngineUnavailable, EngineError: no engine, or it fails.
            ImageUnusable: the image is missing or has no python3.
            WorkspaceError: the workspace can't be copied as it is.
            KernelUnsupported: the kernel can't enforce the policy.
            SealBroken: what runs is not what was planned; nothing was run in it.
        """
        engine = engine or Engine.connect()
        prepared = _prepared(engine, policy, image, on_progress)
        memory = Memory(workspace, policy.workspace, prepared)

        def planned(image_ref: str) -> Plan:
            return opening.plan(
                policy,
                prepared,
                snapshot_image=image_ref,
                run_id=run_id,
                may_ask=may_ask,
                kernel_policy=kernel_policy,
            )

        recalled = memory.recall()
        if recalled is not None:
            fingerprint, racy, known = recalled
            # Looking through a large tree takes as long as a good part of the start, so both go
            # at once: the container is used only if the tree turns out to be the remembered one.
            look = Look(workspace)
            plan = planned(known.image)
            started = _started_or_none(engine, plan)
            looked = look.result(lambda: _discard(engine, started))
            if started is not None and snapshot.unchanged(looked, fingerprint, racy):
                return cls(
                    engine=engine, plan=plan, started=started, copied=known, workspace=workspace
                )
            _discard(engine, started)
        else:
            looked = scan(workspace)
        copied, manifest = snapshot.take(
            engine, looked, policy.workspace, prepared, on_progress=on_progress
        )
        memory.keep(looked, copied, manifest)
        plan = planned(copied.image)
        started = opening.start(engine, plan)
        return cls(engine=engine, plan=plan, started=started, copied=copied, workspace=workspace)

    def fresh(self) -> Self:
        """Another sandbox from the same baseline, in which nothing has run."""
        return type(self)(
            engine=self._engine,
            plan=self._plan,
            started=opening.start(self._engine, self._plan),
            copied=self._snapshot,
            workspace=self._workspace,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the container with everything in it."""
        if not self._closed:
            self._closed = True
            self._link.close()
            self._engine.remove(self.id)

    # -- what it is ------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The container's id."""
        return self._started.container

    @property
    def seal(self) -> SealReport:
        return self._started.seal

    @property
    def left_behind(self) -> tuple[LeftOut, ...]:
        """What of the workspace was not copied in, and why."""
        return self._snapshot.left_out

    @property
    def manifest(self) -> Manifest:
        """What was copied in."""
        if self._manifest is None:
            self._manifest = self._snapshot.manifest()
        return self._manifest

    @property
    def _link(self) -> GuestLink:
        return self._started.link

    # -- commands --------------------------------------------------------------------------

    def run(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
    ) -> CommandResult:
        """Run shell text in a fresh bash; directory and exported variables carry over.

        Args:
            timeout_s: at most the policy's ``command_timeout``, which is the default.
            on_output: gets output as it comes, up to half of the policy's output limit.

        Raises:
            SandboxLost: the container is gone and does not come back.
        """
        script = command.encode("utf-8", "surrogateescape")
        return self._command(None, script, timeout_s, stdin, on_output)

    def run_program(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
    ) -> CommandResult:
        """Run one program without a shell.

        Raises:
            FileError: it does not exist, or the kernel refuses it under the policy.
            SandboxLost: as for `run`.
        """
        words = [word.encode("utf-8", "surrogateescape") for word in argv]
        return self._command(words, None, timeout_s, stdin, None)

    def cancel(self) -> None:
        """End the command that runs now; callable from a signal handler or another thread."""
        self._cancelled.set()

    def _command(
        self,
        argv: list[bytes] | None,
        script: bytes | None,
        timeout_s: float | None,
        stdin: bytes | None,
        on_output: OnOutput | None,
    ) -> CommandResult:
        limit_s = self._plan.policy.limits.command_timeout_s
        timeout_s = limit_s if timeout_s is None else max(0.001, min(timeout_s, limit_s))
        if b"\0" in (script or b"") or any(b"\0" in word for word in argv or ()):
            raise FileError("a command can't hold a NUL byte")
        self._cancelled.clear()
        began = time.monotonic()
        receiver = Receiver(self._plan.policy.limits.output_bytes, on_output)
        try:
            number, source = self._feed(stdin)
            words: Value = None if argv is None else list(argv)
            self._link.send(b"run", number, words, script, int(timeout_s * 1000) + 1, source)
            rest = self._await_end(number, receiver, began + timeout_s + _GRACE_S)
        except SandboxLost as lost:
            # The link may have been lost before this command, which then never ran.
            self._revive(lost)
            return receiver.lost(time.monotonic() - began, str(lost))
        return receiver.result(rest, time.monotonic() - began)

    def _feed(self, stdin: bytes | None) -> tuple[int, Value]:
        """The number of a command, and its standard input as the guest wants it."""
        number = self._link.next_number()
        if stdin is None or len(stdin) <= PIECE:
            return number, stdin
        path = f"{_SCRATCH}/stdin-{number}"
        self._write_pieces(path, stdin, overwrite=True)
        return number, [path.encode()]

    def _await_end(self, number: int, receiver: "Receiver", until: float) -> list[Value]:
        asked = False

        def on_tick() -> None:
            nonlocal asked
            if self._cancelled.is_set() and not asked:
                asked = True
                self._link.send(b"cancel", self._link.next_number(), number)

        while True:
            kind, *rest = self._link.receive(until=until, on_tick=on_tick)
            on_tick()
            if not rest or rest[0] != number:
                continue
            match kind, rest[1:]:
                case b"out", [int() as stream, bytes() as data]:
                    if not receiver.take(stream, data):
                        raise SandboxLost("the guest sent more output than it may")
                case b"done", end:
                    return end
                case b"err", end:
                    raise file_error(end)
                case _:
                    raise SandboxLost("the guest's answer to a command is malformed")

    def start(self, command: str) -> int:
        """Start shell text in the background; gives an id for `poll` and `stop`."""
        number = self._link.next_number()
        script = command.encode("utf-8", "surrogateescape")
        self._link.send(b"start", number, script)
        while True:
            kind, *rest = self._link.receive(until=time.monotonic() + _GRACE_S)
            if rest and rest[0] == number:
                if kind == b"err":
                    raise file_error(rest[1:])
                return number

    def poll(self, background: int) -> BackgroundStatus:
        """Whether a background process still runs, and its output so far.

        Raises:
            FileMissing: there is none of that id.
        """
        answer = self._link.ask("poll", background)
        code = answer[0] if answer and isinstance(answer[0], int) else None
        keep = self._plan.policy.limits.output_bytes
        out, err = (self._background_output(background, stream, keep) for stream in (1, 2))
        return BackgroundStatus(id=background, exit_code=code, out=out, err=err)

    def stop(self, background: int) -> BackgroundStatus:
        """End a background process with all it started."""
        self._link.ask("cancel", background)
        return self.poll(background)

    def _background_output(self, background: int, stream: int, keep: int) -> Output:
        path = f"{_SCRATCH}/background-{background}-{stream}"
        head, size = self._read_piece(path, 0, keep // 2)
        start = max(len(head), size - keep // 2)
        tail = self._read_piece(path, start, keep // 2)[0] if size > len(head) else b""
        return Output(
            head=head, tail=tail, total_bytes=max(size, len(head)), spill=path, spilled_bytes=size
        )

    # -- files -----------------------------------------------------------------------------

    def read_file(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes of a file; paths are relative to the workspace or absolute in the container.

        Raises:
            FileMissing, FileDenied, FileWrongType: as the container's kernel says.
            FileError: it is larger than 64 MiB and no limit is given.
        """
        wanted = _READ_LIMIT + 1 if limit is None else limit
        pieces: list[bytes] = []
        have = 0
        while have < wanted:
            piece, _ = self._read_piece(path, offset + have, min(PIECE, wanted - have))
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
            if len(piece) < PIECE:
                break
        if limit is None and have > _READ_LIMIT:
            raise FileError(f"is larger than {_READ_LIMIT} bytes: read it in parts")
        return b"".join(pieces)

    def _read_piece(self, path: str, offset: int, size: int) -> tuple[bytes, int]:
        match self._ask("read", _path(path), offset, size):
            case [bytes() as data, int() as total] if len(data) <= size:
                return data, total
            case _:
                raise SandboxLost("the guest's answer to a read is malformed")

    def write_file(self, path: str, data: bytes, *, overwrite: bool = True) -> None:
        """Write a file, making its parent folders.

        Raises:
            FileExists: there is one, and `overwrite` is False.
            FileDenied, FileWrongType: as the container's kernel says.
        """
        self._write_pieces(path, data, overwrite=overwrite)

    def _write_pieces(self, path: str, data: bytes, *, overwrite: bool) -> None:
        name = _path(path)
        self._ask("write", name, data[:PIECE], 0, int(overwrite))
        for at in range(PIECE, len(data), PIECE):
            self._ask("write", name, data[at : at + PIECE], 1, 1)

    def delete_file(self, path: str) -> None:
        """Remove a file or a link; FileWrongType for a directory."""
        self._ask("delete", _path(path))

    def list_dir(self, path: str = ".") -> Listing:
        """What stands in a directory, at most 2,000 entries."""
        match self._ask("list", _path(path), _LIST_LIMIT):
            case [list() as rows, int() as cut]:
                entries = []
                for row in rows[:_LIST_LIMIT]:
                    match row:
                        case [bytes() as name, bytes() as kind, int() as size]:
                            entries.append(
                                DirectoryEntry(
                                    name=name,
                                    type=_TYPES.get(kind, FileType.OTHER),
                                    size_bytes=size,
                                )
                            )
                entries.sort(key=lambda entry: entry.name)
                return Listing(entries=tuple(entries), cut=bool(cut))
            case _:
                raise SandboxLost("the guest's answer to a listing is malformed")

    def _ask(self, name: str, *arguments: Value) -> list[Value]:
        """Ask the guest; where it has died, start it again and ask once more."""
        try:
            return self._link.ask(name, *arguments)
        except SandboxLost as lost:
            self._revive(lost)
            return self._link.ask(name, *arguments)

    def _revive(self, lost: SandboxLost) -> None:
        """Start a dead guest again.

        Raises:
            SandboxLost: it died too often, or does not come back.
        """
        self._restarts += 1
        if self._closed or self._restarts > _RESTARTS:
            raise lost
        self._started = opening.restart(self._engine, self._plan, self._started)

    # -- the patch -------------------------------------------------------------------------

    def export(self) -> Patch:
        """End everything that runs, and make the patch: proved before it is given.

        Raises:
            SandboxLost: neither the guest nor the engine can say what stands in the container.
            PatchError: the patch can't be made or proved.
        """
        with contextlib.suppress(SandboxError):
            if self._link.lost is not None:
                self._revive(SandboxLost(self._link.lost))
        return export.export(
            engine=self._engine,
            started=self._started,
            copied=self._snapshot,
            manifest=self.manifest,
            policy=self._plan.policy,
            workspace=self._workspace,
        )

    def apply(self, patch: Patch) -> None:
        """Put a proved patch's result in place, for a verification.

        Raises:
            FileError: the policy lets nothing be written where the patch does.
        """
        export.apply(
            engine=self._engine,
            started=self._started,
            copied=self._snapshot,
            manifest=self.manifest,
            workspace=self._workspace,
            patch=patch,
        )


def _prepared(
    engine: Engine, policy: Policy, image: str | None, on_progress: Callable[[str], None]
) -> PreparedImage:
    ref = image or f"moonpool/{policy.image}:latest"
    info = engine.image(ref)
    if info is None:
        raise ImageUnusable(
            f"there is no image {ref}: build it with `moonpool image build {policy.image}`"
        )
    return prepare(engine, info, on_progress=on_progress)


def _started_or_none(engine: Engine, plan: Plan) -> Started | None:
    """Start from a remembered snapshot; None where the engine no longer has it."""
    if engine.image(plan.snapshot_image) is None:
        return None
    try:
        return opening.start(engine, plan)
    except EngineError:
        return None


def _discard(engine: Engine, started: Started | None) -> None:
    if started is not None:
        started.link.close()
        engine.remove(started.container)


def _path(path: str) -> bytes:
    name = path.encode("utf-8", "surrogateescape")
    if b"\0" in name or not name:
        raise FileMissing("no file can have that name")
    return name
