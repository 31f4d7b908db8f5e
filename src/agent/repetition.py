"""Notices a model that makes the same failing call again and again."""

import hashlib
import json

from agent.events import plain
from agent.messages import ToolUse

TELL_AFTER = 3
STOP_AFTER = 6


class Repetition:
    """Counts failing calls, each by its name and arguments, since something last succeeded."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def note(self, use: ToolUse, *, failed: bool) -> int:
        """Take the end of a call; gives how often this very one has now failed in vain."""
        if not failed:
            # A test that fails again after an edit is work, not a loop. A plan changes nothing.
            if use.name != "update_plan":
                self._failures.clear()
            return 0
        key = _digest(use)
        self._failures[key] = self._failures.get(key, 0) + 1
        return self._failures[key]


def _digest(use: ToolUse) -> str:
    text = json.dumps([use.name, plain(use.arguments)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
