"""Errors of the policies room, and the words that messages of all rooms share.

PolicyError            what a person wrote in a policy can't be used (CLI exit code 2)
CarryingError          what any error of Moonpool's is that is made with more than its words
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A place in a policy file."""

    file: str
    """Path as the operator gave it, or ``NAME.yaml`` for a bundled policy."""
    line: int
    """1-based; 0 where the file as a whole is meant."""
    column: int = 0
    """1-based; 0 where the line as a whole is meant."""
    width: int = field(default=1, compare=False)
    """Of the key or value that stands there, in characters."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


def listed(items: Iterable[object], most: int, *, empty: str = "none", between: str = ", ") -> str:
    """Items within a sentence: the first so many by name, the rest by their number."""
    names = list(map(str, items))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (between.join(names[:most]) or empty) + more


def first_lines(lines: Iterable[str], most: int) -> list[str]:
    """The first so many lines; for the rest, one that says their number."""
    told = list(lines)
    return [*told[:most], f"and {len(told) - most} more"] if len(told) > most else told


def duration(seconds: float) -> str:
    """For a person: ``4.2 s``, ``41 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole if seconds >= 10 else round(seconds, 1):g} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"


class CarryingError(Exception):
    """An error that is made with more than its words: it crosses processes with all of it.

    Python would make it again there of its words alone.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_it_was, (type(self), self.args, vars(self))


def _as_it_was(
    kind: type[CarryingError], args: tuple[Any, ...], carried: Mapping[str, Any]
) -> CarryingError:
    error = kind.__new__(kind, *args)
    vars(error).update(carried)
    return error


class PolicyError(CarryingError):
    """A policy that can't be read, decoded or composed."""

    def __init__(
        self,
        message: str,
        *,
        where: Where,
        key: str = "",
        others: "tuple[PolicyError, ...]" = (),
    ) -> None:
        self.message = message
        self.where = where
        self.key = key
        """Path of the offending key, such as ``limits.memory`` or ``commands[3].args``."""
        self.others = others
        """Further errors of the same file, in its order: `policy check` shows them all."""
        super().__init__(f"{where}: {key}: {message}" if key else f"{where}: {message}")

    @property
    def in_full(self) -> str:
        """As its text, with the column."""
        place = f"{self.where}:{self.where.column}" if self.where.line else f"{self.where}"
        return f"{place}: {f'{self.key}: ' if self.key else ''}{self.message}"

    @property
    def all(self) -> "tuple[PolicyError, ...]":
        """This error and the others of its file."""
        return (self, *self.others)

    @classmethod
    def together(cls, errors: "Iterable[PolicyError]") -> "PolicyError":
        """The first of them by its place, and with it the others; none of them has some."""
        first, *rest = sorted(errors, key=lambda error: (error.where.line, error.where.column))
        return cls(first.message, where=first.where, key=first.key, others=tuple(rest))
