"""Notices a model that goes round in circles: told so first, then stopped.

Two circles are known. The same failing call, made again though nothing succeeded since. And any
calls, failing or not, of which each was made before and gave what it gave then: two edits that undo
each other, a file read again and again. A plan is no step forward and none back.
"""

import hashlib
import json
from dataclasses import dataclass

from agent.models.interface import ToolUse
from agent.record.events.encoding import plain

TELL_AFTER = 3
STOP_AFTER = 6
NOTHING_NEW_TOLD = frozenset({10, 20})
NOTHING_NEW_STOPPED = 30
"""Calls in a row; a person who waits for a build looks at its log less often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoLoop:
    """No circle, so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnOfLoop:
    words: str
    """For the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopForLoop:
    reason: str
    """Why the run ends."""


class LoopDetector:
    """Follows the calls of one request."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._seen: set[str] = set()
        self._nothing_new = 0

    def note(self, use: ToolUse, *, failed: bool, result: str) -> NoLoop | WarnOfLoop | StopForLoop:
        """Take the end of a call, with what the model is told of it."""
        if use.name == "update_plan" and not failed:
            return NoLoop()
        if not failed:
            # A test that fails again after an edit is work, not a loop.
            self._failures.clear()
        elif (verdict := self._failed(use)) != NoLoop():
            return verdict
        if use.name == "bash":
            # Its last line says how long it took.
            result = result.rpartition("\n")[0]
        return self._brought(_digest(use, result))

    def _failed(self, use: ToolUse) -> NoLoop | WarnOfLoop | StopForLoop:
        key = _digest(use)
        times = self._failures[key] = self._failures.get(key, 0) + 1
        if times >= STOP_AFTER:
            return StopForLoop(reason=f"the same failing call to {use.name}, {times} times")
        if times < TELL_AFTER:
            return NoLoop()
        return WarnOfLoop(
            words=f"This very call to {use.name} has failed {times} times with nothing changed "
            f"between: it will fail again. Do something else; the run ends after {STOP_AFTER}."
        )

    def _brought(self, key: str) -> NoLoop | WarnOfLoop | StopForLoop:
        if key not in self._seen:
            self._seen.add(key)
            self._nothing_new = 0
            return NoLoop()
        self._nothing_new += 1
        if self._nothing_new >= NOTHING_NEW_STOPPED:
            return StopForLoop(reason=f"{self._nothing_new} calls in a row brought nothing new")
        if self._nothing_new not in NOTHING_NEW_TOLD:
            return NoLoop()
        return WarnOfLoop(
            words=f"The last {self._nothing_new} calls were all made before and gave what they "
            "gave then. Do something else, or say what you have and stop; the run ends after "
            f"{NOTHING_NEW_STOPPED}."
        )


def _digest(use: ToolUse, result: str = "") -> str:
    text = json.dumps([use.name, plain(use.arguments), result], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
