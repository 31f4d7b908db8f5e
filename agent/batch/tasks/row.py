"""One task as it stands in a file of many: its keys and values, and where each of them is.

Owns the value, and the places for complaints. Refuses to know what the keys mean.
"""

from collections.abc import Callable, Mapping
from typing import Any

from agent.batch.task import TaskOrigin
from policies.file.document import KeyPath
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    data: Mapping[str, Any]
    """In what JSON has; nothing of it is checked yet."""
    origin: TaskOrigin
    named: str = ""
    """What stands for a line where the form has none: ``row 3``."""
    line_of: Callable[[KeyPath], int] = lambda _: 0
    """The line of a key; 0: it is not known, and the row's own counts."""

    def place(self, path: KeyPath = ()) -> str:
        """``FILE:LINE`` of a key, or of the row."""
        file = self.origin.file
        if self.named:
            return f"{file}: {self.named}"
        line = (self.line_of(path) if path else 0) or self.origin.line
        return f"{file}:{line}" if line else file
