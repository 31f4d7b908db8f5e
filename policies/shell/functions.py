"""Functions that a command text defines, and whether a name means one of them.

Owns the doubt: a function that may not be defined where its name stands is taken as none, and the
rules decide about a program of that name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from policies.shell.ast import FunctionDefinition, ParsedText, SimpleCommand
from policies.shell.words import Word

_SAME_SHELL = frozenset({"command", "builtin", "eval", "trap", "mapfile", "readarray", "time"})
_ACTIVATE = re.compile(r"(?:^|/)activate\Z")
"""A virtual environment's script, which defines ``deactivate``."""
_QUOTING = re.compile(r"[\\'\"\n ]")

MAX_SAME_NAME = 16
MAX_BODIES = 64


class DefinedFunctions:
    """The functions of a text, found by name."""

    def __init__(
        self,
        functions: Sequence[FunctionDefinition],
        *,
        around: "Surroundings | None" = None,
        exports: Mapping[str, int] = MappingProxyType({}),
        sourced: frozenset[str] = frozenset(),
    ) -> None:
        self._by_name: dict[str, list[FunctionDefinition]] = {}
        for function in functions:
            same = self._by_name.setdefault(function.name, [])
            # Leaving some out only makes the check stricter.
            if function.certain and len(same) < MAX_SAME_NAME:
                same.append(function)
        self._bodies = [(f.start, f.end) for f in functions if f.certain][:MAX_BODIES]
        self._around = around
        self._exports = exports
        self._sourced = sourced

    def holds(self, name: str, at: int) -> bool:
        """Is it a function wherever the command at ``at`` runs? Doubt means no."""
        if name not in self._by_name:
            return False
        in_body = any(start < at < end for start, end in self._bodies)
        return any(
            at < function.scope_end and (at >= function.end or in_body)
            for function in self._by_name[name]
        )

    def may_hold(self, name: str) -> bool:
        """Is it a function if the shell around this text hands it on, or a script defines it?"""
        return name in self._sourced or (self._around is not None and self._around.hold(name))

    def exported(self, name: str, at: int) -> bool:
        """Does a bash that the command at ``at`` starts have it too?"""
        if self._exports.get(name, at) < at and self.holds(name, at):
            return True
        around = self._around
        return around is not None and around.exported_only and around.hold(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a text within a text is carried out."""

    functions: DefinedFunctions
    at: int
    """The command that carries it out."""
    exported_only: bool = False
    """By a bash of its own."""

    def hold(self, name: str) -> bool:
        if self.exported_only:
            return self.functions.exported(name, self.at)
        return self.functions.holds(name, self.at) or self.functions.may_hold(name)


NO_FUNCTIONS = DefinedFunctions(())
AT_THE_END = (1 << 60) - 1
"""Of a text: where all that it is sure to define is defined."""


def kept(parsed: ParsedText, around: Surroundings | None = None) -> DefinedFunctions:
    """Functions of the text; none where it takes some back, for then it is anyone's guess."""
    names = {function.name for function in parsed.functions}
    exports: dict[str, int] = {}
    sourced: set[str] = set()
    for item in parsed.items:
        if not isinstance(item, SimpleCommand) or not item.words:
            continue
        if (names or around is not None) and _takes_back(item.words, names, around):
            return NO_FUNCTIONS
        values = [word.value or "" for word in item.words]
        if values[0] == "export" and "-f" in values:
            exports |= {name: exports.get(name, item.offset) for name in values[1:]}
        elif values[0] in {".", "source"} and values[1:] and _ACTIVATE.search(values[1]):
            sourced.add("deactivate")
    if not names and not sourced and around is None:
        return NO_FUNCTIONS
    return DefinedFunctions(
        parsed.functions, around=around, exports=exports, sourced=frozenset(sourced)
    )


def _takes_back(words: Sequence[Word], names: set[str], around: Surroundings | None) -> bool:
    """``unset -f f``, by itself or behind what carries out words or texts in the same shell."""
    first = words[0].value
    if first == "unset":
        values = {word.value for word in words[1:]}
        if None in values or values & (names | {"-f"}):
            return True
        return around is not None and any(around.hold(value) for value in values if value)
    if first == "export" and any(re.match(r"-[a-z]*n", word.value or "-n") for word in words[1:]):
        return True
    if first in _SAME_SHELL:
        # Without quoting, which may hide the name; what only the run can know gets a note.
        said = "".join(word.value or "" for word in words[1:])
        return "$'" in said or "unset" in _QUOTING.sub("", said)
    return False
