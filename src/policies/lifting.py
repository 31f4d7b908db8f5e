"""Here-documents lifted out of a text that the grammar could not parse with them in it.

The grammar fails on ``python3 <<PY 2>&1 | tail``, on two here-documents in a line and on
``2>&1 <<<word``, all of them honest and common. Here their bodies are taken out on the bytes and the
rest is parsed again. Only for text in which it is plain what ``<<`` means: where arithmetic, a
backquote or a subscript could make it a shift, nothing is lifted and the text stays refused.
"""

import re
from dataclasses import dataclass

from policies.heredoc import delimiter

_TOKEN = re.compile(
    rb"\\(?:\n|.)"  # escaped
    rb"|'[^']*'"
    rb"|\$'(?:[^'\\]|\\.)*'"
    rb'|"(?:[^"\\]|\\.)*"'
    rb"|(?:(?<=[\s;&|()])|\A)#[^\n]*"  # comment
    rb"|<<<|<<-?|<>"
    rb"|\(\(|\$\[|`|\$\{|[A-Za-z0-9_]\[|['\"]"  # what makes it unclear, an open quote too
    rb"|\n",
    re.DOTALL,
)
_OPENING = re.compile(rb"[ \t]*('[^']*'|\"[^\"]*\"|\\?[A-Za-z0-9_.+%@:/=-]+)(?=[\s;&|<>()]|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    text: bytes
    """The rest, with as many lines as before."""
    bodies: tuple[bytes, ...]
    """Of here-documents in which substitutions are carried out, each as a text of its own."""


@dataclass(frozen=True, slots=True)
class _Pending:
    ending: bytes
    literal: bool
    strip_tabs: bool


def lift(source: bytes) -> Lifted | None:
    """The text without its here-documents; None where it is not plain what is one."""
    kept = bytearray()
    bodies: list[bytes] = []
    pending: list[_Pending] = []
    position = 0
    while True:
        match = _TOKEN.search(source, position)
        if match is None:
            kept += source[position:]
            return None if pending else Lifted(text=bytes(kept), bodies=tuple(bodies))
        kept += source[position : match.start()]
        token, position = match[0], match.end()
        if token in {b"<<", b"<<-"}:
            opening = _OPENING.match(source, position)
            announced = delimiter(opening[1]) if opening else None
            if opening is None or announced is None:
                return None
            pending.append(_Pending(announced[0], announced[1], token == b"<<-"))
            position = opening.end()
        elif token == b"\n":
            kept += token
            for document in pending:
                end = _body(source, position, document)
                if end is None:
                    return None
                body, position = source[position : end[0]], end[1]
                kept += b"\n" * body.count(b"\n")
                if not document.literal:
                    bodies.append(b": <<MOONPOOL_BODY\n" + body + b"MOONPOOL_BODY\n")
            pending = []
        elif token == b"<<<":
            kept += b" < "
        elif token == b"<>":
            kept += b"> "
        elif token[:1] in b"\\'\"$#" and len(token) > 2:
            if token[:1] == b'"' and b"<<" in token:
                return None
            kept += token
        elif token[:1] == b"\\" or token in {b"''", b'""'} or token[:1] == b"#":
            kept += token
        elif token == b"${" and b"<<" not in source[position : source.find(b"}", position) + 1]:
            kept += token
        else:
            return None


def _body(source: bytes, begin: int, document: _Pending) -> tuple[int, int] | None:
    """Where a body that begins there ends, and where the text goes on after its ending line."""
    position = begin
    while position < len(source):
        newline = source.find(b"\n", position)
        stop = len(source) if newline == -1 else newline
        line = source[position:stop]
        if (line.lstrip(b"\t") if document.strip_tabs else line) == document.ending:
            return position, min(stop + 1, len(source))
        position = stop + 1
    return None
