"""What every event and the summary are: frozen values with one form in JSON, bounded.

`json_object` writes that form; `read` takes it back or says in one line what is wrong. pydantic
checks what is read (`forms`), and is not needed to write. Owns the bounds in length and in depth,
and how it is told what was cut. Refuses to know any event by name.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, Literal, Self, dataclass_transform, get_origin

from agent.errors import RecordError
from agent.untrusted_text import one_line
from policies.frozen import dataclass

TOO_DEEP = "[nested too deeply]"
"""Stands in place of what a model nested deeper than the record does."""
REDACTED = "[redacted]"
"""Stands where a secret was."""
STRING_LIMIT = 256 * 1024
"""Characters of one recorded string; of a longer one its head, length and sha256 are kept."""

_HEAD = 4096
_DEEPEST = 50
"""Levels: a model may nest its arguments as deep as it likes; the record does not."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class CutText(str):
    """A recorded string of which only the head was kept; as text it says so."""

    __slots__ = ("characters", "head", "sha256")
    head: str
    characters: int
    """Length of the whole string."""
    sha256: str
    """Digest (hex) of the whole string in UTF-8."""

    @classmethod
    def of(cls, *, head: str, characters: int, sha256: str) -> Self:
        left = characters - len(head)
        made = cls(f"{head}\n[cut: {left} more characters were not recorded]")
        made.head, made.characters, made.sha256 = head, characters, sha256
        return made


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
            return {_utf8(str(key)): plain(item, depth + 1) for key, item in value.items()}
        case tuple() | list() | set() | frozenset():
            return [plain(item, depth + 1) for item in value]
        case RecordedModel():
            return value.json_object()
        case _ if is_dataclass(value):
            items = {field.name: getattr(value, field.name) for field in fields(value)}
            return {"type": kind_of(type(value)), **_object(items, depth + 1)}
        case _:
            return repr(value)


def kind_of(made: type) -> str:
    """How a kind of event, or of a value in one, is called in JSON: ``call_started``."""
    return _CAMEL.sub("_", made.__name__).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lossy:
    """What of recorded values is no longer what it was."""

    cut: int
    """Strings that were too long, or nested too deeply, to be recorded whole."""
    redacted: int
    """Strings in which a secret stood."""
    exact_thinking: bool
    """Blocks that only their provider understands must go back as they came, or not at all."""


def is_whole(value: object) -> bool:
    """Whether nothing in a value was cut or redacted when it was recorded."""
    return all(not _is_cut(text) and REDACTED not in text for text in texts_in(value))


def count_losses(value: object) -> tuple[int, int]:
    """How many strings in a value were cut, and in how many a secret was redacted."""
    texts = list(texts_in(value))
    return sum(map(_is_cut, texts)), sum(REDACTED in text for text in texts)


def texts_in(value: object) -> Iterator[str]:
    """Every string in a value of ours, however deep."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        match item:
            case str():
                yield item
            case Mapping():
                waiting.extend((*item, *item.values()))
            case tuple() | list():
                waiting.extend(item)
            case RecordedModel():
                waiting.extend(getattr(item, name) for name in item.recorded_fields)
            case _ if is_dataclass(item):
                waiting.extend(getattr(item, field.name) for field in fields(item))


def _is_cut(text: str) -> bool:
    return isinstance(text, CutText) or text == TOO_DEEP


def _object(items: Mapping[str, object], depth: int) -> dict[str, object]:
    return {name: plain(item, depth) for name, item in items.items()}


def _bounded(text: str) -> object:
    if isinstance(text, CutText):
        return {"head": text.head, "characters": text.characters, "sha256": text.sha256}
    if len(text) <= STRING_LIMIT:
        return _utf8(text)
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return {"head": _utf8(text[:_HEAD]), "characters": len(text), "sha256": digest}


def _utf8(text: str) -> str:
    """Without lone surrogates: models write them as ``\\ud800``, and they have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()


FORMAT = 1
"""Version of the form of ``events.jsonl`` and ``run.json``. A reader takes no other."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class RecordedModel:
    """A value that is a line of a record, or all of a summary; `forms` knows its types."""

    recorded_fields: ClassVar[Mapping[str, Any]] = {}
    """The type of each field."""
    defaults: ClassVar[Mapping[str, object]] = {}
    """Of the fields that may be left out."""

    def __init_subclass__(cls) -> None:
        hints = {
            name: hint
            for name, hint in vars(cls).get("__annotations__", {}).items()
            if get_origin(hint) is not ClassVar
        }
        cls.recorded_fields = {**cls.recorded_fields, **hints}
        own = {name: vars(cls)[name] for name in hints if name in vars(cls)}
        cls.defaults = {**cls.defaults, **own}

    def __init__(self, /, **values: Any) -> None:
        # A type checker has seen what we make ourselves; what was recorded, pydantic checks.
        names, defaults = self.recorded_fields, self.defaults
        missing = [name for name in names if name not in values and name not in defaults]
        if missing or values.keys() - names.keys():
            raise TypeError(f"{type(self).__name__} of {sorted(values)}, without {missing}")
        self.__dict__.update((name, values.get(name, defaults.get(name))) for name in names)

    def __setattr__(self, name: str, _value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({shown})"

    def replaced(self, changes: Mapping[str, object]) -> Self:
        """The same with other values of some fields."""
        return type(self)(**{**self.__dict__, **changes})

    def json_object(self) -> dict[str, object]:
        """The JSON form."""
        return _object({name: getattr(self, name) for name in self.recorded_fields}, 0)

    @classmethod
    def read(cls, row: Mapping[str, object], what: str) -> Self:
        """A value from its JSON form; arguments and errors as `forms.read`."""
        from agent.record.events import forms  # noqa: PLC0415 - a run that reads none needs it not

        return cls(**forms.read(cls, row, what))


class RecordedEvent(RecordedModel):
    """A line of a record, which begins with the kind that its class's name gives it."""

    recorded_fields: ClassVar[Mapping[str, Any]] = {"event": str}
    event: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.event = kind_of(cls)
        cls.recorded_fields = {**cls.recorded_fields, "event": Literal.__getitem__(cls.event)}
        cls.defaults = {**cls.defaults, "event": cls.event}


def object_in(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in a file or a line of ours; raises `RecordError` where it is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{what} is not JSON: {one_line(str(error), 80)}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{what} is not a JSON object")
    return value


def require_format(row: Mapping[str, object], what: str) -> None:
    """Raises `RecordError` where a record or a summary is of another version."""
    if row.get("format") != FORMAT:
        other = one_line(str(row.get("format", "none")), 40)
        raise RecordError(
            f"{what} was written by another version of Moonpool (its record format: {other}; this "
            f"version reads {FORMAT} only): use the version that wrote it"
        )
