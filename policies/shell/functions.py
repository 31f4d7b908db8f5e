"""Functions that a command text defines, and whether a name means one of them.

Owns the doubt: a function that may not be defined where its name stands is taken as none, and the
rules decide about a program of that name.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from policies.frozen import dataclass
from policies.shell.ast import (
    Construct,
    FunctionDefinition,
    NestedText,
    ParsedText,
    Redirect,
    SimpleCommand,
    syntax_length,
)
from policies.shell.words import Word

_SAME_SHELL = frozenset({"command", "builtin", "eval", "trap", "mapfile", "readarray", "time"})
_ACTIVATE = re.compile(r"(?:^|/)activate\Z")
"""A virtual environment's script, which defines ``deactivate``."""
_CARRYING_OUT = _SAME_SHELL | {".", "source", "coproc"}
_DECLARING = frozenset({"export", "declare", "typeset"})
_TAKES_BACK = re.compile(r"-[a-z]*n|\+[A-Za-z]*[fx]")
_RUNS_WORDS = re.compile(r"(?:\A|[;&|({\n`!])\s*[\"']?[$`]|eval|source|\.\s|trap")
"""In a trap's text: what carries out words or texts that do not stand in it."""
_QUOTING = re.compile(r"[\\'\"\n ]")

MAX_SAME_NAME = 16
MAX_BODIES = 64
AT_THE_END = (1 << 60) - 1
"""Of a text: where all that it is sure to define is defined."""


def _bodies(functions: Sequence[FunctionDefinition]) -> list[FunctionDefinition]:
    """Functions whose bodies are known to run only when they are called."""
    return [function for function in functions if function.certain][:MAX_BODIES]


class DefinedFunctions:
    """The functions of a text, found by name."""

    def __init__(
        self,
        functions: Sequence[FunctionDefinition],
        *,
        around: "Surroundings | None" = None,
        exports: Mapping[str, int] = MappingProxyType({}),
        activated: int | None = None,
        callers: Sequence[int] = (),
    ) -> None:
        self._by_name: dict[str, list[FunctionDefinition]] = {}
        for function in functions:
            same = self._by_name.setdefault(function.name, [])
            # Leaving some out only makes the check stricter.
            if function.certain and len(same) < MAX_SAME_NAME:
                same.append(function)
        self._bodies = _bodies(functions)
        self._around = around
        self._exports = exports
        self._activated = activated
        self._callers = callers

    def holds(self, name: str, at: int) -> bool:
        """Is it a function wherever the command at ``at`` runs? Doubt means no."""
        if name not in self._by_name:
            return False
        body = next((body for body in self._bodies if body.start < at < body.end), None)
        if body is not None and body.name in self._exports and name not in self._exports:
            return False
        # What stands in a body runs when the function is called.
        runs = at if body is None else self.next_call(body.end)
        return any(
            at < function.scope_end and runs >= function.end for function in self._by_name[name]
        )

    def next_call(self, at: int) -> int:
        """Where from ``at`` on a function may be called, by name or by what carries out text."""
        body = next((body for body in self._bodies if body.start < at < body.end), None)
        index = bisect_left(self._callers, at if body is None else body.end)
        return self._callers[index] if index < len(self._callers) else AT_THE_END

    def may_hold(self, name: str, at: int) -> bool:
        """Is it a function if the shell around this text hands it on, or a script defines it?"""
        if name == "deactivate" and self._activated is not None and self._activated < at:
            return True
        return self._around is not None and self._around.hold(name)

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
        return self.functions.holds(name, self.at) or self.functions.may_hold(name, self.at)


NO_FUNCTIONS = DefinedFunctions(())


def kept(parsed: ParsedText, around: Surroundings | None = None) -> DefinedFunctions:
    """Functions of the text; none where it takes some back, for then it is anyone's guess."""
    names = {function.name for function in parsed.functions}
    exports: dict[str, int] = {}
    activated: int | None = None
    for item in parsed.items:
        if not isinstance(item, SimpleCommand) or not item.words:
            continue
        if (names or around is not None) and _takes_back(item.words, names, around):
            return NO_FUNCTIONS
        values = [word.value or "" for word in item.words]
        if values[0] == "export" and "-f" in values and item.declares and item.depth == 0:
            exports |= {name: exports.get(name, item.offset) for name in values[1:]}
        elif values[0] in {".", "source"} and values[1:] and _ACTIVATE.search(values[1]):
            activated = item.offset if activated is None else activated
    if not names and activated is None and around is None:
        return NO_FUNCTIONS
    return DefinedFunctions(
        parsed.functions,
        around=around,
        exports=exports,
        activated=activated,
        callers=_callers(parsed, names) if names else (),
    )


def _callers(parsed: ParsedText, names: set[str]) -> list[int]:
    """Where commands outside of functions stand that may call one, in order."""
    within = _bodies(parsed.functions)
    # A trap is carried out by whatever ends the shell, and some by any command.
    armed = any(
        isinstance(item, SimpleCommand) and _trap_may_call(item.words, names)
        for item in parsed.items
    )
    return sorted(
        item.offset
        for item in parsed.items
        if not isinstance(item, Construct | Redirect)
        and _may_call(item, names, armed=armed)
        and not any(body.start < item.offset < body.end for body in within)
    )


def _trap_may_call(words: Sequence[Word], names: set[str]) -> bool:
    if not words or words[0].value != "trap":
        return False
    texts = [word.value for word in words[1:]]
    return any(
        text is None or _RUNS_WORDS.search(text) or any(name in text for name in names)
        for text in texts
    )


def _may_call(item: SimpleCommand | NestedText, names: set[str], *, armed: bool) -> bool:
    if isinstance(item, NestedText):
        return True
    words = item.words[syntax_length(item.words) :]
    if not words:
        return armed and any(value is None or value.value is None for _, value in item.assigned)
    name = words[0].value
    if armed:
        return name not in {"trap", "set", "shopt"}
    return name is None or name in names or name in _CARRYING_OUT


def _takes_back(words: Sequence[Word], names: set[str], around: Surroundings | None) -> bool:
    """``unset -f f``, by itself or behind what carries out words or texts in the same shell."""
    first = words[0].value
    if first == "unset":
        values = {word.value for word in words[1:]}
        if None in values or values & (names | {"-f"}):
            return True
        return around is not None and any(around.hold(value) for value in values if value)
    if first in _DECLARING and any(_TAKES_BACK.match(word.value or "-n") for word in words[1:]):
        return True
    if first in _SAME_SHELL:
        # Without quoting, which may hide the name; what only the run can know gets a note.
        said = "".join(word.value or "" for word in words[1:])
        return "$'" in said or "unset" in _QUOTING.sub("", said)
    return False
