"""The JSON Schema of what ``--json`` prints and ``events.jsonl`` holds, made from the code itself.

Each line is one event; the last of ``--json`` is the summary, which is ``run.json`` with an
``event`` of its own. A kind that is added to `agent.events` is in here by that.

Owns how the values of `events.plain` read as a schema. Refuses to know any kind by name.
"""

import inspect
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from agent.models.interface import Usage
from agent.record.events.encoding import kind_of, plain
from agent.record.events.types import KernelRefusal, Recorded
from agent.risk.finding import Finding
from agent.verification import Verification
from sandbox.patch.values import Change, LeftOut

Schema = dict[str, object]

_CHAIN: Mapping[str, Schema] = {
    "seq": {"type": "integer", "description": "Counts the lines of the record, from 0."},
    "time": {"type": "string", "format": "date-time"},
    "prev": {"type": "string", "description": "sha256 of the line before; 64 zeros on the first."},
}
_CUT: Schema = {
    "type": "object",
    "description": "Stands for a string that was too long to record whole.",
    "properties": {
        "head": {"type": "string"},
        "characters": {"type": "integer"},
        "sha256": {"type": "string"},
    },
    "required": ["head", "characters", "sha256"],
}
_BYTES: Schema = {
    "description": "Text where they are UTF-8.",
    "anyOf": [
        {"$ref": "#/$defs/text"},
        {"type": "object", "properties": {"base64": {"type": "string"}}, "required": ["base64"]},
    ],
}


def schema() -> Schema:
    """Of one line."""
    defs: dict[str, Schema] = {
        "text": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/cut"}]},
        "cut": _CUT,
        "bytes": _BYTES,
    }
    kinds = [_event(made, defs) for made in recorded_kinds()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of `moonpool run --json`",
        "description": "Lines come in the order of `seq`; the last is the summary. Nothing is "
        "printed where the run could not begin: see the exit code and standard error.",
        "oneOf": [*kinds, _summary(defs)],
        "$defs": defs,
    }


def recorded_kinds() -> Sequence[type]:
    """Every event that has a line."""
    return get_args(Recorded)


def _event(made: type, defs: dict[str, Schema]) -> Schema:
    own = _fields(made, defs)
    kind = kind_of(made)
    return {
        "title": kind,
        **_described(made),
        "type": "object",
        "properties": {"event": {"const": kind}, **_CHAIN, **own},
        "required": ["event", *_CHAIN, *own],
        "additionalProperties": False,
    }


_SUMMARY: Mapping[str, Any] = {
    **dict.fromkeys(("run_id", "outcome", "detail", "task", "workspace", "policy", "model"), str),
    "started": str,
    "exit_code": int,
    "seconds": float,
    "turns": int,
    "tokens": Usage,
    **dict.fromkeys(("verify", "patch", "patch_sha256", "base_tree", "tree"), str | None),
    "patch_bytes": int | None,
    "accepted_risks": tuple[str, ...],
    "changes": tuple[Change, ...],
    "findings": tuple[Finding, ...],
    "left_out": tuple[LeftOut, ...],
    "left_behind": tuple[LeftOut, ...],
    "kernel_refusals": tuple[KernelRefusal, ...],
    "verification": Verification,
    "kernel_enforced": bool | None,
    "container_left": str | None,
}
"""Of `Summary.document`, what a machine may build on; it may have more."""


def _summary(defs: dict[str, Schema]) -> Schema:
    own = {key: _of(made, defs) for key, made in _SUMMARY.items()}
    return {
        "title": "summary",
        "description": "What the run came to: run.json. It is there however the agent ended.",
        "type": "object",
        "properties": {"event": {"const": "summary"}, **own},
        "required": ["event", *own],
    }


def _fields(made: type, defs: dict[str, Schema]) -> dict[str, Schema]:
    hints = get_type_hints(made)
    return {item.name: _of(hints[item.name], defs) for item in fields(made)}


def _of(hint: Any, defs: dict[str, Schema]) -> Schema:  # noqa: PLR0911 - one kind of type a line
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return {"anyOf": [_of(one, defs) for one in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(inner[1], defs)}
    if origin is not None and issubclass(origin, Sequence | AbstractSet):
        return {"type": "array", "items": _of(inner[0], defs)}
    simple = _SIMPLE.get(hint)
    if simple is not None:
        return simple
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [plain(one) for one in hint]}
    if is_dataclass(hint) and isinstance(hint, type):
        return _value(hint, defs)
    return {}  # anything that JSON has


_SIMPLE: Mapping[object, Schema] = {
    str: {"$ref": "#/$defs/text"},
    bytes: {"$ref": "#/$defs/bytes"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    # What is no number (infinity) stands as text.
    float: {"type": ["number", "string"]},
    type(None): {"type": "null"},
}


def _value(made: type, defs: dict[str, Schema]) -> Schema:
    kind = kind_of(made)
    name = f"{made.__module__}.{made.__name__}"  # two modules may have a kind of the same name
    if name not in defs:
        defs[name] = {}  # one that holds itself
        own = _fields(made, defs)
        defs[name] = {
            **_described(made),
            "type": "object",
            "properties": {"type": {"const": kind}, **own},
            "required": ["type", *own],
        }
    return {"$ref": f"#/$defs/{name}"}


def _described(made: type) -> Schema:
    words = inspect.getdoc(made) or ""
    # A dataclass without a docstring has its signature for one.
    return {"description": words} if words and not words.startswith(f"{made.__name__}(") else {}
