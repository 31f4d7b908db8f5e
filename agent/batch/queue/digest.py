"""What a task says, as one digest: by it a database knows whether a task was changed.

Where it was written, and under which line, is no part of it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache

from agent.batch.task import Task


def digest_of(task: Task) -> str:
    """SHA-256, hex."""
    said = [_plain(getattr(task, name)) for name in _names(Task) if name != "origin"]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    made = type(value)
    if is_dataclass(made):
        return [made.__name__, *(_plain(getattr(value, name)) for name in _names(made))]
    if isinstance(value, Mapping):
        return sorted((str(key), str(one)) for key, one in value.items())
    return str(value)


@cache
def _names(made: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(made))
