"""What a task says, as one digest: by it a database knows whether a task was changed.

Where it was written, and under which line, is no part of it.
"""

import hashlib
import json
from dataclasses import fields, is_dataclass

from agent.batch.task import Task


def digest_of(task: Task) -> str:
    """SHA-256, hex."""
    said = {field.name: _plain(getattr(task, field.name)) for field in fields(task)}
    del said["origin"]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    if is_dataclass(value):
        said = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {type(value).__name__: said}
    return value if isinstance(value, str | int | float | None) else str(value)
