"""What a repository's attributes say of a path (gitattributes(5)).

Owns the form of attribute files, their precedence and their macros. The files are the repository's:
everything is bounded, and a path whose attributes can't be told within the bounds has none that are
known, which is not the same as having none.
"""

import re
from collections.abc import Iterator, Mapping

from policies.frozen import dataclass
from sandbox.git.manifest import PERSONAL_ATTRIBUTES
from sandbox.git.pattern import PathPattern, parse_pattern
from sandbox.git.quoting import QUOTED, unquoted

Value = bytes | bool | None
"""``name=value``; ``name`` and ``-name``; ``!name``, which takes back what others say."""

WORK_LIMIT = 20_000_000
"""Patterns tried and bytes matched, for all paths together: some seconds."""
RULES_LIMIT = 20_000
FILE_LIMIT_BYTES = 1 << 20
"""Of a larger file it is not known what it says."""
_LINE_LIMIT_BYTES = 2048
"""git ignores longer lines (attr.h, ATTR_MAX_LINE_LENGTH)."""
_MACROS_LIMIT = 64

_FILE = b".gitattributes"
_INFO_FILE = b".git/info/attributes"
_MACRO = b"[attr]"
_NAME = re.compile(rb"[A-Za-z0-9_.][-A-Za-z0-9_.]*")
_BINARY: list[tuple[bytes, Value]] = [(b"diff", False), (b"merge", False), (b"text", False)]


@dataclass(frozen=True, slots=True)
class _AttributeRule:
    pattern: PathPattern
    states: list[tuple[bytes, Value]]


class AttributesUnknown(Exception):
    """The attribute files are too many, or take too long to match."""


class Attributes:
    """The attribute files of one tree, by their paths; a file of another name is not looked at."""

    def __init__(self, files: Mapping[bytes, bytes], *, work_limit: int = WORK_LIMIT) -> None:
        self._work_left = work_limit
        self._macros: dict[bytes, list[tuple[bytes, Value]]] = {b"binary": _BINARY}
        self._files: dict[bytes | None, list[_AttributeRule]] = {}
        """By directory; None: what counts everywhere, and more than all the others."""
        self._count = 0
        self._too_large: set[bytes | None] = set()
        self._personal = self._parsed(files.get(PERSONAL_ATTRIBUTES, b""), macros=True)
        for path, data in files.items():
            # Of two definitions of a macro, that of the repository's own file counts.
            if path.rpartition(b"/")[2] == _FILE:
                self._add(path.rpartition(b"/")[0], data, macros=path == _FILE)
        if _INFO_FILE in files:
            self._add(None, files[_INFO_FILE], macros=True)

    def _add(self, place: bytes | None, data: bytes, *, macros: bool) -> None:
        if len(data) > FILE_LIMIT_BYTES:
            self._too_large.add(place)
        self._files[place] = self._parsed(data, macros=macros)

    def of(self, path: bytes) -> Mapping[bytes, Value]:
        """What is said of a file; a name that nothing is said of is missing, or None.

        Raises:
            AttributesUnknown: that can't be told within the bounds.
        """
        if self._count > RULES_LIMIT:
            raise AttributesUnknown(f"there are more than {RULES_LIMIT} rules for attributes")
        found: dict[bytes, Value] = {}
        name = path.rpartition(b"/")[2]
        for directory, rules in self._places(path):
            if directory in self._too_large:
                where = (directory or b"").decode("utf-8", "replace") or "the workspace"
                raise AttributesUnknown(
                    f"the attributes file of {where} is larger than {FILE_LIMIT_BYTES} bytes"
                )
            inner = path[len(directory) + 1 :] if directory else path
            for rule in reversed(rules):
                matched, work = rule.pattern.matches(inner, name)
                self._work_left -= work
                if self._work_left < 0:
                    raise AttributesUnknown("the repository's attributes take too long to match")
                if matched and not rule.pattern.directory_only:
                    self._fill(found, rule.states)
        return found

    def _places(self, path: bytes) -> Iterator[tuple[bytes | None, list[_AttributeRule]]]:
        """Where rules for the path stand, and the rules; those that count most first."""
        if None in self._files:
            yield None, self._files[None]
        while path:
            path = path.rpartition(b"/")[0]
            if path in self._files:
                yield path, self._files[path]
        yield b"", self._personal

    def _fill(self, found: dict[bytes, Value], states: list[tuple[bytes, Value]]) -> None:
        """Whoever speaks first counts; a macro that is set speaks at once (attr.c: fill_one)."""
        waiting = list(states)
        while waiting:
            name, value = waiting.pop()
            if name not in found:
                found[name] = value
                if value is True:
                    waiting += self._macros.get(name, ())

    def _parsed(self, data: bytes, *, macros: bool) -> list[_AttributeRule]:
        rules = []
        for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            text = line.partition(b"\0")[0].strip(b" \t\r")
            if not text or text.startswith(b"#") or len(line) >= _LINE_LIMIT_BYTES:
                continue
            quoted = QUOTED.match(text)
            if quoted:
                written, rest = unquoted(quoted[1]), text[quoted.end() :]
            else:
                written, *more = re.split(rb"[ \t\r]+", text, maxsplit=1)
                rest = more[0] if more else b""
            states = _states(rest)
            if states is None:
                continue
            if text.startswith(_MACRO) and not quoted:
                name = written.removeprefix(_MACRO)
                if macros and _NAME.fullmatch(name) and len(self._macros) < _MACROS_LIMIT:
                    self._macros[name] = states
                continue
            pattern = parse_pattern(written, "")
            if pattern is not None and pattern.reason is not None:  # git takes none with a ``!``
                rules.append(_AttributeRule(pattern, states))
        self._count += len(rules)
        return rules


def _states(text: bytes) -> list[tuple[bytes, Value]] | None:
    """What a line says of what its pattern matches; None where git takes no such line."""
    states: list[tuple[bytes, Value]] = []
    for word in re.split(rb"[ \t\r]+", text.strip(b" \t\r")):
        name, equals, given = word.partition(b"=")
        value: Value = given if equals else True
        if word[:1] in {b"-", b"!"}:
            name, value = word[1:].partition(b"=")[0], False if word[:1] == b"-" else None
        if word and not _NAME.fullmatch(name):
            return None
        if word:
            states.append((name, value))
    return states
