"""Command-line options as GNU getopt reads them: clusters, attached values, long abbreviations.

Only for programs whose options are stated here: of an option that is not, nobody can say whether
the next word is its value or the program it starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from policies.words import Word, literal


class Takes(Enum):
    NOTHING = 0
    VALUE = 1
    MAYBE = 2
    """A value only when attached: ``-iX``, ``--replace=X``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The options of one program."""

    flags: str = ""
    valued: str = ""
    maybe: str = ""
    longs: Mapping[str, Takes] = field(default_factory=dict)
    operands: int = 0
    """Operands between the options and the command it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    options: tuple[tuple[str, Word | None], ...]
    """In order: the letter or long name, and the value."""
    rest: tuple[Word, ...]

    def values(self, *names: str) -> list[Word]:
        return [value for name, value in self.options if name in names and value is not None]

    def has(self, *names: str) -> bool:
        return any(name in names for name, _ in self.options)


class UnknownOption(Exception):
    """An option that the spec does not state."""


def long_name(written: str, longs: Mapping[str, Takes]) -> str:
    """The long option that a name or its unique abbreviation means."""
    if written in longs:
        return written
    found = [name for name in longs if name.startswith(written)]
    if len(found) != 1:
        raise UnknownOption(f"--{written}")
    return found[0]


def read(words: Sequence[Word], spec: Spec) -> Read:
    """Read options up to the first operand.

    Raises:
        UnknownOption: one is not in the spec.
    """
    options: list[tuple[str, Word | None]] = []
    position = 0
    while position < len(words):
        value = words[position].value
        if value is None or not value.startswith("-") or value == "-":
            break
        position += 1
        if value == "--":
            break
        if value.startswith("--"):
            position = _long(value[2:], words, position, spec, options)
        else:
            position = _cluster(value[1:], words, position, spec, options)
    return Read(options=tuple(options), rest=tuple(words[position:]))


def _long(
    text: str,
    words: Sequence[Word],
    position: int,
    spec: Spec,
    options: list[tuple[str, Word | None]],
) -> int:
    written, equals, attached = text.partition("=")
    name = long_name(written, spec.longs)
    takes = spec.longs[name]
    if equals:
        options.append((name, literal(attached)))
    elif takes is Takes.VALUE:
        options.append((name, words[position] if position < len(words) else literal("")))
        return position + 1
    else:
        options.append((name, None))
    return position


def _cluster(
    letters: str,
    words: Sequence[Word],
    position: int,
    spec: Spec,
    options: list[tuple[str, Word | None]],
) -> int:
    for index, letter in enumerate(letters):
        attached = letters[index + 1 :]
        if letter in spec.flags:
            options.append((letter, None))
        elif letter in spec.valued:
            if attached:
                options.append((letter, literal(attached)))
                return position
            options.append((letter, words[position] if position < len(words) else literal("")))
            return position + 1
        elif letter in spec.maybe:
            options.append((letter, literal(attached) if attached else None))
            return position
        else:
            raise UnknownOption(f"-{letter}")
    return position
