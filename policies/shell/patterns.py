"""Patterns in `${x#…}`, `${x%…}`, `${x/…}`: where the grammar and bash may end them elsewhere.

The grammar counts braces in a pattern and knows neither quotes nor backslashes there; bash ends
it at the first brace that is neither quoted nor escaped. Text that one takes as the pattern's is
commands to the other.
"""

import re

from tree_sitter import Node

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
