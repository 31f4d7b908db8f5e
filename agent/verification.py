"""The operator's own check of the result: baseline + patch in a fresh container.

So what is reviewed is what was tested: nothing that the agent did beside the patch is there.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing

from agent.tools.sandbox_protocol import SandboxProtocol
from agent.untrusted_text import decode
from policies.frozen import dataclass
from sandbox.errors import FileError, SandboxError
from sandbox.patch.values import Patch
from sandbox.results import CommandResult, Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    command: str
    output: str
    """Both streams, bounded."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    command: str
    exit_code: int
    ending: Ending
    output: str
    """As in `Verified`."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAsked:
    """No command was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    command: str
    reason: str


Verification = Verified | Failed | NotAsked | NotRun


def verify(
    box: SandboxProtocol,
    patch: Patch,
    command: str,
    *,
    timeout_s: float,
    ended_by: Callable[[Callable[[], None]], AbstractContextManager[None]],
) -> Verification:
    """Run `command` in a new sandbox from the baseline of `box` with the patch applied.

    Args:
        ended_by: around the command, with what ends it; see `agent.interrupts`.
    """
    started = time.monotonic()
    try:
        with closing(box.fresh()) as fresh:
            fresh.apply(patch)
            with ended_by(fresh.cancel):
                result = fresh.run(command, timeout_s=timeout_s)
    except (SandboxError, FileError) as error:
        return NotRun(command=command, reason=str(error))
    seconds = time.monotonic() - started
    output = _both(result)
    if result.ending is Ending.EXITED and result.exit_code == 0:
        return Verified(command=command, output=output, seconds=seconds)
    return Failed(
        command=command,
        exit_code=result.exit_code,
        ending=result.ending,
        output=output,
        seconds=seconds,
    )


def in_words(result: Verification) -> str:
    """One line for a person; hostile text in it is not yet made visible."""
    match result:
        case Verified():
            return f"verified: {result.command} passes in a fresh container with the patch"
        case Failed(ending=Ending.EXITED):
            return f"not verified: {result.command} ends with {result.exit_code} on a fresh copy"
        case Failed():
            return f"not verified: {result.command} {result.ending} on a fresh copy"
        case NotAsked():
            return "not verified: no --verify command was given"
        case NotRun():
            return f"not verified: {result.reason}"


def _both(result: CommandResult) -> str:
    out, err = decode(result.stdout), decode(result.stderr)
    return f"{out}\n[stderr]\n{err}" if out and err else out or err
