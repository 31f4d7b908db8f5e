"""What a command came to, as Inspect wants it told: a result, or an error that is not its own.

A sandbox that failed must never look like a command's output: that is `SandboxUnavailableError`.
"""

import contextlib
import errno
from typing import NoReturn

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
)

from sandbox.errors import FileDenied, FileError, FileMissing, FileWrongType
from sandbox.results import CommandResult, Ending, Output
from sandbox.sandbox import Sandbox

_NOT_STARTED = 126
_NOT_FOUND = 127
_NOTES = {
    Ending.OUT_OF_MEMORY: "ended: the sandbox's memory limit was met",
    Ending.OUT_OF_DISK: "ended: the sandbox's disk limit was met",
}


def told(result: CommandResult, sandbox: Sandbox, *, asked_s: float | None) -> ExecResult[str]:
    """A command that was started.

    Args:
        asked_s: the time-out that the caller gave.

    Raises:
        TimeoutError: with the output so far as `truncated_output`, as Inspect's own providers.
        OutputLimitExceededError: a stream is longer than Inspect's limit.
        SandboxUnavailableError: the sandbox failed under it.
    """
    match result.ending:
        case Ending.LOST | Ending.HOST_DISK_LOW:
            last = result.stderr.decode("utf-8", "replace").strip()[-500:]
            raise SandboxUnavailableError(f"the sandbox failed ({result.ending.value}): {last}")
        case Ending.TIMED_OUT:
            raise _timed_out(result, asked_s)
        case _:
            pass
    stderr = _text(result.err, sandbox)
    note = _NOTES.get(result.ending)
    if note is not None:
        stderr += f"\n[{note}]\n"
    return ExecResult(
        success=result.exit_code == 0,
        returncode=result.exit_code,
        stdout=_text(result.out, sandbox),
        stderr=stderr,
    )


def _timed_out(result: CommandResult, asked_s: float | None) -> TimeoutError:
    after = result.duration_s if asked_s is None else min(asked_s, result.duration_s)
    whose = "" if asked_s is not None and asked_s <= result.duration_s else " (the policy's limit)"
    error = TimeoutError(f"Command timed out after {after:g} seconds{whose}")
    printed = (result.stdout + result.stderr).decode("utf-8", "replace")
    if printed:
        error.truncated_output = printed  # type: ignore[attr-defined]  # Inspect looks for it
    return error


def _text(output: Output, sandbox: Sandbox) -> str:
    """A stream as text, all of it: where the guest kept a part in a file, with that."""
    limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
    if output.total_bytes > limit:
        raise OutputLimitExceededError(
            limit_str=SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR,
            truncated_output=output.data.decode("utf-8", "replace"),
        )
    data = output.data
    if output.cut and output.spill is not None and output.spilled_bytes == output.total_bytes:
        with contextlib.suppress(FileError):
            data = sandbox.read_file(output.spill, limit=output.total_bytes)
            sandbox.delete_file(output.spill)
    return data.decode("utf-8", "replace")


def not_started(error: FileError | UnicodeEncodeError, program: str) -> ExecResult[str]:
    """A command that was not started: to its caller it failed, as a shell would say it.

    Args:
        error: of its input too, in which half of a surrogate pair may stand.

    Raises:
        PermissionError: the policy does not let it run, or it is no program.
    """
    if isinstance(error, FileDenied):
        raise PermissionError(errno.EACCES, f"Permission denied ({error})", program) from error
    code = _NOT_FOUND if isinstance(error, FileMissing) else _NOT_STARTED
    said = f"{program}: {error}\n".encode("utf-8", "backslashreplace").decode()
    return ExecResult(success=False, returncode=code, stdout="", stderr=said)


def raise_of_file(error: FileError, file: str) -> NoReturn:
    """A refusal of a file operation, as Inspect's own providers raise it."""
    match error:
        case FileMissing():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory.", file) from error
        case FileDenied():
            raise PermissionError(errno.EACCES, "Permission denied.", file) from error
        case FileWrongType() if "is a directory" in str(error).lower():
            raise IsADirectoryError(errno.EISDIR, "Is a directory.", file) from error
        case _:
            raise OSError(errno.EINVAL, f"{error}", file) from error
