"""Shell text, parsed: every simple command and redirection in it, in the order they are written.

Owns the parser and the bounds on what it is given. Refuses to know policies.
"""

import re
from functools import lru_cache
from importlib.machinery import PathFinder

from tree_sitter import Language, Parser, Tree

from policies.shell.ast import NestedText, ParsedText, SimpleCommand
from policies.shell.walk import TreeWalk

MAX_TEXT_BYTES = 1_500_000
MAX_STEPS = 2_000_000
"""Of the parser, for one text; a megabyte of usual shell takes a million."""
MAX_NODES = 520_000
"""Of the tree, for one text; a megabyte of usual shell has 460,000."""
_ESCAPED_BRACKET = re.compile(rb"\$\\[({`]")
_READ_OTHERWISE = re.compile(rb"\$\(\(|\\[$`\\]")
"""What the grammar takes for substitutions in a here-document, and bash does not."""
_EMPTY_LOOP = re.compile(rb"\b((?:for|select)[ \t]+[A-Za-z_][A-Za-z0-9_]*[ \t]+)in(?=[ \t]*;)")
"""``for x in; do``, over nothing: as good as over the parameters."""
_BRACE_LOOP = re.compile(
    rb"\b(?:for|select)[ \t]+([A-Za-z_][A-Za-z0-9_]*)"
    rb"(?=(?:[ \t]+in\b[^;\n]{0,400})?[ \t]*[;\n]\s*\{\s)"
)
"""``for x in a b; { ls; }``: as good as ``do`` and ``done`` to bash."""
_NAMED_DESCRIPTOR = re.compile(rb"(?<![^\s;&|(])\{([A-Za-z_][A-Za-z0-9_]*)\}(?=[<>])")
"""``exec {fd}>file``: bash picks the number, and sets the variable to it."""
_STEPS_A_CALL = 100
"""Steps between two calls of the parser's own progress callback."""
_MIN_READ_BYTES = 1 << 20
_MAX_READS = 24
"""How often over a text may be read. Usual shell is read once or twice; recovery from some kinds of
nonsense (30 kB of closing brackets) looks through the rest of it again at every step."""
_CHUNK_BYTES = 256
"""Small: after each step back the parser asks for a whole one again."""
_PLAIN_BYTE = 0x02
_AS_PLAIN = bytes([*range(0x80), *[_PLAIN_BYTE] * 0x80])
"""What the grammar is given for a byte that is not ASCII: one that is part of a word and nothing
more, which is what it is to bash. The grammar's scanner looks characters up in tables that end at
U+00FF, and reading past them ends the process: ``{`` before a character beyond the basic plane is
enough (tree-sitter-bash issue 337). It also takes letters of all scripts for those of a variable's
name, and blanks of all scripts for blanks."""

_SPELLED = (
    # `10#$i`, a number of that base to arithmetic and plain text elsewhere: `10+$i` differs in
    # nothing that is looked at. Not behind `{`, where it would be an operator of `${10#$i}`.
    (re.compile(rb"(?<=[( \t=+*/%<>&|?:,-])([0-9]{1,2})#(?=\$)"), rb"\1+"),
    # `0$x`, digits in front of a number.
    (re.compile(rb"(?<=[( \t=+*/%<>&|?:,-])[0-9](?=\$)"), b"+"),
    # `${!#}` and `${@:$#}`, the last parameter.
    (re.compile(rb"(?<=\$\{!)#(?=\})"), b"1"),
    (re.compile(rb"(?<=\$\{[@*]:)\$(?=[A-Za-z0-9_#]+[:}])"), b"+"),
    # `7<>file`: opened for writing too, and that is what is looked at.
    (re.compile(rb"(?<![<>])<>(?![<>(&|])"), b">>"),
)
"""What the grammar fails on, and what it is given instead: of the same length, so that the words
are still read from the text itself."""
_EXTENDED = re.compile(
    rb"(?<![\\$])([?*+@]|(?<=[ \t])!|(?<=[\w.*/-])!)\([A-Za-z0-9_.*?/|\[\]:^!@+,%~=-]+\)"
)
"""``!(keep|*.md)``, a pattern where `extglob` is set. Where it is not, bash refuses the whole line,
but for ``! (…)`` in front of a command, which the walk refuses."""
_SPLIT_ARRAY = re.compile(rb"=\((?=[^\n]*\n)")
"""Where `extglob` is not set, bash gives up the first line of ``x=(+(a)`` only, and carries out the
next ones."""
_MAX_NESTED = 4


@lru_cache(maxsize=1)
def _language() -> Language:
    # The compiled grammar alone: its package loads six modules to read files that are not wanted.
    package = PathFinder.find_spec("tree_sitter_bash")
    inside = None if package is None else package.submodule_search_locations
    spec = PathFinder.find_spec("tree_sitter_bash._binding", inside)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("no tree_sitter_bash is installed", name="tree_sitter_bash")
    binding = spec.loader.create_module(spec)
    assert binding is not None  # a compiled module makes itself
    spec.loader.exec_module(binding)
    return Language(binding.language())


class _Effort:
    """What a parse may cost, counted and not timed: the same text always gets the same answer."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._to_read = max(_MIN_READ_BYTES, _MAX_READS * len(source))
        self._calls = MAX_STEPS // _STEPS_A_CALL
        self.spent = False

    def read(self, offset: int, _: object) -> bytes:
        """A piece of the text; none, as at its end, once it costs too much."""
        self._to_read -= _CHUNK_BYTES
        if self._to_read < 0:
            self.spent = True
        return b"" if self.spent else self._source[offset : offset + _CHUNK_BYTES]

    def ends(self, *_: object) -> bool:
        self._calls -= 1
        if self._calls < 0:
            self.spent = True
        return self.spent


def _tree(source: bytes) -> Tree | None:
    """The tree of a text; None: it costs too much.

    Every byte keeps its place, so that what the tree says is where is read from the text itself.
    """
    given = source if source.isascii() else source.translate(_AS_PLAIN)
    tree = _grammatical(given)
    if tree is None or not tree.root_node.has_error:
        return tree
    spelled = given
    for form, instead in _SPELLED:
        spelled = form.sub(instead, spelled)
    if b"(" in spelled and not _SPLIT_ARRAY.search(spelled):
        for _ in range(_MAX_NESTED):
            spelled = _EXTENDED.sub(lambda found: b"*" * len(found[0]), spelled)
    if spelled == given:
        return tree
    again = _grammatical(spelled)
    return again if again is None or not again.root_node.has_error else tree


def _grammatical(text: bytes) -> Tree | None:
    """What the grammar makes of it. A parser of its own: there may be threads."""
    effort = _Effort(text)
    try:
        tree = Parser(_language()).parse(effort.read, progress_callback=effort.ends)
    except ValueError:
        return None
    return None if effort.spent else tree


def parse(text: str) -> ParsedText:  # noqa: PLR0911 - a return for each thing that rules it out
    """Parse shell text. Never raises: what can't be read is in ``problem``."""
    try:
        source = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return ParsedText(problem="a character that no text can hold")
    if len(source) > MAX_TEXT_BYTES:
        return ParsedText(problem=f"longer than {MAX_TEXT_BYTES} bytes: put it into a file")
    if b"\x00" in source:
        return ParsedText(problem="a NUL byte")
    if b"$\\\n" in source:
        # To bash `$(` again, in quotes too; the grammar sees text.
        return ParsedText(problem="a `$` continued on the next line")
    if b"${" in source and _ESCAPED_BRACKET.search(source) is not None:
        # `"${x:-"$\\(cmd)"}"`: bash takes the quoting off before it looks for substitutions.
        problem = "a `$` before an escaped bracket, in a text with `${`"
        return ParsedText(problem=problem)
    tree = _tree(source)
    if tree is None:
        return ParsedText(problem="it takes too long to be read: put it into a file")
    if tree.root_node.descendant_count > MAX_NODES:
        return ParsedText(problem="more commands than are checked: put them into a file")
    if b"<<" in source and (tree.root_node.has_error or _READ_OTHERWISE.search(source)):
        lifted = _without_documents(source)
        if lifted is not None:
            return lifted
    rewritten = _rewritten(source)
    if rewritten is not None:
        return rewritten
    if tree.root_node.has_error:
        offset = _first_error(tree)
        near = source[offset : offset + 24].decode("utf-8", "replace").split("\n")[0]
        line = source.count(b"\n", 0, offset) + 1
        return ParsedText(problem=f"line {line}, near {near!r}, does not parse as shell")
    return TreeWalk(source).run(tree)


def _rewritten(source: bytes) -> ParsedText | None:
    """The text with forms that the grammar does not know put as others of the same commands.

    A loop whose body stands in braces is a command with words and a group; a descriptor that bash
    numbers itself has a number. What either assigns counts as assigned. None: no such form is in
    it, or what is made of it does not parse.
    """
    assigned = [
        found[1].decode("ascii")
        for form in (_BRACE_LOOP, _NAMED_DESCRIPTOR)
        for found in form.finditer(source)
    ]
    text = _EMPTY_LOOP.sub(rb"\1  ", source)
    if not assigned and text == source:
        return None
    text = _BRACE_LOOP.sub(lambda found: b":".rjust(found.start(1) - found.start() - 1)
                           + found[0][found.start(1) - found.start() - 1 :], text)  # fmt: skip
    text = _NAMED_DESCRIPTOR.sub(lambda found: b"9".rjust(len(found[0])), text)
    tree = _tree(text)
    if tree is None or tree.root_node.has_error:
        return None
    parsed = TreeWalk(text).run(tree)
    parsed.items += [SimpleCommand((), ((name, None),), 0, 0) for name in assigned]
    return parsed


def _without_documents(source: bytes) -> ParsedText | None:
    """The text parsed without its here-documents, and those as texts of their own.

    None: it is not plain what is a document, or what is left does not parse either.
    """
    from policies.shell.heredoc import OPEN_BACKQUOTE, commands  # noqa: PLC0415 - for documents only
    from policies.shell.heredoc_lifting import lift  # noqa: PLC0415

    lifted = lift(source)
    tree = None if lifted is None else _tree(lifted.text)
    if lifted is None or tree is None or tree.root_node.has_error:
        return None
    parsed = TreeWalk(lifted.text).run(tree)
    for body in lifted.bodies:
        texts = commands(body)
        if texts is None:
            return ParsedText(problem=OPEN_BACKQUOTE)
        if source in texts:
            return None
        parsed.items += [
            NestedText(text.decode("utf-8", "surrogateescape"), 0, 1) for text in texts
        ]
    return parsed


def _first_error(tree: Tree) -> int:
    cursor = tree.walk()
    while True:
        node = cursor.node
        if node is None or node.is_error or node.is_missing:
            return node.start_byte if node else 0
        if node.has_error and cursor.goto_first_child():
            while cursor.node is not None and not cursor.node.has_error:
                if not cursor.goto_next_sibling():
                    return node.start_byte
            continue
        return node.start_byte
