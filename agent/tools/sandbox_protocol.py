"""What a run needs of a sandbox: a protocol, so that the loop is tested without an engine.

`sandbox.sandbox.Sandbox` fits it, and so does the fake under ``tests/fakes/``; one contract suite
runs against both. It raises `sandbox.errors.FileError` for what the model is told as a result, and
`sandbox.errors.SandboxError` for what ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    # Only their names are needed here; the modules bring the engine's SDK.
    from sandbox.container.opening import ContainerState
    from sandbox.container.plan import BroughtFiles
    from sandbox.container.seal import SealReport
    from sandbox.git.manifest import Manifest, ManifestEntry
    from sandbox.patch.values import LeftOut, Patch
    from sandbox.results import BackgroundStatus, CommandResult, Listing
    from sandbox.tracking import Mark, Restored, Step

OnOutput = Callable[[Literal["stdout", "stderr"], bytes], None]


class SandboxProtocol(Protocol):
    """A sealed container with a copy of the workspace in it."""

    @property
    def id(self) -> str: ...
    @property
    def seal(self) -> SealReport: ...
    @property
    def left_behind(self) -> tuple[LeftOut, ...]: ...
    @property
    def base_tree(self) -> str: ...
    @property
    def manifest(self) -> Manifest: ...
    @property
    def container_state(self) -> ContainerState: ...

    def run(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
    ) -> CommandResult: ...

    def run_program(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
    ) -> CommandResult: ...

    def cancel(self) -> None: ...
    def start(self, command: str) -> int: ...
    def poll(self, background_id: int, /) -> BackgroundStatus: ...
    def stop(self, background_id: int, /) -> BackgroundStatus: ...

    def read_file(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes: ...
    def write_file(self, path: str, data: bytes, *, overwrite: bool = True) -> None: ...
    def delete_file(self, path: str) -> None: ...
    def list_dir(self, path: str) -> Listing: ...

    def rouse(self) -> bool: ...
    def break_off(self) -> None: ...
    def preview(
        self, *, keep_old: Path | None = None, compared: frozenset[bytes] = frozenset()
    ) -> Patch: ...
    def export(
        self,
        *,
        keep_old: Path | None = None,
        spare: Path | None = None,
        compared: frozenset[bytes] = frozenset(),
    ) -> Patch: ...
    def export_tracked(
        self,
        files: Mapping[bytes, ManifestEntry | None],
        steps: Path,
        *,
        left_out: Sequence[LeftOut] = (),
        keep_old: Path | None = None,
        spare: Path | None = None,
        compared: frozenset[bytes] = frozenset(),
    ) -> Patch: ...
    def checkpoint(self, store: Path) -> Step: ...
    def mark(self, store: Path) -> Mark: ...
    def restore(self, mark: Mark, /) -> Restored: ...
    def fresh(self, files: BroughtFiles | None = None, /) -> SandboxProtocol: ...
    def apply(self, patch: Patch, /) -> None: ...
    def close(self) -> None: ...
