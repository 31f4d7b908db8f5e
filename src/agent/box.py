"""What a run needs of a sandbox: a protocol, so that the loop is tested without an engine.

`sandbox.box.Sandbox` fits it, and so does the fake under ``tests/fakes/``; one contract suite runs
against both. Errors are the sandbox room's: `FileError` is a result for the model, `SandboxError`
ends the run.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from sandbox.patch import LeftOut, Patch
from sandbox.results import BackgroundStatus, CommandResult, Listing
from sandbox.standing import Standing

OnOutput = Callable[[Literal["stdout", "stderr"], bytes], None]


class Seal(Protocol):
    """What was read back from the running container before the first call."""

    @property
    def landlock_abi(self) -> int: ...
    @property
    def kernel_enforced(self) -> bool: ...
    @property
    def missing(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


class Box(Protocol):
    """A sealed container with a copy of the workspace in it."""

    @property
    def id(self) -> str: ...
    @property
    def seal(self) -> Seal: ...
    @property
    def left_behind(self) -> tuple[LeftOut, ...]: ...
    @property
    def standing(self) -> Standing: ...

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

    def export(self, *, keep_old: Path | None = None, spare: Path | None = None) -> Patch: ...
    def fresh(self) -> "Box": ...
    def apply(self, patch: Patch, /) -> None: ...
    def close(self) -> None: ...
