"""Notices a model that goes round in circles: told so first, then stopped.

Two circles are known. The same failing call, made again though nothing succeeded since. And any
calls, failing or not, of which each was made before and gave what it gave then: two edits that undo
each other, a file read again and again. A plan is no step forward and none back.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field, replace

from agent.models.interface import ToolUse
from agent.record.events.recorded import plain
from policies.frozen import dataclass

TELL_AFTER = 3
STOP_AFTER = 6
NOTHING_NEW_TOLD = frozenset({10, 20})
NOTHING_NEW_STOPPED = 30
"""Calls in a row; a person who waits for a build looks at its log less often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnOfLoop:
    words: str
    """For the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopForLoop:
    reason: str
    """Why the run ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """What the calls of one request have repeated so far."""

    found: WarnOfLoop | StopForLoop | None = None
    """What is to be done about it, by the newest call; None: nothing."""
    _failures: Mapping[str, int] = field(default_factory=dict)
    """How often each call has failed with nothing that succeeded between."""
    _seen: frozenset[str] = frozenset()
    """Calls with what they gave."""
    _nothing_new: int = 0
    """Calls in a row that gave what they gave before."""

    def after(self, use: ToolUse, *, failed: bool, result: str) -> "Repetition":
        """With the end of one more call; `result` is what the model is told of it."""
        if use.name == "update_plan" and not failed:
            return replace(self, found=None)
        # A test that fails again after an edit is work, not a loop.
        failures: dict[str, int] = dict(self._failures) if failed else {}
        if failed:
            key = _digest(use)
            failures[key] = failures.get(key, 0) + 1
            found = _failed_again(use, failures[key])
            if found is not None:
                return replace(self, found=found, _failures=failures)
        if use.name == "bash":
            # Its last line says how long it took.
            result = result.rpartition("\n")[0]
        key = _digest(use, result)
        nothing_new = self._nothing_new + 1 if key in self._seen else 0
        return Repetition(
            found=_nothing_new(nothing_new),
            _failures=failures,
            _seen=self._seen | {key},
            _nothing_new=nothing_new,
        )


def _failed_again(use: ToolUse, times: int) -> WarnOfLoop | StopForLoop | None:
    if times >= STOP_AFTER:
        return StopForLoop(reason=f"the same failing call to {use.name}, {times} times")
    if times < TELL_AFTER:
        return None
    return WarnOfLoop(
        words=f"This very call to {use.name} has failed {times} times with nothing changed "
        f"between: it will fail again. Do something else; the run ends after {STOP_AFTER}."
    )


def _nothing_new(times: int) -> WarnOfLoop | StopForLoop | None:
    if times >= NOTHING_NEW_STOPPED:
        return StopForLoop(reason=f"{times} calls in a row brought nothing new")
    if times not in NOTHING_NEW_TOLD:
        return None
    return WarnOfLoop(
        words=f"The last {times} calls were all made before and gave what they gave then. Do "
        f"something else, or say what you have and stop; the run ends after {NOTHING_NEW_STOPPED}."
    )


def _digest(use: ToolUse, result: str = "") -> str:
    """Of a call as it is recorded: a run that is taken up finds the same."""
    text = json.dumps(plain([use.name, use.arguments, result]), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
