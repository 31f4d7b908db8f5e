"""A file of the operator's as text: read, parsed and located, before anyone asks what it means.

Owns the safe subset of YAML: one document, mappings, lists and plain scalars. Anchors, aliases,
tags and merge keys are refused, so that there is nothing to expand and nothing to construct; depth
and size are bounded. Booleans are ``true`` and ``false`` only (in YAML 1.1 the program ``yes``
would be one). Refuses to know the keys (`schema`, and the agent's configuration): all it takes from
its callers is what they call such a file.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml

from policies.errors import PolicyError, Where
from policies.frozen import dataclass

PACKAGE = Path(__file__).parents[1]
"""Holds the files that come with Moonpool."""
MAX_FILE_BYTES = 128 * 1024
MAX_DEPTH = 12

KeyPath = tuple[str | int, ...]
Scalar = str | int | float | bool | None
Data = Scalar | tuple["Data", ...] | dict[str, "Data"]

_TURNING = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Controls of writing from right to left: a value can seem to stand in a comment by them."""
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}\Z")
_CONSTANTS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One parsed file."""

    file: str
    """As the operator gave it."""
    text: str
    data: Mapping[str, Data]
    keys: Mapping[KeyPath, Where]
    """Where each mapping key stands."""
    values: Mapping[KeyPath, Where]
    """Where each value starts; ``()`` is the whole document."""

    def where(self, path: KeyPath) -> Where:
        """The place of a value, or of the nearest thing around it that is there."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path]

    def error(self, path: KeyPath, message: str) -> PolicyError:
        """A complaint about the value at a place."""
        return PolicyError(message, where=self.where(path), key=spelled(path))


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    path: KeyPath
    mapping: dict[str, Data] | None
    items: list[Data] = field(default_factory=list)
    key: str | None = None


def spelled(path: KeyPath) -> str:
    """A key path as people write it: ``commands[3].args``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_text(path: Path, *, shown_as: str, called: str = "policy") -> str:
    """The text of a policy, or of another file as strict; ``called`` names its kind.

    Raises:
        PolicyError: it is missing, not a regular file, too large or not UTF-8.
    """
    where = Where(file=shown_as, line=0)
    try:
        if not path.exists():
            raise PolicyError("there is no such file", where=where)
        # A pipe or a device would be waited for without end.
        if not path.is_file():
            raise PolicyError("is not a file", where=where)
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PolicyError(f"can't be read: {reason}", where=where) from error
    return decoded(raw, file=shown_as, called=called)


def packaged(name: str) -> Document:
    """A file that comes with Moonpool, by its name below ``policies/``."""
    return own(PACKAGE / name)


def own(path: Path) -> Document:
    """A file that comes with Moonpool.

    The parser in C will do for it, where there is one. It takes a tenth of the time, and its
    complaints, which are worded less well, can't arise.
    """
    text = decoded(path.read_bytes(), file=path.name)
    return parse(text, file=path.name, loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def decoded(raw: bytes, *, file: str, called: str = "policy") -> str:
    """Bytes of a file as text.

    Raises:
        PolicyError: it is too large, not UTF-8, or turned around for a person who reads it.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise PolicyError(
            f"is larger than {MAX_FILE_BYTES // 1024} KiB; a {called} is a page or two",
            where=Where(file=file, line=0),
        )
    text = utf8(raw, file=file)
    turning = _TURNING.search(text)
    if turning is not None:
        message = (
            f"U+{ord(turning[0]):04X} shows what stands around it in another order: take it out"
        )
        raise PolicyError(message, where=_behind(text[: turning.start()], file))
    return text


def _behind(before: str, file: str) -> Where:
    """The place of what stands in a file behind a text, with which the file begins."""
    column = len(before) - before.rfind("\n")
    return Where(file=file, line=before.count("\n") + 1, column=column)


def utf8(raw: bytes, *, file: str) -> str:
    """As `decoded`, of bytes that are bounded already."""
    try:
        return raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        # By bytes: what cannot be decoded has no characters.
        where = _behind(raw[: error.start].decode("latin-1"), file)
        raise PolicyError("is not UTF-8 text", where=where) from error


def parse(
    text: str, *, file: str, called: str = "policy", loader: Any = yaml.SafeLoader
) -> Document:
    """Parse the text of a policy, or of another file as strict; ``called`` names its kind.

    Raises:
        PolicyError: it is not YAML, or uses more of YAML than a policy may; with the place.
    """
    builder = _built(text, file, called, loader)
    return builder.document(text, expected="mapping that starts with `version: 1`")


def parse_list(text: str, *, file: str, key: str, called: str) -> Document:
    """As `parse`, where a list may be the whole file: it is what stands under `key` then.

    Made for long files. The parser in C goes first, and where it complains, the one that words it
    better.
    """
    try:
        builder = _built(text, file, called, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except PolicyError:
        _built(text, file, called, yaml.SafeLoader)
        raise  # the two disagree: what one of them does not take is not taken
    if isinstance(builder.root, tuple):
        keys, values = builder.keys, builder.values
        builder.keys = {(key, *path): where for path, where in keys.items()}
        builder.values = {(): values[()]} | {(key, *path): at for path, at in values.items()}
        builder.root = {key: builder.root}
    return builder.document(text, expected=f"list, or a mapping with `{key}:`")


def _built(text: str, file: str, called: str, loader: Any) -> "_Builder":
    builder = _Builder(file, called)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.reader.ReaderError as error:
        where = _behind(text[: error.position], file)
        raise PolicyError("a character that YAML does not allow", where=where) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from error
    return builder


class _Builder:
    """Turns parser events into data. Iterative: a nest of brackets must not exhaust the stack."""

    def __init__(self, file: str, called: str) -> None:
        self.file = file
        self.called = called
        self.root: Data = None
        self.keys: dict[KeyPath, Where] = {}
        self.values: dict[KeyPath, Where] = {}
        self._open: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._error(
                        f"a {self.called} is one document: `---` starts another", event
                    )
            case yaml.AliasEvent():
                raise self._error(
                    f"YAML aliases are not used in a {self.called}: write it out", event
                )
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._start(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = self._open.pop()
                whole: Data = tuple(closed.items) if closed.mapping is None else closed.mapping
                self._put(whole)
            case _:
                pass

    def document(self, text: str, *, expected: str) -> Document:
        """What was built, if it is a mapping; ``expected`` says what such a file is."""
        if isinstance(self.root, dict):
            return Document(
                file=self.file, text=text, data=self.root, keys=self.keys, values=self.values
            )
        where = self.values.get((), Where(file=self.file, line=1, column=1))
        empty = ", and this file is empty" if self.root is None else ""
        raise PolicyError(f"a {self.called} is a {expected}{empty}", where=where)

    def _start(self, event: yaml.Event) -> None:
        self._refuse_decoration(event)
        if self._open and self._open[-1].mapping is not None and self._open[-1].key is None:
            raise self._error("a key must be a plain word", event)
        if len(self._open) >= MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels", event)
        path = self._path()
        self.values[path] = self._where(event)
        mapping: dict[str, Data] | None = {} if isinstance(event, yaml.MappingStartEvent) else None
        self._open.append(_Open(path=path, mapping=mapping))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._refuse_decoration(event)
        top = self._open[-1] if self._open else None
        if top is None or top.mapping is None or top.key is not None:
            self.values[self._path()] = self._where(event)
            self._put(_resolved(event))
            return
        key = str(event.value)
        path = (*top.path, key)
        if key in top.mapping:
            first = self.keys[path]
            raise self._error(f"this key is there already, in line {first.line}", event, path)
        if key == "<<" and not event.style:
            raise self._error(
                f"YAML merge keys are not used in a {self.called}: write it out", event
            )
        self.keys[path] = self._where(event)
        top.key = key

    def _put(self, value: Data) -> None:
        if not self._open:
            self.root = value
            return
        top = self._open[-1]
        if top.mapping is None:
            top.items.append(value)
        elif top.key is not None:
            top.mapping[top.key] = value
            top.key = None

    def _path(self) -> KeyPath:
        if not self._open:
            return ()
        top = self._open[-1]
        return (*top.path, len(top.items) if top.mapping is None else top.key or "")

    def _refuse_decoration(self, event: yaml.Event) -> None:
        if getattr(event, "anchor", None) is not None:
            raise self._error(f"YAML anchors are not used in a {self.called}: write it out", event)
        if getattr(event, "tag", None) is not None:
            raise self._error(f"YAML tags (`!…`) are not used in a {self.called}", event)

    def _where(self, event: yaml.Event) -> Where:
        mark = event.start_mark
        if mark is None:
            return Where(file=self.file, line=0)
        end = event.end_mark
        width = 1
        if isinstance(event, yaml.ScalarEvent) and end is not None and end.line == mark.line:
            width = max(1, end.column - mark.column)
        return Where(file=self.file, line=mark.line + 1, column=mark.column + 1, width=width)

    def _error(self, message: str, event: yaml.Event, path: KeyPath = ()) -> PolicyError:
        return PolicyError(message, where=self._where(event), key=spelled(path or self._path()))


def _resolved(event: yaml.ScalarEvent) -> Scalar:
    value = str(event.value)
    if event.style:
        return value
    if value in _CONSTANTS:
        return _CONSTANTS[value]
    if _INT.match(value):
        return int(value)
    if _FLOAT.match(value):
        return float(value)
    return value


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> PolicyError:
    mark = error.problem_mark or error.context_mark
    if mark is not None and not text[mark.index :].strip() and error.context_mark is not None:
        # What was opened and never closed: where it was opened, not the end of the file.
        mark = error.context_mark
    if mark is None:
        return PolicyError("is not YAML", where=Where(file=file, line=0))
    where = Where(file=file, line=mark.line + 1, column=mark.column + 1)
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: mark.column + 1]:
        return PolicyError("a tab can't indent YAML: use spaces", where=where)
    problem = error.problem or "is not YAML"
    context = f" {error.context}" if error.context else ""
    return PolicyError(f"not YAML: {problem}{context}", where=where)
