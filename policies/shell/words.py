"""What a shell word is after quote removal, where that can be known before it runs.

Owns quoting, escapes and ANSI-C strings. A word with an expansion, a substitution, a glob or a
brace expansion in it has no value here: only the run can know it, and it is not guessed at.
"""

import re
from enum import Enum

from tree_sitter import Node

from policies.frozen import dataclass

HOME = "/home/agent"

# Nothing in it is a quote, an escape, an expansion, a pattern or a home directory.
_PLAIN = re.compile(rb"[A-Za-z0-9_./:@%+=,-]+")
_GLOB = re.compile(rb"[*?]|\[[^\]]*\]|[+@!]\(")
_SPREADS = re.compile(rb"[*?\[{]|[+@!]\(")
_ESCAPED = re.compile(rb"\\(\n|.)", re.DOTALL)
_STRING_ESCAPE = re.compile(rb"\\([$`\"\\\n])")
_ANSI = re.compile(
    rb"\\(?:([abeEfnrtv\\'\"?])|([0-7]{1,3})|x(\{[0-9a-fA-F]*\}?|[0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})"
    rb"|U([0-9a-fA-F]{1,8})|c(\\\\|.))",
    re.DOTALL,
)
_ANSI_LETTERS = {
    b"a": b"\a", b"b": b"\b", b"e": b"\x1b", b"E": b"\x1b", b"f": b"\f", b"n": b"\n", b"r": b"\r",
    b"t": b"\t", b"v": b"\v", b"\\": b"\\", b"'": b"'", b'"': b'"', b"?": b"?",
}  # fmt: skip

MAX_SHOWN = 300
"""Bytes of a word as written that are kept to show it."""

_CONSTANT = frozenset({"raw_string", "string", "translated_string", "ansi_c_string"})
LITERALS = frozenset({"word", "number", "variable_name", "test_operator", "file_descriptor"})


class WordExpansion(Enum):
    """What a word that only the run can know turns into."""

    ONE = 0
    """One word."""
    ALIKE = 1
    """Any number of words, none too, each of which starts with the same text: ``src/*``."""
    ANY = 2
    """Any number of any words: ``$x`` without quotes, ``"$@"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    text: str
    """As written."""
    value: str | None
    """After quote removal; None where only the run can know it."""
    quoted: bool = False
    """Any part of it was quoted or escaped: it is no reserved word."""
    opening: str = ""
    """What it is sure to start with, where the value is not known."""
    becomes: WordExpansion = WordExpansion.ANY
    """Where the value is not known."""


UNKNOWN = Word(text="…", value=None)
"""Stands for arguments that arrive while it runs, such as what xargs reads."""


def literal(text: str) -> Word:
    """A word that was made, not written: the operand of a wrapper, for one."""
    return Word(text=text, value=text, quoted=True)


def word(nodes: list[Node], source: bytes) -> Word:
    """The word that adjacent nodes make together."""
    start, end = nodes[0].start_byte, nodes[-1].end_byte
    # Cut: words nest, and a copy of each within each would take quadratic time.
    text = source[start : min(end, start + MAX_SHOWN)]
    shown = text.decode("utf-8", "surrogateescape")
    if len(nodes) == 1 and end - start < MAX_SHOWN:
        kind = nodes[0].type
        if kind in LITERALS and _PLAIN.fullmatch(text):
            return Word(text=shown, value=shown)
        if kind == "raw_string":
            return Word(text=shown, value=shown[1:-1], quoted=True)
    pieces: list[bytes] = []
    plain: list[bytes] = []
    quoted = False
    parts = _parts(nodes)
    for part in parts:
        piece = _value(part, source)
        if piece is None:
            return _unknown(parts, source, shown, quoted=quoted)
        pieces.append(piece)
        if part.type in LITERALS or not part.is_named:
            raw = source[part.start_byte : part.end_byte]
            plain.append(raw)
            quoted = quoted or b"\\" in raw
        else:
            plain.append(b"\x00")
            quoted = True
    # Expansions that make several words, or other words, of one.
    if _expands(b"".join(plain)):
        return _unknown(parts, source, shown, quoted=quoted)
    value = b"".join(pieces).decode("utf-8", "surrogateescape")
    if not text.startswith(b"~"):
        return Word(text=shown, value=value, quoted=quoted)
    # Of another user, or quoted in part: `~"/x"` is no home to bash.
    home = HOME + value[1:] if text[1:2] in {b"", b"/"} else None
    return Word(text=shown, value=home, quoted=quoted)


def _parts(nodes: list[Node]) -> list[Node]:
    """The pieces of a word; `$"…"` is one to bash, and a `$` before a string to the grammar."""
    parts: list[Node] = []
    for node in nodes:
        for part in node.children if node.type == "concatenation" else [node]:
            if parts and is_translated(parts[-1], part):
                parts.pop()
            parts.append(part)
    return parts


def is_translated(left: Node, right: Node) -> bool:
    """Do they make ``$"…"``, in whose place bash carries out what a catalogue of messages says?"""
    first = right.children[0] if right.type == "concatenation" else right
    return left.type == "$" and first.type == "string" and left.end_byte == right.start_byte


def _unknown(parts: list[Node], source: bytes, shown: str, *, quoted: bool) -> Word:
    """The word without a value: how it is sure to start, and whether it stays one word."""
    opening: list[bytes] = []
    becomes = WordExpansion.ONE
    open_still = True
    for part in parts:
        piece = _value(part, source)
        if piece is None:
            started, kind = _expanded(part, source)
            opening += [started] if open_still else []
            becomes = max(becomes, kind, key=lambda one: one.value)
            open_still = False
            continue
        raw = source[part.start_byte : part.end_byte]
        if (part.type in LITERALS or not part.is_named) and _SPREADS.search(raw):
            # A backslash before a sign makes it plain; taken as one that spreads all the same.
            opening += [_SPREADS.split(raw)[0]] if open_still else []
            becomes = max(becomes, WordExpansion.ALIKE, key=lambda one: one.value)
            open_still = False
        elif open_still:
            opening.append(piece)
    start = b"".join(opening)[:MAX_SHOWN].replace(b"\\", b"")
    return Word(
        text=shown,
        value=None,
        quoted=quoted,
        opening=start.decode("utf-8", "surrogateescape"),
        becomes=becomes,
    )


def _expanded(part: Node, source: bytes) -> tuple[bytes, WordExpansion]:
    """How a part that the run fills in is sure to start, and whether it stays within the word."""
    if part.type == "process_substitution":
        return b"/dev/fd/", WordExpansion.ONE
    if part.type != "string":
        return b"", WordExpansion.ANY
    start = part.children[1] if part.child_count > 2 else None
    known = start is not None and start.type == "string_content"
    text = source[start.start_byte : start.end_byte] if known and start is not None else b""
    for child in part.children:
        # `"$@"` and `"${a[@]}"` are several words; the cut keeps nests from taking quadratic time.
        inside = source[child.start_byte : min(child.end_byte, child.start_byte + MAX_SHOWN)]
        if child.type in {"simple_expansion", "expansion"} and (
            b"@" in inside or child.end_byte - child.start_byte > MAX_SHOWN
        ):
            return text, WordExpansion.ANY
    return _STRING_ESCAPE.sub(_unescaped, text), WordExpansion.ONE


def _value(  # noqa: PLR0911 - a return for each kind of quoting
    node: Node, source: bytes
) -> bytes | None:
    kind = node.type
    if kind not in LITERALS and kind not in _CONSTANT and node.is_named:
        return None
    raw = source[node.start_byte : node.end_byte]
    if kind == "``":
        return b""
    if kind in LITERALS or not node.is_named:
        return _ESCAPED.sub(_unescaped, raw) if b"\\" in raw else raw
    match kind:
        case "raw_string":
            return raw[1:-1]
        case "string":
            if all(child.type in {'"', "string_content"} for child in node.children):
                return _STRING_ESCAPE.sub(_unescaped, raw[1:-1])
            return None
        case "translated_string":
            inner = node.children[-1]
            return _value(inner, source) if inner.type == "string" else None
        case "ansi_c_string":
            return ansi_c(raw[2:-1])
        case _:
            return None


def _unescaped(match: re.Match[bytes]) -> bytes:
    return b"" if match[1] == b"\n" else match[1]


def _expands(plain: bytes) -> bool:
    if b"\\" in plain:
        plain = _ESCAPED.sub(b"\x00", plain)
    if _GLOB.search(plain):
        return True
    return b"{" in plain and b"}" in plain and (b"," in plain or b".." in plain)


def ansi_c(raw: bytes) -> bytes:
    """The inside of ``$'…'`` as bash reads it; a NUL ends it there, as it does in bash."""
    return _ANSI.sub(_ansi, raw).partition(b"\x00")[0]


def _ansi(match: re.Match[bytes]) -> bytes:
    letter, octal, hexa, short, long, control = match.groups()
    if letter is not None:
        return _ANSI_LETTERS[letter]
    if octal is not None:
        return bytes([int(octal, 8) & 0xFF])
    if hexa is not None:
        return bytes([int(hexa.strip(b"{}") or b"0", 16) & 0xFF])
    if control is not None:
        return bytes([control[0] & 0x1F])
    code = int(short or long, 16)
    try:
        return chr(code).encode("utf-8", "surrogatepass")
    except (ValueError, OverflowError):
        return match[0]
