"""A policy's examples in real containers: what the kernel makes of each, whatever the check says.

Each example runs in a fresh sealed sandbox, also those that the check denies: so that a person sees
which refusals rest on the kernel and which on the check alone. Owns running them and reading what
came back; refuses to know the policy's file (`policies.operator.check`) and the table (the CLI).
"""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum

from agent.untrusted_text import decode, one_line
from policies.frozen import dataclass
from policies.operator.check import ExampleResult
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.results import CommandResult, Ending
from sandbox.sandbox import Sandbox
from sandbox.workspace.source import Workspace

TIMEOUT_S = 20.0
_NOT_EXECUTABLE = 126
_NOT_FOUND = 127
_BY_BASH = re.compile(
    r"^(?:/\S*/)?(?:ba)?sh: (?:line \d+: )?(.*): Permission denied$", re.MULTILINE
)
_BY_ANYONE = re.compile(r"Permission denied|Operation not permitted|Errno (?:1|13)\]")
_MISSING = re.compile(r": command not found$", re.MULTILINE)


class KernelOutcome(StrEnum):
    """How the kernel met an example."""

    RAN = "ran"
    STOPPED = "stopped by the kernel"
    MISSING = "no such program"
    ENDED = "ended by a limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelExample:
    example: ExampleResult
    met: KernelOutcome
    detail: str
    """One line: the exit status, or what was refused."""

    @property
    def holds(self) -> bool:
        """What is allowed must not be stopped; what only the check denies is shown, not failed."""
        stopped = self.met is KernelOutcome.STOPPED and self.example.expected == "allow"
        return self.example.holds and not stopped

    @property
    def enforced(self) -> str:
        """Who holds a denial: the column a person reads."""
        if self.example.expected == "allow":
            return str(self.met)
        match self.met:
            case KernelOutcome.STOPPED:
                return "check + kernel"
            case KernelOutcome.MISSING:
                return "check; no such program"
            case _:
                return "check only"


def trials(
    policy: Policy,
    results: tuple[ExampleResult, ...],
    *,
    workspace: Workspace,
    image: str,
    engine: Engine,
    on_progress: Callable[[str], None],
) -> Iterator[KernelExample]:
    """Run each example in a sandbox of its own.

    Raises:
        SandboxError: there is no sandbox to run them in.
    """
    if not results:
        return
    with Sandbox.open(
        workspace=workspace, policy=policy, image=image, engine=engine, on_progress=on_progress
    ) as first:
        for result in results:
            box = first.fresh()
            try:
                done = box.run(result.command, timeout_s=TIMEOUT_S)
            finally:
                box.close()
            met, detail = _met(result, done)
            yield KernelExample(example=result, met=met, detail=detail)


def _met(example: ExampleResult, done: CommandResult) -> tuple[KernelOutcome, str]:
    """What a result says of the kernel, and in a line of how it ended."""
    err = decode(done.stderr)
    refused: tuple[str, ...] = getattr(done, "refused", ())
    by_bash = _BY_BASH.findall(err)
    anywhere = example.expected == "deny" and _BY_ANYONE.search(err)
    if refused or by_bash or done.exit_code == _NOT_EXECUTABLE or anywhere:
        names = refused or tuple(dict.fromkeys(by_bash)) or (_last_line(err),)
        return KernelOutcome.STOPPED, one_line(", ".join(names), 100)
    if done.ending is not Ending.EXITED:
        return KernelOutcome.ENDED, done.ending.value
    exit_code = f"exit {done.exit_code}"
    if done.exit_code == _NOT_FOUND or _MISSING.search(err):
        return KernelOutcome.MISSING, one_line(_last_line(err), 100) or exit_code
    return KernelOutcome.RAN, exit_code


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
