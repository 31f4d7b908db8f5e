"""A box without an engine: commands are subprocesses in a temporary directory.

For tests of what is above the sandbox. It seals nothing: never give it a command that is not the
test's own. Patches are made and proved by the real `sandbox.patch`.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.tools.sandbox_protocol import OnOutput
from sandbox.container.opening import ContainerState
from sandbox.container.plan import BroughtFiles
from sandbox.container.seal import SealReport
from sandbox.errors import FileExists, FileMissing, FileWrongType, NotKept, SandboxError
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, Manifest, ManifestEntry, Trees, blob_id
from sandbox.git.store import Store
from sandbox.patch import baseline
from sandbox.patch.make import make_patch
from sandbox.patch.values import LeftOut, Patch
from sandbox.results import (
    BackgroundStatus,
    CommandResult,
    DirectoryEntry,
    Ending,
    FileType,
    Listing,
    Output,
)
from sandbox.tracking import Mark, Restored, Step

SEAL = SealReport(
    kernel_enforced=True,
    landlock_abi=6,
    cap_eff=0,
    cap_bnd=0,
    no_new_privs=True,
    seccomp=2,
    uid=1000,
    interfaces=("lo",),
    noexec=(),
    memory_sealed=True,
    moves_copy=True,
    probed=None,
    missing=(),
    notes=(),
)
"""What a real sandbox reads back; this one seals nothing."""


@dataclass
class TmpBox:
    """Fits `agent.tools.sandbox_protocol.SandboxProtocol`.

    Failures can be set: each is raised by the next call of that name.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    seal: SealReport = SEAL
    left_behind: tuple[LeftOut, ...] = ()
    failures: dict[str, Exception] = field(default_factory=dict)
    opened: list["TmpBox"] = field(default_factory=list)
    """Every fresh box that was made of this one."""

    def __post_init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fake-box-"))
        self.workspace = self.root / "workspace"
        self.workspace.mkdir()
        for name, data in self.files.items():
            path = self.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.id = hashlib.sha256(str(self.root).encode()).hexdigest()
        self.cwd = self.workspace
        self.calls: list[str] = []
        self.closed = False
        self.broken_off = False
        self._backgrounds: dict[int, subprocess.Popen[bytes]] = {}
        self._running: subprocess.Popen[bytes] | None = None
        self._cancelled = False
        self._seen: dict[bytes, ManifestEntry] | None = None

    @property
    def manifest(self) -> Manifest:
        entries = {
            os.fsencode(name): ManifestEntry(FILE, blob_id(data), len(data))
            for name, data in self.files.items()
        }
        return Manifest(entries=entries, tracked=None, rule_files={})

    @property
    def base_tree(self) -> str:
        return Trees.of(self.manifest.entries).root

    @property
    def container_state(self) -> ContainerState:
        return ContainerState(
            container=self.id, prepared_key="", snapshot_key="", since_ns=0, mounts=(), volumes=()
        )

    # -- commands --------------------------------------------------------------------------

    def run(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
    ) -> CommandResult:
        self._called("run", command)
        return self._finish(["bash", "-c", command], timeout_s, stdin, on_output)

    def run_program(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
    ) -> CommandResult:
        self._called("run_program", " ".join(argv))
        if shutil.which(argv[0]) is None:
            raise FileMissing(f"{argv[0]}: no such program")
        return self._finish(list(argv), timeout_s, stdin, None)

    def _finish(
        self,
        argv: list[str],
        timeout_s: float | None,
        stdin: bytes | None,
        on_output: OnOutput | None,
    ) -> CommandResult:
        started = time.monotonic()
        ending = Ending.EXITED
        try:
            with subprocess.Popen(
                argv,
                cwd=self.cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(),
                process_group=0,
            ) as self._running:
                if self._cancelled:
                    _kill(self._running)
                try:
                    out, err = self._running.communicate(stdin or b"", timeout_s)
                except BaseException:
                    _kill(self._running)
                    raise
                code = self._running.returncode
            if self._cancelled:
                ending = Ending.CANCELLED
        except subprocess.TimeoutExpired as late:
            ending, code = Ending.TIMED_OUT, 124
            out, err = late.stdout or b"", late.stderr or b""
        finally:
            self._running, self._cancelled = None, False
        if on_output is not None:
            streams: tuple[tuple[Literal["stdout", "stderr"], bytes], ...]
            streams = (("stdout", out), ("stderr", err))
            for stream, data in streams:
                if data:
                    on_output(stream, data)
        return CommandResult(
            exit_code=code,
            ending=ending,
            out=Output(head=out, total_bytes=len(out)),
            err=Output(head=err, total_bytes=len(err)),
            duration_s=time.monotonic() - started,
            cwd=str(self.cwd),
        )

    def _environment(self) -> dict[str, str]:
        # No bytecode: an edit within a second that keeps the size would run as the old code.
        mine = {"HOME": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        return {"PATH": os.environ["PATH"], **mine}

    def cancel(self) -> None:
        self._cancelled = True
        if self._running is not None:
            _kill(self._running)

    def start(self, command: str) -> int:
        self._called("start", command)
        number = len(self._backgrounds) + 1
        with self._spill(number, 1).open("wb") as out, self._spill(number, 2).open("wb") as err:
            self._backgrounds[number] = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.cwd,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return number

    def poll(self, background_id: int, /) -> BackgroundStatus:
        process = self._backgrounds.get(background_id)
        if process is None:
            raise FileMissing("no such background process")
        out, err = (self._output(self._spill(background_id, stream)) for stream in (1, 2))
        return BackgroundStatus(id=background_id, exit_code=process.poll(), out=out, err=err)

    def stop(self, background_id: int, /) -> BackgroundStatus:
        _end(self._backgrounds[background_id])
        return self.poll(background_id)

    def _spill(self, number: int, stream: int) -> Path:
        return self.root / f"background-{number}-{stream}"

    def _output(self, path: Path) -> Output:
        data = path.read_bytes()
        return Output(head=data, total_bytes=len(data), spill=str(path), spilled_bytes=len(data))

    # -- files -----------------------------------------------------------------------------

    def read_file(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        self._called("read_file", path)
        data = self._existing(path).read_bytes()[offset:]
        return data if limit is None else data[:limit]

    def write_file(self, path: str, data: bytes, *, overwrite: bool = True) -> None:
        self._called("write_file", path)
        place = self.workspace / path
        if place.is_dir():
            raise FileWrongType(f"{path} is a directory")
        if place.exists() and not overwrite:
            raise FileExists(f"{path} exists")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def delete_file(self, path: str) -> None:
        self._called("delete_file", path)
        self._existing(path).unlink()

    def list_dir(self, path: str = ".") -> Listing:
        self._called("list_dir", path)
        place = self.workspace / path
        if not place.is_dir():
            raise FileWrongType(f"{path} is not a directory")
        entries = [
            DirectoryEntry(
                name=os.fsencode(child.name),
                type=FileType.DIRECTORY if child.is_dir() else FileType.FILE,
                size_bytes=child.stat().st_size,
            )
            for child in sorted(place.iterdir())
        ]
        return Listing(entries=tuple(entries))

    def _existing(self, path: str) -> Path:
        place = self.workspace / path
        if place.is_dir():
            raise FileWrongType(f"{path} is a directory")
        if not place.exists():
            raise FileMissing(f"{path}: no such file")
        return place

    # -- the patch -------------------------------------------------------------------------

    def rouse(self) -> bool:
        self._called("rouse", "")
        self._cancelled = False
        again, self.broken_off = self.broken_off, False
        return again

    def break_off(self) -> None:
        self.broken_off = True

    def preview(
        self, *, keep_old: Path | None = None, compared: frozenset[bytes] = frozenset()
    ) -> Patch:
        self._called("preview", "")
        return self._patch(keep_old, compared)

    def export(
        self,
        *,
        keep_old: Path | None = None,
        spare: Path | None = None,
        compared: frozenset[bytes] = frozenset(),
    ) -> Patch:
        self._called("export", "")
        return self._patch(keep_old, compared)

    def export_tracked(
        self,
        files: Mapping[bytes, ManifestEntry | None],
        steps: Path,
        *,
        left_out: Sequence[LeftOut] = (),
        keep_old: Path | None = None,
        spare: Path | None = None,
        compared: frozenset[bytes] = frozenset(),
    ) -> Patch:
        self._called("export_tracked", "")
        return self._made(keep_old, compared, files, Store(steps), left_out)

    def _patch(self, keep_old: Path | None, compared: frozenset[bytes]) -> Patch:
        return self._made(keep_old, compared, None, None)

    def _made(
        self,
        keep_old: Path | None,
        compared: frozenset[bytes],
        files: Mapping[bytes, ManifestEntry | None] | None,
        steps: Store | None,
        left_out: Sequence[LeftOut] = (),
    ) -> Patch:
        """Of these files, or of those that stand there."""
        with tempfile.TemporaryDirectory() as room:
            store = Store(Path(room) / "store")
            base = self._base(store)
            if files is None or steps is None:
                now = dict(self._entries(store))
                changed = {path: now.get(path) for path in {*base, *now}}
            else:
                changed = dict(files)
                for entry in filter(None, files.values()):
                    steps.lend(entry.blob, store)
            manifest = Manifest(entries=base, tracked=None, rule_files={})
            patch = make_patch(store, manifest, changed, left_out=left_out, compared=compared)
            if keep_old is not None and patch.data:
                touched = {path: base.get(path) for path in patch.results}
                baseline.keep(keep_old, store, touched)
            return patch

    def checkpoint(self, store: Path) -> Step:
        self._called("checkpoint", "")
        kept = Store(store)
        if self._seen is None:
            self._seen = self._base(kept)
        now = dict(self._entries(kept))
        changed = {
            path: now.get(path)
            for path in {*self._seen, *now}
            if now.get(path) != self._seen.get(path)
        }
        self._seen = now
        return Step(changed=changed)

    def mark(self, store: Path) -> Mark:
        self._called("mark", "")
        try:
            kept = Store(store)
        except SandboxError as error:
            return Mark(store=store, unkept=str(error))
        base = self._base(kept)
        now = dict(self._entries(kept))
        paths = {*base, *now}
        changed = {path: now.get(path) for path in paths if now.get(path) != base.get(path)}
        return Mark(store=store, changed=changed)

    def restore(self, mark: Mark, /) -> Restored:
        self._called("restore", "")
        if mark.unkept is not None:
            raise NotKept(f"there is nothing to go back to: {mark.unkept}")
        running = [process for process in self._backgrounds.values() if process.poll() is None]
        for process in running:
            _end(process)
        store = Store(mark.store)
        wanted = {**self._base(store), **mark.changed}
        now = dict(self._entries(store))
        differing = sorted(path for path in {*wanted, *now} if wanted.get(path) != now.get(path))
        removed = [path for path in differing if wanted.get(path) is None]
        for path in differing:
            place = self.workspace / os.fsdecode(path)
            if path in now:
                place.unlink()
        for path in removed:
            parent = (self.workspace / os.fsdecode(path)).parent
            while parent != self.workspace and not any(parent.iterdir()):
                parent.rmdir()
                parent = parent.parent
        for path in differing:
            entry = wanted.get(path)
            if entry is not None:
                self._put(self.workspace / os.fsdecode(path), entry, store)
        if not self.cwd.is_dir():
            self.cwd = self.workspace
        self._seen = dict(self._entries(store))
        back = tuple(path for path in differing if wanted.get(path) is not None)
        return Restored(back=back, removed=tuple(removed), ended=len(running))

    def _put(self, place: Path, entry: ManifestEntry, store: Store) -> None:
        if place.is_dir():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        data = store.read_bytes(entry.blob)
        if entry.mode == SYMLINK:
            place.symlink_to(os.fsdecode(data))
            return
        place.write_bytes(data)
        place.chmod(0o755 if entry.mode == EXECUTABLE else 0o644)

    def _base(self, store: Store) -> dict[bytes, ManifestEntry]:
        return {
            os.fsencode(name): ManifestEntry(FILE, store.put([data], len(data)), len(data))
            for name, data in self.files.items()
        }

    def _entries(self, store: Store) -> list[tuple[bytes, ManifestEntry]]:
        found = []
        for path in sorted(self.workspace.rglob("*")):
            name = os.fsencode(path.relative_to(self.workspace))
            if path.is_symlink():
                data, mode = os.fsencode(os.readlink(path)), SYMLINK
            elif path.is_file() and b"cache" not in name:
                data = path.read_bytes()
                mode = EXECUTABLE if os.access(path, os.X_OK) else FILE
            else:
                continue
            found.append((name, ManifestEntry(mode, store.put([data], len(data)), len(data))))
        return found

    def fresh(self, files: BroughtFiles | None = None, /) -> "TmpBox":
        assert files is None, "what is brought to a path of a container has no place on this host"
        self._called("fresh", "")
        box = TmpBox(files=self.files)
        self.opened.append(box)
        return box

    def apply(self, patch: Patch, /) -> None:
        self._called("apply", "")
        if patch.data:
            subprocess.run(["git", "apply", "-"], cwd=self.workspace, input=patch.data, check=True)

    def close(self) -> None:
        self._called("close", "")
        self.closed = True
        for process in self._backgrounds.values():
            _end(process)
        shutil.rmtree(self.root)

    def _called(self, name: str, what: str) -> None:
        if self.closed:
            raise SandboxError("the box was closed")
        self.calls.append(f"{name} {what}".strip())
        failure = self.failures.pop(name, None)
        if failure is not None:
            raise failure


def _kill(leader: "subprocess.Popen[bytes]") -> None:
    """With all that it began, which would hold its pipes. Waited for, its number is another's."""
    if leader.returncode is None:
        os.killpg(leader.pid, signal.SIGKILL)


def _end(leader: "subprocess.Popen[bytes]") -> None:
    _kill(leader)
    leader.wait()
