"""Functions that a command text defines, and whether a name means one of them.

Owns the doubt: a function that may not be defined where its name stands is taken as none, and the
rules decide about a program of that name.
"""

import re
from collections.abc import Sequence

from policies.shell.ast import FunctionDefinition, ParsedText, SimpleCommand
from policies.shell.words import Word

_SAME_SHELL = frozenset({"command", "builtin", "eval", "trap", "mapfile", "readarray", "time"})
_QUOTING = re.compile(r"[\\'\"\n ]")

MAX_SAME_NAME = 16
MAX_BODIES = 64


class DefinedFunctions:
    """The functions of a text, found by name."""

    def __init__(self, functions: Sequence[FunctionDefinition]) -> None:
        self._by_name: dict[str, list[FunctionDefinition]] = {}
        for function in functions:
            same = self._by_name.setdefault(function.name, [])
            # Leaving some out only makes the check stricter.
            if function.certain and len(same) < MAX_SAME_NAME:
                same.append(function)
        self._bodies = [(f.start, f.end) for f in functions if f.certain][:MAX_BODIES]

    def holds(self, name: str, at: int) -> bool:
        """Is it a function wherever the command at ``at`` runs? Doubt means no."""
        if name not in self._by_name:
            return False
        in_body = any(start < at < end for start, end in self._bodies)
        return any(
            at < function.scope_end and (at >= function.end or in_body)
            for function in self._by_name[name]
        )


NO_FUNCTIONS = DefinedFunctions(())


def kept(parsed: ParsedText) -> DefinedFunctions:
    """Functions of the text; none where it takes some back, for then it is anyone's guess."""
    if not parsed.functions:
        return NO_FUNCTIONS
    names = {function.name for function in parsed.functions}
    for item in parsed.items:
        if isinstance(item, SimpleCommand) and item.words and _takes_back(item.words, names):
            return NO_FUNCTIONS
    return DefinedFunctions(parsed.functions)


def _takes_back(words: Sequence[Word], names: set[str]) -> bool:
    """``unset -f f``, by itself or behind what carries out words or texts in the same shell."""
    first = words[0].value
    if first == "unset":
        values = {word.value for word in words[1:]}
        return None in values or bool(values & (names | {"-f"}))
    if first in _SAME_SHELL:
        # Without quoting, which may hide the name; what only the run can know gets a note.
        said = "".join(word.value or "" for word in words[1:])
        return "$'" in said or "unset" in _QUOTING.sub("", said)
    return False
