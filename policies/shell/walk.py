"""The walk over tree-sitter-bash's tree, from nodes to parts.

Knows where that grammar and bash differ; what the two might read differently becomes a problem,
never a guess. Keeps its own stack: a thousand nested brackets must not exhaust Python's.
"""

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from tree_sitter import Node, Tree

from policies.frozen import dataclass
from policies.shell import ast, grammar
from policies.shell.ast import Construct, FunctionDefinition, NestedText, ParsedText, SimpleCommand
from policies.shell.grammar import BlankCheck, Complaint
from policies.shell.words import Word, is_translated, word

if TYPE_CHECKING:
    from policies.shell.heredoc import Heredocs

# A command in which nothing can mean anything else: no need to look at its nodes one by one.
_PLAIN = re.compile(rb"[A-Za-z0-9_./-]+(?: [A-Za-z0-9_./:,@%+=-]+)*")
_MAX_PLAIN = 256
_MAX_SEEN = 4096
# What sends a definition off into a shell of its own.
_ELSEWHERE = re.compile(rb"(?:[ \t]|\\\n)*(?:&(?!&)|\|(?!\|))")
# To the grammar `\'` is an escaped quote in `$'a\\'` too, where to bash the text ends.
_ANSI_C = re.compile(rb"\$'(?:[^'\\]|\\.)*'", re.DOTALL)
_GROUP = re.compile(r"[?*+@!]\(")
_SUBSTITUTION = re.compile(rb"(?<!\\)(?:\\\\)*(?:\$\(|`)")

_GROUPS = {
    "pipeline": "pipeline",
    "subshell": "subshell",
    "compound_statement": "group",
    "if_statement": "if",
    "while_statement": "while",
    "for_statement": "for",
    "c_style_for_statement": "for",
    "case_statement": "case",
    "command_substitution": "substitution",
    "process_substitution": "process substitution",
}
_OWN_SHELL = frozenset({"subshell", "command_substitution", "process_substitution", "pipeline"})
_CONDITIONAL = frozenset(
    {"if_statement", "while_statement", "for_statement", "c_style_for_statement", "case_statement",
     "list", "negated_command", "function_definition", "compound_statement"}
)  # fmt: skip
"""What may not run, or not in this shell: `{ f() { ls; }; } & f` runs the program."""
_SIMPLE = frozenset({"command", "declaration_command", "unset_command"})
# Quotes inside these are text to bash: `"${x:-'$(cmd)'}"` and `((a['$(cmd)']))` run cmd.
_QUOTES_ARE_TEXT = frozenset({"expansion", "arithmetic_expansion", "subscript", "test_command"})
_LITERAL_LEAVES = frozenset({"raw_string", "ansi_c_string", "comment", "heredoc_end"})
_ALWAYS_SEEN = frozenset({"comment", "ansi_c_string"})
_COMMENT_PARENTS = frozenset(
    {"program", "list", "pipeline", "subshell", "compound_statement", "do_group", "if_statement",
     "elif_clause", "else_clause", "case_statement", "case_item", "while_statement",
     "for_statement", "command_substitution", "process_substitution", "redirected_statement",
     "array", "function_definition", "command", "variable_assignments", "declaration_command"}
)  # fmt: skip
_IN_EXPANSION = "concatenation in expansion"
"""The kind of a word in ``${…}`` itself, where quotes may be text and end what is around them."""
_NO_WORDS = frozenset(
    {"variable_assignment", "file_redirect", "heredoc_redirect", "herestring_redirect", "comment",
     "subshell"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _WalkPlace:
    """What the walk knows of the surroundings of a node."""

    depth: int = 0
    scope_end: int = 1 << 60
    certain: bool = True
    quotes_are_text: bool = False
    one_line: bool = False
    """Inside ``[ … ]``, which is a command like any other and ends with its line."""


_Waiting = tuple[Node, _WalkPlace, str]
"""A node, where it stands, and the kind of what it is in: asked of the tree, that is searched for
from the root."""


class TreeWalk:
    def __init__(self, source: bytes) -> None:
        self._source = source
        self._parsed = ParsedText()
        self._seen: dict[bytes, tuple[Word, ...]] = {}
        self._blanks = BlankCheck(source)
        self._heredocs: Heredocs | None = None
        self._look_inside = b"`" in source or b"$(" in source or b"${" in source
        self._translates = b'$"' in source

    def run(self, tree: Tree) -> ParsedText:
        """Walk the whole tree; how long it takes is bounded by how many nodes it has."""
        root = tree.root_node
        self._parsed.weight = root.descendant_count
        self._complain(self._blanks.around(root))
        stack: list[_Waiting] = [(root, _WalkPlace(), "")]
        while stack and self._parsed.problem is None:
            self._visit(*stack.pop(), stack)
        return self._parsed

    def _visit(  # noqa: C901, PLR0912 - a branch for each kind of node
        self, node: Node, place: _WalkPlace, above: str, stack: list[_Waiting]
    ) -> None:
        """Record what a node means; its children go onto the stack."""
        kind = node.type
        if kind == "command" and self._plain(node, place):
            return
        if kind == "command_substitution" and self._backquoted(node, place):
            return
        children = node.children
        if not children:
            self._leaf(node, kind, place, above)
            return
        self._complain(self._blanks.between(kind, children, above=above, one_line=place.one_line))
        label = _GROUPS.get(kind)
        if label is not None:
            self._parsed.items.append(Construct(label, node.start_byte, place.depth))
            if kind == "for_statement":
                self._loop_variable(node, place)
        elif kind in _SIMPLE:
            self._simple(node, children, [], place)
        elif kind == "redirected_statement":
            self._redirected(children, place, stack)
            return
        elif kind == "file_redirect":
            found = grammar.redirect(children, self._source, place.depth)
            self._parsed.items += [found] if found is not None else []
        elif kind == "heredoc_redirect":
            self._heredoc(children, place)
        elif kind == "function_definition":
            self._function(node, place)
        elif kind == "variable_assignment" and above not in _SIMPLE:
            item = SimpleCommand((), (self._assigned(node),), node.start_byte, place.depth)
            self._parsed.items.append(item)
        elif kind == "expansion":
            self._expansion(children, place)
        elif kind == "concatenation" and above == "expansion":
            kind = _IN_EXPANSION
        self._push(children, self._inside(node, place), kind, stack)

    def _backquoted(self, node: Node, place: _WalkPlace) -> bool:
        """Is it in backquotes, with others or escapes within? Then it is read as bash would."""
        text = self._text(node) if self._source.startswith(b"`", node.start_byte) else b"``"
        if b"\\" not in text and text.count(b"`") == 2:
            return False
        from policies.shell.heredoc import unescaped  # noqa: PLC0415 - for few texts

        forms = unescaped(text)
        if not forms:
            self._fail("a backquote that bash ends elsewhere", node.start_byte)
        for form in forms:
            self._nested(form, node.start_byte, place)
        return True

    def _push(
        self, children: list[Node], place: _WalkPlace, above: str, stack: list[_Waiting]
    ) -> None:
        if self._translates and any(is_translated(*pair) for pair in pairwise(children)):
            self._parsed.notes.add('$"…"')
        # A leaf says nothing of its own unless bash might see in it what the grammar does not.
        stack += [
            (child, place, above)
            for child in reversed(children)
            if child.child_count
            or (child.is_named and (self._look_inside or child.type in _ALWAYS_SEEN))
        ]

    def _inside(self, node: Node, place: _WalkPlace) -> _WalkPlace:
        kind = node.type
        if kind not in _GROUPS and kind not in _CONDITIONAL and kind not in _QUOTES_ARE_TEXT:
            return place
        start = self._source[node.start_byte : node.start_byte + 2]
        quotes = place.quotes_are_text or kind in _QUOTES_ARE_TEXT or start == b"(("
        return _WalkPlace(
            depth=place.depth + (kind in _GROUPS or kind == "function_definition"),
            scope_end=node.end_byte if kind in _OWN_SHELL else place.scope_end,
            certain=(place.certain or kind in _OWN_SHELL) and kind not in _CONDITIONAL,
            quotes_are_text=quotes and kind not in _OWN_SHELL,
            one_line=kind == "test_command" and start != b"[[",
        )

    def _text(self, node: Node) -> bytes:
        return self._source[node.start_byte : node.end_byte]

    def _complain(self, complaint: Complaint | None) -> None:
        if complaint is not None:
            self._fail(*complaint)

    def _fail(self, problem: str, offset: int) -> None:
        line = self._source.count(b"\n", 0, offset) + 1
        self._parsed.problem = self._parsed.problem or f"line {line}: {problem}"

    def _leaf(self, node: Node, kind: str, place: _WalkPlace, above: str) -> None:
        """Text in which the grammar saw nothing: look for what bash would see."""
        if kind == "comment":
            self._comment(node, above)
            return
        if kind == "ansi_c_string" and not _ANSI_C.fullmatch(self._text(node)):
            self._fail("a `$'` that bash ends elsewhere", node.start_byte)
        if not self._look_inside or (kind in _LITERAL_LEAVES and not place.quotes_are_text):
            return
        text = self._text(node)
        if kind in _LITERAL_LEAVES and b'"' in text and above in {"expansion", _IN_EXPANSION}:
            self._fail("quotes within quotes, unclear", node.start_byte)
        if kind in {"heredoc_content", "heredoc_body"} or not _SUBSTITUTION.search(text):
            return
        if kind in _LITERAL_LEAVES:
            text = text[text.index(b"'") + 1 : -1]
        if len(text) > 2 and node.is_named:
            # Read as bash would between double quotes, where single ones are text.
            plain = not set(text) & set(b"'\"")
            quoted = b": " + text if plain else b': "' + text.replace(b'"', b'\\"') + b'"'
            self._nested(quoted, node.start_byte, place)

    def _nested(self, text: bytes, offset: int, place: _WalkPlace) -> None:
        shown = text.decode("utf-8", "surrogateescape")
        self._parsed.items.append(NestedText(shown, offset, place.depth + 1))

    def _comment(self, node: Node, above: str) -> None:
        before = self._source[max(0, node.start_byte - 2) : node.start_byte]
        starts_word = before[-1:] in {b"", b" ", b"\t", b"\n", b";", b"&", b"|", b"(", b")"}
        if not starts_word or before[:1] == b"\\" or above not in _COMMENT_PARENTS:
            self._fail("a `#` that bash may not read as a comment", node.start_byte)

    def _redirected(self, children: list[Node], place: _WalkPlace, stack: list[_Waiting]) -> None:
        """A command with redirections after it; the grammar takes words behind them as targets."""
        body = children[0] if children[0].type in _SIMPLE else None
        extras = [extra for child in children for extra in grammar.extra_words(child)]
        if body is None:
            if extras:
                self._fail("words after a redirection", extras[0].start_byte)
            self._push(children, place, "redirected_statement", stack)
            return
        self._push(children[1:], place, "redirected_statement", stack)
        descriptor = grammar.takes_last_word(children[1], body, self._source)
        if not extras and not descriptor and self._plain(body, place):
            return
        inner = body.children
        above = "redirected_statement"
        self._complain(self._blanks.between(body.type, inner, above=above, one_line=False))
        if descriptor:
            inner = inner[:-1]
        self._simple(body, inner, extras, place)
        self._push(inner, place, body.type, stack)

    def _simple(
        self, node: Node, children: list[Node], extras: list[Node], place: _WalkPlace
    ) -> None:
        assigned: list[tuple[str, Word | None]] = []
        pieces: list[Node] = []
        for child in children:
            kind = child.type
            if kind not in _NO_WORDS:
                pieces.append(child)
            elif kind == "variable_assignment":
                assigned.append(self._assigned(child))
            elif kind == "file_redirect":
                pieces += grammar.extra_words(child)
            elif kind == "subshell" and [self._text(piece) for piece in pieces] != [b"time"]:
                self._fail("a bracket after a command's name", child.start_byte)
        pieces += extras
        words: list[Word] = []
        start = 0
        for index, piece in enumerate(pieces):
            following = pieces[index + 1] if index + 1 < len(pieces) else None
            # Without a blank between them they are one word, whatever the grammar says.
            if following is None or following.start_byte != piece.end_byte:
                group = pieces[start : index + 1]
                words.append(word([_unwrapped(part) for part in group], self._source))
                start = index + 1
        at = ast.syntax_length(words)
        if any(word.value is None and _GROUP.search(word.text) for word in words[at : at + 1]):
            # `!(ls)`, where `extglob` is not set.
            self._fail("a bracket where bash reads a command", node.start_byte)
        declares = node.type == "declaration_command" and self._certain(node, place)
        self._parsed.items.append(
            SimpleCommand(tuple(words), tuple(assigned), node.start_byte, place.depth, declares)
        )

    def _certain(self, node: Node, place: _WalkPlace) -> bool:
        """Does what a node does hold for what follows it, and not in a shell of its own?"""
        return place.certain and not _ELSEWHERE.match(self._source, node.end_byte)

    def _plain(self, node: Node, place: _WalkPlace) -> bool:
        """Record a command of plain words only; the usual one, and the same ones come again."""
        start, end = node.start_byte, node.end_byte
        if end - start > _MAX_PLAIN:
            return False
        text = self._source[start:end]
        words = self._seen.get(text)
        if words is None:
            if not _PLAIN.fullmatch(text):
                return False
            parts = text.decode("ascii").split(" ")
            words = tuple([Word(text=part, value=part) for part in parts])
            if len(self._seen) < _MAX_SEEN:
                self._seen[text] = words
        self._parsed.items.append(SimpleCommand(words, (), start, place.depth))
        return True

    def _assigned(self, node: Node) -> tuple[str, Word | None]:
        value = node.child_by_field_name("value")
        return self._named(node), word([value], self._source) if value is not None else None

    def _named(self, node: Node, field: str = "name") -> str:
        name = node.child_by_field_name(field)
        return self._text(name).decode("utf-8", "surrogateescape") if name else ""

    def _loop_variable(self, node: Node, place: _WalkPlace) -> None:
        assigned = (self._named(node, "variable"), None)
        self._parsed.items.append(SimpleCommand((), (assigned,), node.start_byte, place.depth))

    def _expansion(self, children: list[Node], place: _WalkPlace) -> None:
        kinds = [child.type for child in children]
        at = children[0].start_byte
        if "@" in kinds and "P" in kinds:
            self._parsed.notes.add("${…@P}")
        if "=" in kinds or ":=" in kinds:
            named = self._text(children[1]).decode("utf-8", "surrogateescape")
            assigned = (named if children[1].is_named else "", None)
            self._parsed.items.append(SimpleCommand((), (assigned,), at, place.depth))
        if not grammar.ends_alike(children, self._source):
            self._fail("a pattern that bash may end elsewhere", at)

    def _function(self, node: Node, place: _WalkPlace) -> None:
        shown = self._named(node)
        self._parsed.items.append(Construct(f"function {shown}", node.start_byte, place.depth))
        begin, end, certain = node.start_byte, node.end_byte, self._certain(node, place)
        function = FunctionDefinition(shown, begin, end, place.scope_end, certain)
        self._parsed.functions.append(function)

    def _heredoc(self, children: list[Node], place: _WalkPlace) -> None:
        from policies.shell.heredoc import Heredocs, UnclearHeredoc  # noqa: PLC0415 - few have one

        self._heredocs = self._heredocs or Heredocs(self._source)
        try:
            for text, offset in self._heredocs.texts(children):
                self._nested(text, offset, place)
        except UnclearHeredoc as unclear:
            self._fail(unclear.problem, unclear.offset)


def _unwrapped(node: Node) -> Node:
    return node.children[0] if node.type == "command_name" and node.child_count else node
