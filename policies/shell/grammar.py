"""Where tree-sitter-bash's grammar and bash itself differ, in what stands beside the commands.

Blanks: the grammar skips carriage returns, form feeds and escaped blanks, takes a line's end as a
blank where bash ends the command, and splits a word that goes on in the next line. Each would hide
a command from the check, so each is a complaint.

Patterns in `${x#…}`, `${x%…}`, `${x/…}`: the grammar counts braces in one and knows neither quotes
nor backslashes there; bash ends it at the first brace that is neither quoted nor escaped. Text that
one takes as the pattern's is commands to the other.

Redirections: the grammar takes words behind one as its targets, and the number before it as a word.

Arithmetic may carry out a substitution where the tree shows none: bash evaluates a variable's value
as arithmetic, and a subscript in it is expanded. With ``x='a[$(cmd)]'`` the text ``((x))`` runs
cmd. The signs of that are searched for in the texts themselves; they take in more than need be, and
look at no text twice.
"""

import re
from itertools import pairwise

from tree_sitter import Node

from policies.shell.ast import Redirect
from policies.shell.words import word

# What is neither plain text nor a plain blank: only then is it worth comparing what lies between
# two tokens with what bash takes as a blank.
_UNUSUAL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]|\\[\s]")
_BLANK = re.compile(rb"(?:[ \t\n]|\\\n)*\Z")
_CONTINUED = re.compile(rb"(?:\\\n)+\Z")
# `python3 - <<EOF`: the grammar loses the dash, an argument that starts nothing.
_LOST_DASH = re.compile(rb"[ \t]+-[ \t]*")

_ANY_TEXT_BETWEEN = frozenset({"string", "heredoc_body", "heredoc_redirect"})
_ONE_LINE = frozenset(
    {"command", "declaration_command", "unset_command", "variable_assignments", "file_redirect",
     "redirected_statement", "herestring_redirect", "subscript"}
)  # fmt: skip
_TESTS = frozenset(
    {"test_command", "unary_expression", "binary_expression", "parenthesized_expression",
     "ternary_expression", "postfix_expression"}
)  # fmt: skip
_WORDS = frozenset({"word", "concatenation", "command_name", "variable_name"})
_TOKENS = frozenset({"simple_expansion", "concatenation", "variable_assignment"})
_BLANKS_ARE_PLAIN = frozenset({"expansion", "c_style_for_statement"})
"""What bash takes as one text, blanks and all: ``${x:?two words}``, ``for ((i = 0; …))``."""
_PATTERNS = frozenset({"regex", "extglob_pattern"})
_LINE_END = "a line that ends where bash ends the command"

Complaint = tuple[str, int]
"""What is wrong, and at which byte."""


class BlankCheck:
    def __init__(self, source: bytes) -> None:
        self._source = source
        self._unusual = _UNUSUAL.search(source) is not None
        self._lines = b"\n" in source

    def around(self, root: Node) -> Complaint | None:
        """Before the first node and after the last."""
        children = root.children
        first, last = (children[0].start_byte, children[-1].end_byte) if children else (0, 0)
        for edge, at in ((self._source[:first], 0), (self._source[last:], last)):
            if not _BLANK.match(edge):
                return f"{edge[:8]!r} is no blank to bash: quote it", at
        return None

    def between(
        self, kind: str, children: list[Node], *, above: str, one_line: bool
    ) -> Complaint | None:
        """Between the children of a node of that kind.

        ``above``: the kind of what the node is in. Asked of the tree, it is searched from the root.
        ``one_line``: inside ``[ … ]``, which is a command like any other and ends with its line.
        """
        complaint = self._unlike_bash(kind, children, above)
        if complaint is not None:
            return complaint
        if not self._unusual and not self._lines:
            return None
        ends = kind in _ONE_LINE or (kind in _TESTS and (one_line or children[0].type == "["))
        if kind not in _ANY_TEXT_BETWEEN:
            for left, right in pairwise(children):
                complaint = self._gap(left, right, ends_with_line=ends)
                if complaint is not None:
                    return complaint
        one_text = kind in _BLANKS_ARE_PLAIN or above in _BLANKS_ARE_PLAIN
        for child in children if not one_text else ():
            # `ls\n\x` is one word, line's end and all, to the grammar.
            if child.type in _WORDS and self._is_blank(child.start_byte):
                return _LINE_END, child.start_byte
        return None

    def _unlike_bash(self, kind: str, children: list[Node], above: str) -> Complaint | None:
        """Tokens that bash would have cut otherwise."""
        start = children[0].start_byte
        if kind in _TOKENS:
            end = start
            # In quotes the blank before a `$` is text, which the grammar gives to the `$`.
            text_before = above == "string" and kind == "simple_expansion"
            for child in children if above not in _BLANKS_ARE_PLAIN else ():
                begin = child.start_byte
                blank = self._is_blank(begin) and not (text_before and begin == start)
                # `$ $` is one token to the grammar, blank and all.
                if end < begin or blank:
                    return "a blank within a word", start
                end = child.end_byte
        elif kind == "test_command":
            after = children[0].end_byte
            if self._source[after : after + 1] not in {b" ", b"\t", b"\n", b""}:
                return "a bracket that is part of a word to bash", after
        elif kind == "command" and any(c.type in _PATTERNS for c in children):
            return "a pattern where bash reads a command", start
        return None

    def _is_blank(self, at: int) -> bool:
        # Past the end stands one too: `$\\` there is a variable without a name to the grammar.
        return self._source[at : at + 1] in {b" ", b"\t", b"\n", b"\r", b""}

    def _gap(self, left: Node, right: Node, *, ends_with_line: bool) -> Complaint | None:
        gap = self._source[left.end_byte : right.start_byte]
        if gap in {b"", b" "}:
            return None
        if _LOST_DASH.fullmatch(gap) and right.type == "heredoc_redirect":
            return None
        if not _BLANK.match(gap):
            return f"{gap!r} between words is no blank to bash: quote it", left.end_byte
        if _CONTINUED.match(gap) and left.is_named and right.is_named:
            return "a word continued on the next line: write it on one", left.end_byte
        if ends_with_line and b"\n" in gap.replace(b"\\\n", b""):
            return _LINE_END, left.end_byte
        return None


# What is no end to bash, and holds none that quotes would have to hide.
_NO_END = re.compile(
    rb"(?:[^\\'\"}$`]"
    rb"|\\."
    rb"|'[^'\"{}]*'"
    rb'|"(?:[^"\\`$(){}]|\\[^{}]|\$[^({`"\\]|\$\{\w+\})*"'
    rb"|\$'(?:[^'\"\\{}]|\\[^{}])*'"
    rb"|\$(?![{(\['\"])"
    rb"|\$\{[^{}'\"\\$`]*\}"
    rb"|\$\([^(){}'\"\\$`]*\)"
    rb"|`[^{}'\"\\$`]*`)*",
    re.DOTALL,
)


def ends_alike(children: list[Node], source: bytes) -> bool:
    """Does an expansion with these children end for bash where it does for the grammar?"""
    patterns = [index for index, child in enumerate(children) if child.type == "regex"]
    if not patterns:
        return True
    # From the operator on, behind which a string may stand before the pattern.
    before = [child for child in children[: patterns[0]] if not child.is_named]
    start, ends = before[-1].end_byte, (children[patterns[-1] + 1], children[-1])
    # To the sign behind the pattern; or to the last brace, where that sign was an escaped `/`.
    return any(_NO_END.fullmatch(source, start, end.start_byte) is not None for end in ends)


_CLOSING = frozenset({">&-", "<&-"})
"""They have no target, whatever the grammar says."""


def redirect(children: list[Node], source: bytes, depth: int) -> Redirect | None:
    """The redirection that a node with these children is; None: it has no target."""
    offset = children[0].start_byte
    if _is_usual(children):
        return Redirect(children[-2].type, word(children[-1:], source), offset, depth)
    operator = next((child.type for child in children if not child.is_named), "")
    extras = {extra.start_byte for extra in _behind_target(children)}
    named = [child for child in _named(children) if child.start_byte not in extras]
    return Redirect(operator, word(named, source), offset, depth) if named else None


def extra_words(node: Node) -> list[Node]:
    """Words in a redirection's node that are the command's own arguments."""
    if node.type == "file_redirect":
        children = node.children
        return [] if _is_usual(children) else _behind_target(children)
    if node.type == "heredoc_redirect":
        extras = node.children_by_field_name("argument")
        for child in node.children_by_field_name("redirect"):
            extras += extra_words(child)
        return extras
    return []


def takes_last_word(node: Node, command: Node, source: bytes) -> bool:
    """Is the command's last word, to the grammar, the `0` of ``0<&-``?"""
    last = command.children[-1]
    return (
        last.type == "number"
        and command.child_count > 1
        and last.end_byte == node.start_byte
        and command.children[-2].end_byte < last.start_byte
        and source[last.start_byte : last.end_byte].isdigit()
        and source[node.start_byte] in b"<>"
        and all(child.type != "file_descriptor" for child in node.children)
    )


def _named(children: list[Node]) -> list[Node]:
    return [child for child in children if child.is_named and child.type != "file_descriptor"]


def _behind_target(children: list[Node]) -> list[Node]:
    named = _named(children)
    first = 0 if any(child.type in _CLOSING for child in children) else 1
    while 0 < first < len(named) and named[first].start_byte == named[first - 1].end_byte:
        first += 1
    return named[first:]


def _is_usual(children: list[Node]) -> bool:
    """``>f`` or ``2>f``, with nothing behind it."""
    if len(children) == 3 and children[0].type == "file_descriptor":
        children = children[1:]
    return (
        len(children) == 2
        and not children[0].is_named
        and children[1].is_named
        and children[0].type not in _CLOSING
    )


# A substitution that stands in quotes, to be text; and what may carry it out all the same.
_QUOTED = re.compile(r"'[^']*(?:\$\(|`)|\\[$`]|\$'")
_EVALUATES = re.compile(
    r"\(\(|\$\[|\$\{|[\w\"'}]\[|-(?:eq|ne|lt|le|gt|ge|v|R)\b|-[A-Za-z]*i"
    r"|\b(?:let|read|mapfile|readarray|unset|declare|typeset|local|export|readonly)\b"
)
# A value that only the run knows, which a variable may get; not from a list of plain words.
_FROM_RUN = re.compile(
    r"\$\((?!\()|`|\b(?:read|mapfile|readarray)\b"
    r"|\b(?:for|select)\s+\w+\s+in\s(?![\w ./,:-]{0,200}[;\n])"
)
# Arithmetic over more than numbers.
_OVER_VARIABLES = re.compile(
    r"\(\((?![-+*/%0-9 ()]{0,64}\)\))|\$\[|\w\[(?![0-9@*]{1,9}\])|\blet\s"
    r"|\$\{!?[\w@*]+(?:\[[0-9@*]{1,9}\])?:(?![-=?+]|\s*-?[0-9]{1,9}(?::-?[0-9]{1,9})?\})"
)
_COMPARES = re.compile(r"\s-(?:eq|ne|lt|le|gt|ge|v|R)\s")
_DECLARES = re.compile(r"\b(?:declare|typeset|local|export|readonly)\b")
_AS_NUMBER = re.compile(r"\s-[A-Za-z]*i")


class ArithmeticCheck:
    """What the texts of one command have of it, taken together."""

    def __init__(self) -> None:
        self._quoted = False
        self._evaluates = False
        self._from_run = False
        self._over_variables = False

    def add(self, text: str) -> None:
        """Another text of the command."""
        self._quoted = self._quoted or _QUOTED.search(text) is not None
        self._evaluates = self._evaluates or _EVALUATES.search(text) is not None
        self._from_run = self._from_run or _FROM_RUN.search(text) is not None
        self._over_variables = self._over_variables or _is_over_variables(text)

    def note(self) -> str | None:
        """What may run unseen; None: nothing."""
        if self._quoted and self._evaluates:
            return "arithmetic may carry out a substitution that stands in quotes"
        if self._from_run and self._over_variables:
            return "arithmetic carries out a substitution in a value that only the run knows"
        return None


def _is_over_variables(text: str) -> bool:
    return (
        _OVER_VARIABLES.search(text) is not None
        or ("[[" in text and _COMPARES.search(text) is not None)
        or (_DECLARES.search(text) is not None and _AS_NUMBER.search(text) is not None)
    )
