"""What each running attempt is at, for whoever looks: written by many threads, read by one.

A thousand workers write as often as they like: each only replaces a value of its own, and nothing
is shown before somebody looks.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace

from agent.record.events.conversation import CallStarted, ModelCalled, ModelReplied, ModelRetry
from agent.record.events.kinds import Event, Progress, call_in_words
from agent.record.events.lifecycle import Exported, SandboxReady
from agent.record.journal import Show
from agent.untrusted_text import one_line
from policies.frozen import dataclass

_WIDTH = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLine:
    """One running attempt."""

    task_id: str
    attempt: int
    began_s: float
    """By the monotonic clock."""
    turn: int = 0
    doing: str = "begins"
    """Made visible already."""
    usd: float = 0.0


class Board:
    """Mutable: what runs now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, BoardLine] = {}

    def begin(self, run_id: str, task_id: str, attempt: int) -> None:
        line = BoardLine(task_id=task_id, attempt=attempt, began_s=time.monotonic())
        with self._lock:
            self._lines[run_id] = line

    def end(self, run_id: str) -> None:
        with self._lock:
            self._lines.pop(run_id, None)

    def lines(self) -> Mapping[str, BoardLine]:
        with self._lock:
            return dict(self._lines)

    def put(self, run_id: str, **changes: object) -> None:
        """Change what is said of a run, if it is still there."""
        with self._lock:
            line = self._lines.get(run_id)
            if line is not None:
                self._lines[run_id] = replace(line, **changes)  # type: ignore[arg-type]

    def listener(self, run_id: str) -> Show:
        """Hears a run's events."""

        def show(event: Event, _line: str | None) -> None:
            match event:
                case Progress():
                    self.put(run_id, doing=one_line(event.text, _WIDTH))
                case SandboxReady():
                    self.put(run_id, doing="ready")
                case ModelCalled():
                    self.put(run_id, turn=event.turn, doing="thinking")
                case ModelRetry():
                    self.put(run_id, doing=f"waiting: {one_line(event.reason, _WIDTH)}")
                case ModelReplied():
                    self.put(run_id, usd=event.usd or 0.0)
                case CallStarted():
                    words = call_in_words(event.tool, event.arguments)
                    self.put(run_id, doing=one_line(words, _WIDTH))
                case Exported():
                    self.put(run_id, doing="exported")
                case _:
                    pass

        return show
