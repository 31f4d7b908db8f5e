"""Here-documents lifted out of a text that the grammar could not parse with them in it.

The grammar fails on ``python3 <<PY 2>&1 | tail``, on two here-documents in a line and on
``2>&1 <<<word``, all of them honest and common. Here their bodies are taken out on the bytes and
the rest is parsed again. Only for text in which it is plain what ``<<`` means: where arithmetic, a
backquote or a subscript could make it a shift, nothing is lifted and the text stays refused.
"""

import re

from policies.frozen import dataclass
from policies.shell.heredoc import delimiter

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

_IN_PLACE = b"</dev/null"
"""What stands where a here-document was announced. A redirection it stays: where bash takes none,
as in `x=(cat <<E`, it gives up that line and carries out what seemed to be the document's."""
_MAX_EXPANSION = 1024
"""Bytes of one ``${…}`` that are looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftedText:
    text: bytes
    """The rest, with as many lines as before."""
    bodies: tuple[bytes, ...]
    """Of here-documents in which substitutions are carried out, without the tabs of ``<<-``."""


@dataclass(frozen=True, slots=True)
class _Pending:
    ending: bytes
    literal: bool
    strip_tabs: bool


def lift(source: bytes) -> LiftedText | None:
    """The text without its here-documents; None where it is not plain what is one."""
    lifter = _Lifter(source)
    position = 0
    for _ in range(len(source) + 1):
        match = _TOKEN.search(source, position)
        if match is None:
            lifter.kept += source[position:]
            if lifter.pending:
                return None
            return LiftedText(text=bytes(lifter.kept), bodies=tuple(lifter.bodies))
        lifter.kept += source[position : match.start()]
        after = lifter.take(match[0], match.end())
        if after is None:
            return None
        position = after
    return None


class _Lifter:
    def __init__(self, source: bytes) -> None:
        self._source = source
        self.kept = bytearray()
        self.bodies: list[bytes] = []
        self.pending: list[_Pending] = []

    def take(self, token: bytes, end: int) -> int | None:
        """Take a token that ends there; gives where to go on, None: it is unclear."""
        if token in {b"<<", b"<<-"}:
            return self._announce(token, end)
        if token == b"\n":
            self.kept += token
            return self._take_bodies(end)
        if token == b"<<<":
            self.kept += b" < "
        elif token == b"<>":
            self.kept += b"> "
        elif self._is_plain(token, end):
            self.kept += token
        else:
            return None
        return end

    def _is_plain(self, token: bytes, end: int) -> bool:
        if token == b"${":
            close = self._source.find(b"}", end, end + _MAX_EXPANSION)
            return close != -1 and b"<<" not in self._source[end:close]
        if token[:1] == b'"':
            return len(token) > 1 and b"<<" not in token
        if token[:1] == b"'":
            return len(token) > 1
        return token[:1] in {b"\\", b"#"} or token[:2] == b"$'"

    def _announce(self, token: bytes, end: int) -> int | None:
        opening = _OPENING.match(self._source, end)
        announced = delimiter(opening[1]) if opening else None
        if opening is None or announced is None:
            return None
        ending, literal = announced
        self.pending.append(_Pending(ending, literal, strip_tabs=token == b"<<-"))
        self.kept += _IN_PLACE
        return opening.end()

    def _take_bodies(self, position: int) -> int | None:
        for document in self.pending:
            end = _body(self._source, position, document)
            if end is None:
                return None
            body, position = self._source[position : end[0]], end[1]
            # As many lines as before, so that a complaint names the right one.
            self.kept += b"\n" * (body.count(b"\n") + 1)
            if not document.literal:
                if document.strip_tabs:
                    body = b"\n".join(line.lstrip(b"\t") for line in body.split(b"\n"))
                self.bodies.append(body)
        self.pending = []
        return position


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
