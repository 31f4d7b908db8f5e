"""What a repository's attributes say of a path (gitattributes(5)), and what git then stores of it.

Owns the form of attribute files, their precedence and their macros. Line ends, ``$Id$`` and
encodings are taken back here (convert.c), for host git runs with nobody's attributes, and a
filter's command is never run by anybody. The files are the repository's: everything is bounded, and
a path whose attributes can't be told within the bounds has none that are known, which is not the
same as having none.
"""

import re
from collections.abc import Iterator, Mapping
from enum import Enum, auto

from policies.frozen import dataclass
from sandbox.git.manifest import PERSONAL_ATTRIBUTES
from sandbox.git.pattern import PathPattern, parse_pattern
from sandbox.git.run import QUOTED, unquoted

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


LIMIT_BYTES = 32 << 20
"""A larger file's form is not computed."""

_IDENT = re.compile(rb"\$Id:[^$\n]*\$")
_FALSE = frozenset({b"", b"false", b"no", b"off", b"0"})
_CONTROLS = bytes(code for code in (*range(1, 32), 127) if code not in b"\b\x1b\x0c\t\r\n")
_LE, _BE, _LE32, _BE32 = b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff"
# Named here one by one: a name that a repository gives is looked up nowhere else.
_BYTE_ENCODINGS = {
    **{f"iso-8859-{n}": f"iso8859-{n}" for n in (*range(1, 12), 13, 14, 15, 16)},
    **{f"windows-125{n}": f"cp125{n}" for n in range(9)},
    **{f"cp125{n}": f"cp125{n}" for n in range(9)},
    **{name: name for name in ("koi8-r", "koi8-u", "cp437", "cp850", "cp866")},
    "latin1": "iso8859-1",
    "latin-1": "iso8859-1",
}


class NotComputed(Exception):
    """What git stores of this file is not known here. The message ends ``it goes through …``."""


class LineEnds(Enum):
    """Which CR LF become LF."""

    KEPT = auto()
    TEXT = auto()
    """All of them."""
    GUESSED = auto()
    """Those of a file that looks like text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How one file is taken into the index."""

    line_ends: LineEnds = LineEnds.KEPT
    ident: bool = False
    encoding: str = ""
    """Of the file in the worktree, in lower case; empty: UTF-8 or unknown."""
    filter: str = ""
    """Name of a filter, which has commands in somebody's configuration."""
    words: str = ""
    """What says so, as it would stand in a ``.gitattributes``."""

    @classmethod
    def by(cls, attributes: Mapping[bytes, Value], autocrlf: bytes = b"") -> "Conversion":
        """By what attributes say of a file, and the value of ``core.autocrlf``."""
        text = attributes.get(b"text")
        if text is None or (isinstance(text, bytes) and text not in {b"auto", b"input"}):
            # git takes a value that it does not know for none.
            text = attributes.get(b"crlf")
        eol = attributes.get(b"eol")
        if text is False:
            ends = LineEnds.KEPT
        elif text == b"auto":
            ends = LineEnds.GUESSED
        elif text is True or text == b"input" or eol in {b"lf", b"crlf"}:
            ends = LineEnds.TEXT
        else:
            ends = LineEnds.KEPT if autocrlf.lower() in _FALSE else LineEnds.GUESSED
        encoding = _text(attributes.get(b"working-tree-encoding")).lower()
        said = [
            _shown(name, attributes.get(name))
            for name in (b"text", b"crlf", b"eol", b"ident", b"filter", b"working-tree-encoding")
            if attributes.get(name) is not None
        ]
        if ends is LineEnds.GUESSED and text != b"auto":
            said.append("core.autocrlf")
        return cls(
            line_ends=ends,
            ident=attributes.get(b"ident") is True,
            encoding="" if encoding in {"utf-8", "utf8"} else encoding,
            filter=_text(attributes.get(b"filter")),
            words=" ".join(said),
        )

    @property
    def keeps_all(self) -> bool:
        """Whether git stores every file as it is."""
        plain = not (self.ident or self.encoding or self.filter)
        return plain and self.line_ends is LineEnds.KEPT

    def stored(self, data: bytes) -> bytes:
        """What git stores of a file with this content.

        Raises:
            NotComputed: a filter, an encoding or a file that is beyond us.
        """
        if self.filter:
            raise NotComputed(f"filter={self.filter}")
        if self.encoding and data:
            data = _decoded(data, self.encoding).encode()
        ends = self.line_ends
        if ends is LineEnds.TEXT or (ends is LineEnds.GUESSED and _looks_like_text(data)):
            data = data.replace(b"\r\n", b"\n")
        return _IDENT.sub(b"$Id$", data) if self.ident else data


def _text(value: Value) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else ""


def _shown(name: bytes, value: Value) -> str:
    shown = name.decode()
    if isinstance(value, bytes):
        return f"{shown}={_text(value)}"
    return shown if value else f"-{shown}"


def _decoded(data: bytes, encoding: str) -> str:
    """Text in the encodings that are known here; the rules on byte order marks are git's."""
    lacking = NotComputed(f"working-tree-encoding={encoding}")
    marked = data.startswith((_LE, _BE) if encoding.startswith("utf-16") else (_LE32, _BE32))
    if encoding in {"utf-16", "utf-16le-bom", "utf-16be-bom", "utf-32"}:
        codec = encoding[:6] if marked else ""
    elif encoding in {"utf-16le", "utf-16be", "utf-32le", "utf-32be"}:
        codec = "" if marked else encoding
    else:
        codec = _BYTE_ENCODINGS.get(encoding, "")
    if not codec:
        raise lacking
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        raise lacking from None


def _looks_like_text(data: bytes) -> bool:
    """As git guesses (convert.c: convert_is_binary)."""
    if b"\0" in data or data.count(b"\r") != data.count(b"\r\n"):
        return False
    controls = len(data) - len(data.translate(None, _CONTROLS)) - data.endswith(b"\x1a")
    printable = len(data) - controls - data.count(b"\n") - data.count(b"\r")
    return printable >> 7 >= controls
