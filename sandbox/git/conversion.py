"""What git stores of a file in a worktree: line ends, ``$Id$`` and encodings taken back.

Computed here (convert.c), for host git runs with nobody's attributes, and a filter's command is
never run by anybody. The file and what is said of it are the repository's.
"""

import re
from collections.abc import Mapping
from enum import Enum, auto

from policies.frozen import dataclass
from sandbox.git.attributes import Value

LIMIT_BYTES = 32 << 20
"""A larger file's form is not computed."""

_IDENT = re.compile(rb"\$Id:[^$\n]*\$")
_FALSE = frozenset({b"", b"false", b"no", b"off", b"0"})
_PRINTABLE_CONTROLS = b"\b\x1b\x0c\t"
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
