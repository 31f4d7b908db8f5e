"""What stands between two nodes of the tree: blanks to the grammar, and to bash?

The grammar skips carriage returns, form feeds and escaped blanks, takes a line's end as a blank
where bash ends the command, and splits a word that goes on in the next line. Each would hide a
command from the check, so each is a complaint.
"""

import re
from itertools import pairwise

from tree_sitter import Node

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
        for child in children:
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
