"""Events, and values in them, as JSON objects: bounded in length and depth."""

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum

from agent.record.events.types import Recorded

TOO_DEEP = "[nested too deeply]"


STRING_LIMIT = 256 * 1024
"""Characters of one recorded string; of a longer one its head, length and sha256 are kept."""


_HEAD = 4096


_DEEPEST = 50
"""A model may nest its arguments as deep as it likes; the record does not."""


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def encode(event: Recorded) -> dict[str, object]:
    """The event as a JSON object; ``event`` names its kind: ``call_started`` …"""
    return {"event": kind_of(type(event)), **_object(event)}


def plain(value: object, depth: int = 0) -> object:  # noqa: PLR0911 - a line for each kind of value
    """A value of ours as JSON: bytes as text where they are UTF-8, else as ``{"base64": …}``."""
    if depth > _DEEPEST:
        return TOO_DEEP
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Enum():
            return plain(value.value, depth)
        case str():
            return _bounded(value)
        case bytes():
            try:
                return _bounded(value.decode())
            except UnicodeDecodeError:
                return {"base64": base64.b64encode(value).decode()}
        case Mapping():
            return {str(key): plain(item, depth + 1) for key, item in value.items()}
        case tuple() | list() | set() | frozenset():
            return [plain(item, depth + 1) for item in value]
        case _ if is_dataclass(value):
            return {"type": kind_of(type(value)), **_object(value, depth + 1)}
        case _:
            return repr(value)


def _object(value: object, depth: int = 0) -> dict[str, object]:
    names = [item.name for item in fields(value)]  # type: ignore[arg-type]
    return {name: plain(getattr(value, name), depth) for name in names}


def kind_of(made: type) -> str:
    """How a kind of event, or of a value in one, is called in JSON."""
    return _CAMEL.sub("_", made.__name__).lower()


def _bounded(text: str) -> object:
    if len(text) <= STRING_LIMIT:
        # A lone surrogate (models write them as \ud800) has no UTF-8 form.
        return text.encode("utf-8", "replace").decode()
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return {"head": text[:_HEAD], "characters": len(text), "sha256": digest}


REDACTED = "[redacted]"
"""Stands where a secret was."""
