"""Redirections as the grammar has them: which words in one are its target, and which the command's.

The grammar takes words behind a redirection as its targets, and the number before one as a word.
"""

from tree_sitter import Node

from policies.shell.ast import Redirect
from policies.shell.words import word

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
