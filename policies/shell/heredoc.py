"""Here-documents and backquotes: the two places where the grammar sees less than bash does.

The grammar does not look for backquotes in a here-document's body, and takes an end that bash would
not take. Both are settled here on the bytes.
"""

import bisect
import re
from collections.abc import Iterator

from tree_sitter import Node

OPEN_BACKQUOTE = "an open backquote in a here-document"
_PIECE = re.compile(rb"\\.|[^\\`]+|[\\`]", re.DOTALL)
_ESCAPE = re.compile(rb"\\([`$\\])")
_IN_QUOTES = re.compile(rb"\\([`$\\\"])")
# Balanced, and without anything that is carried out: where brackets do not balance, bash takes
# `$((a) | (b))` for commands.
_ARITHMETIC = re.compile(
    rb"\$\(\((?:[\w \t+*/%%<>=!&|^~?:,#-]|%s|\((?:[\w \t+*/%%<>=!&|^~?:,#-]|%s)*\))*\)\)"
    % ((rb"\$(?:[A-Za-z0-9_]+|\{[A-Za-z0-9_]+\})",) * 2)
)
_DELIMITER = re.compile(rb"'([^']*)'|\"([^\"$`\\]*)\"|\\?([A-Za-z0-9_.+%@:/=-]+)\Z")


def delimiter(start: bytes) -> tuple[bytes, bool] | None:
    """The ending line that ``<<START`` announces, and whether its body is literal."""
    found = _DELIMITER.fullmatch(start)
    if found is None:
        return None
    single, double, bare = found.groups()
    if bare is not None:
        return bare, start.startswith(b"\\")
    return (single if single is not None else double), True


class UnclearHeredoc(Exception):
    """A here-document that bash may read otherwise than the grammar."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(problem, offset)
        self.problem = problem
        self.offset = offset


class Heredocs:
    """The here-documents of one text."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._lines: dict[bool, dict[bytes, list[int]]] = {}
        """Where lines begin, by what they hold; with the tabs before them and without."""

    def texts(self, redirect: list[Node]) -> Iterator[tuple[bytes, int]]:
        """Commands that the grammar does not see in a body, each with where it stands.

        Args:
            redirect: children of the redirection that announces the body.

        Raises:
            UnclearHeredoc: bash may read it otherwise.
        """
        parts = {child.type: child for child in redirect}
        start, end = parts.get("heredoc_start"), parts.get("heredoc_end")
        if start is None or end is None:
            raise UnclearHeredoc("a here-document that does not end", redirect[0].start_byte)
        announced = delimiter(self._source[start.start_byte : start.end_byte])
        if announced is None:
            raise UnclearHeredoc("a here-document's delimiter in unusual quoting", start.start_byte)
        ending, is_literal = announced
        strip_tabs = "<<-" in parts
        # To bash the first such line is the end.
        lines = self._begins(strip_tabs).get(ending, [])
        first = bisect.bisect_right(lines, start.end_byte)
        if lines[first : first + 1] != [self._source.rfind(b"\n", 0, end.start_byte) + 1]:
            raise UnclearHeredoc(
                f"bash may end the here-document {ending!r} elsewhere", start.start_byte
            )
        body = parts.get("heredoc_body")
        if not is_literal and body is not None:
            yield from self._expanded(body, end, strip_tabs=strip_tabs)

    def _begins(self, stripped: bool) -> dict[bytes, list[int]]:  # noqa: FBT001
        found = self._lines.get(stripped)
        if found is None:
            found = self._lines[stripped] = {}
            begin = 0
            for line in self._source.split(b"\n"):
                key = line.lstrip(b"\t") if stripped else line
                found.setdefault(key, []).append(begin)
                begin += len(line) + 1
        return found

    def _expanded(self, body: Node, end: Node, *, strip_tabs: bool) -> Iterator[tuple[bytes, int]]:
        text = self._source[body.start_byte : end.start_byte]
        if strip_tabs:
            text = b"\n".join(line.lstrip(b"\t") for line in text.split(b"\n"))
        found = commands(text)
        if found is None:
            raise UnclearHeredoc(OPEN_BACKQUOTE, body.start_byte)
        # Where tabs are stripped the grammar looks for no substitutions; elsewhere it has them.
        yield from ((command, body.start_byte) for command in found[not strip_tabs :])
        if strip_tabs:
            return
        seen = [
            (node.start_byte, node.end_byte) for node in body.named_children if node.child_count
        ]
        for at in substitutions(text):
            position = body.start_byte + at
            if not any(first <= position < last for first, last in seen):
                raise UnclearHeredoc(
                    "a substitution in a here-document, unclear", body.start_byte + at
                )


def _cut(text: bytes) -> list[bytes]:
    """The text cut at its backquotes, but for escaped ones: every second piece is between two."""
    pieces = [b""]
    for match in _PIECE.finditer(text):
        if match[0] == b"`":
            pieces.append(b"")
        else:
            pieces[-1] += match[0]
    return pieces


def backquoted(text: bytes) -> list[bytes] | None:
    """The commands between unescaped backquotes, unescaped once; None where one stays open."""
    pieces = _cut(text)
    return [_ESCAPE.sub(rb"\1", piece) for piece in pieces[1::2]] if len(pieces) % 2 else None


def unescaped(node: bytes) -> list[bytes]:
    """The commands of what is one substitution in backquotes to the grammar, as bash reads them.

    To it an end and a beginning with a blank between are an empty one within the first. Within
    double quotes an escaped one of those is escaped no more. None at all: it is neither.
    """
    pieces = _cut(node)
    if len(pieces) % 2 == 0 or any(gap.strip(b" \t") for gap in pieces[::2]):
        return []
    forms = (form.sub(rb"\1", piece) for piece in pieces[1::2] for form in (_ESCAPE, _IN_QUOTES))
    return list(dict.fromkeys(forms))


def substitutions(text: bytes) -> list[int]:
    """Where an unescaped ``$(`` or ``${`` stands in a body that is expanded."""
    return [
        match.start()
        for match in re.finditer(rb"\\.|\$[({]", text, re.DOTALL)
        if match[0].startswith(b"$")
    ]


def commands(body: bytes) -> list[bytes] | None:
    """A body that is expanded, as command texts that carry out what it does; None: it is unclear.

    What stands between backquotes comes apart, for escapes mean something else there.
    """
    found = backquoted(body)
    return None if found is None else [_as_command(body), *found]


def _as_command(body: bytes) -> bytes:
    """A command that is given such a body, in a form in which the grammar sees what bash does.

    It takes an escaped sign and arithmetic for a substitution; neither starts a command.
    """
    ending = b"MOONPOOL_BODY"
    while ending in body:
        ending += b"_"
    plain = _ESCAPE.sub(b"__", body)
    plain = _ARITHMETIC.sub(lambda found: b"_" * len(found[0]), plain)
    end = b"" if plain.endswith(b"\n") or not plain else b"\n"
    return b": <<" + ending + b"\n" + plain + end + ending + b"\n"
