"""Shell text, parsed: every simple command and redirection in it, in the order they are written.

Owns the parser and the bounds on what it is given. Refuses to know policies.
"""

import time
from functools import lru_cache

import tree_sitter_bash
from tree_sitter import Language, Parser, Tree

from policies.commands import Nested, Parsed
from policies.lifting import lift
from policies.walking import Walk

MAX_TEXT_BYTES = 1_500_000
PATIENCE_S = 3.0
"""For one text. A megabyte of shell takes 0.2 s; recovery from some kinds of nonsense takes time in
the square of its length, and nonsense is denied anyway."""
WALK_PATIENCE_S = 10.0
"""For going through the tree of one text, which takes two seconds for a megabyte of shell."""
_CHUNK_BYTES = 1 << 16


@lru_cache(maxsize=1)
def _language() -> Language:
    return Language(tree_sitter_bash.language())


def _tree(source: bytes) -> Tree | None:
    """The tree of a text; None: it took too long. A parser of its own: there may be threads."""
    deadline = time.monotonic() + PATIENCE_S
    try:
        return Parser(_language()).parse(
            lambda offset, _: source[offset : offset + _CHUNK_BYTES],
            progress_callback=lambda *_: time.monotonic() > deadline,
        )
    except ValueError:
        return None


def parse(text: str) -> Parsed:  # noqa: PLR0911 - a return for each thing that rules it out
    """Parse shell text. Never raises: what can't be read is in ``problem``."""
    try:
        source = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        return Parsed(problem="a character that no text can hold", problem_offset=error.start)
    if len(source) > MAX_TEXT_BYTES:
        return Parsed(problem=f"longer than {MAX_TEXT_BYTES} bytes: put it into a file")
    if b"\x00" in source:
        return Parsed(problem="a NUL byte", problem_offset=source.index(b"\x00"))
    if b"$\\\n" in source:
        # To bash `$(` again, in quotes too; the grammar sees text.
        at = source.index(b"$\\\n")
        return Parsed(problem="a `$` continued on the next line", problem_offset=at)
    tree = _tree(source)
    if tree is None:
        return Parsed(problem="it takes too long to be read")
    deadline = time.monotonic() + WALK_PATIENCE_S
    lifted = lift(source) if tree.root_node.has_error and b"<" in source else None
    if lifted is not None:
        again = _tree(lifted.text)
        if again is not None and not again.root_node.has_error:
            bodies = (body.decode("utf-8", "surrogateescape") for body in lifted.bodies)
            parsed = Walk(lifted.text).run(again, deadline=deadline)
            parsed.items += [Nested(body, 0, 1) for body in bodies]
            return parsed
    if tree.root_node.has_error:
        offset = _first_error(tree)
        near = source[offset : offset + 24].decode("utf-8", "replace").split("\n")[0]
        line = source.count(b"\n", 0, offset) + 1
        return Parsed(
            problem=f"line {line}, near {near!r}, does not parse as shell", problem_offset=offset
        )
    return Walk(source).run(tree, deadline=deadline)


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
