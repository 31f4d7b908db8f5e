"""The operator's own check of the result: baseline + patch in a fresh container.

So what is reviewed is what was tested: nothing that the agent did beside the patch is there. A
check may bring files of its own, which no container of the agent's has, and may write a reward that
decides in place of its exit code. What it ran was the agent's code: a reward is read as a
stranger's, bounded and by its form.
"""

import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

from agent.tools.sandbox_protocol import OnOutput, SandboxProtocol
from agent.untrusted_text import decode
from policies.errors import duration
from policies.frozen import dataclass
from sandbox.errors import FileError, FileMissing, SandboxError
from sandbox.patch.values import Patch
from sandbox.results import CommandResult, Ending

REWARD_FOLDER = "/logs/verifier"
"""Where a check that gives a reward writes it: in ``reward.json``, or else in ``reward.txt``."""
_REWARD_LIMIT_BYTES = 1 << 16
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierFiles:
    """A check that brings files of its own, which the agent never sees."""

    folder: Path
    """Its files, on the host."""
    target: str
    """Where they stand in the fresh container, absolute."""
    reward: bool
    """Whether the check writes a reward (0 to 1) that decides, in place of its exit code."""
    time_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    command: str
    output: str
    """Both streams, bounded."""
    seconds: float
    reward: float | None = None
    """What the check gave, where it gives one: 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    command: str
    exit_code: int
    ending: Ending
    output: str
    """As in `Verified`."""
    seconds: float
    reward: float | None = None
    """What the check gave, where it gives one: from 0 to less than 1."""
    reason: str = ""
    """Why it counts as failed, where the exit code does not say it."""


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
    files: VerifierFiles | None = None,
) -> Verification:
    """Run `command` in a new sandbox from the baseline of `box` with the patch applied.

    Args:
        ended_by: around the command, with what ends it; see `agent.interrupts`.
        files: what stands in that sandbox beside, and whether a reward decides.
    """
    return verify_in(
        lambda: _fresh(box, files),
        patch,
        command,
        timeout_s=timeout_s,
        ended_by=ended_by,
        files=files,
    )


def verify_in(
    fresh_box: Callable[[], SandboxProtocol],
    patch: Patch,
    command: str,
    *,
    timeout_s: float,
    ended_by: Callable[[Callable[[], None]], AbstractContextManager[None]],
    files: VerifierFiles | None = None,
    on_output: OnOutput | None = None,
) -> Verification:
    """As `verify`, in a sandbox that `fresh_box` opens: one from the baseline in which nothing ran.

    Args:
        on_output: gets what the command prints, as it comes.
    """
    started = time.monotonic()
    limit_s = timeout_s if files is None or files.time_s is None else min(timeout_s, files.time_s)
    reward: float | str | None = None
    try:
        with closing(fresh_box()) as fresh:
            fresh.apply(patch)
            with ended_by(fresh.cancel):
                result = fresh.run(command, timeout_s=limit_s, on_output=on_output)
            if files is not None and files.reward and result.ending is Ending.EXITED:
                reward = _reward(fresh)
    except (SandboxError, FileError) as error:
        return NotRun(command=command, reason=str(error))
    seconds = time.monotonic() - started
    output = _both(result)
    given = reward if isinstance(reward, float) else None
    passed = result.exit_code == 0 if reward is None else given == 1
    if result.ending is Ending.EXITED and passed:
        return Verified(command=command, output=output, seconds=seconds, reward=given)
    return Failed(
        command=command,
        exit_code=result.exit_code,
        ending=result.ending,
        output=output,
        seconds=seconds,
        reward=given,
        reason=reward if isinstance(reward, str) else "",
    )


def _fresh(box: SandboxProtocol, files: VerifierFiles | None) -> SandboxProtocol:
    if files is None:
        return box.fresh()
    from sandbox.container.plan import BroughtFiles  # noqa: PLC0415 - few runs bring some

    writable = REWARD_FOLDER if files.reward else None
    return box.fresh(BroughtFiles(files=files.folder, target=files.target, writable=writable))


def _reward(box: SandboxProtocol) -> float | str:
    """The reward that a check wrote, or why there is none."""
    for name in ("reward.json", "reward.txt"):
        try:
            data = box.read_file(f"{REWARD_FOLDER}/{name}", limit=_REWARD_LIMIT_BYTES + 1)
        except FileMissing:
            continue
        except FileError as error:
            return f"{name} can't be read: {error}"
        if len(data) > _REWARD_LIMIT_BYTES:
            return f"{name} is larger than {_REWARD_LIMIT_BYTES >> 10} KiB"
        return reward_in(name, data)
    return "the check wrote no reward"


def reward_in(name: str, data: bytes) -> float | str:
    """The reward in a file's content, from 0 to 1, or what is wrong with it.

    ``reward.txt`` holds a number; ``reward.json`` too, or an object with ``reward`` or one key.
    """
    try:
        text = data.decode("utf-8-sig").strip()
        value: object = text
        if name.endswith(".json"):
            value = json.loads(text, object_pairs_hook=_once)
            if isinstance(value, dict):
                if "reward" not in value and len(value) != 1:
                    return f"{name} has several rewards, and none is called `reward`"
                value = value["reward"] if "reward" in value else next(iter(value.values()))
        elif _NUMBER.match(text):
            value = float(text)
    except (ValueError, RecursionError):
        return f"{name} is not {'JSON' if name.endswith('.json') else 'text'}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{name} holds no number"
    if not 0 <= value <= 1:
        return f"{name} holds a reward that is not from 0 to 1"
    return float(value)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def in_words(result: Verification) -> str:
    """One line for a person; hostile text in it is not yet made visible."""
    return f"{'verified' if isinstance(result, Verified) else 'not verified'}: {reason(result)}"


def reason(result: Verification) -> str:
    """What `in_words` says behind the colon."""
    match result:
        case Verified():
            return f"{result.command} passes in a fresh container with the patch"
        case Failed():
            return f"{result.command} {_failure(result)} on a fresh copy"
        case NotAsked():
            return "no --verify command was given"
        case NotRun():
            return f"{result.command} has no result: {result.reason}"


def _failure(result: Failed) -> str:
    """The middle of a sentence."""
    if result.reason:
        return f"gives no reward that counts ({result.reason})"
    if result.reward is not None:
        return f"gives {result.reward:g} of 1"
    if result.ending is Ending.TIMED_OUT:
        return f"timed out after {duration(result.seconds)} (limits.time, or the task's own limit)"
    return f"ends with {result.exit_code}" if result.ending is Ending.EXITED else result.ending


def _both(result: CommandResult) -> str:
    out, err = decode(result.stdout), decode(result.stderr)
    return f"{out}\n[stderr]\n{err}" if out and err else out or err
