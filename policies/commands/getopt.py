"""Command-line options as GNU getopt reads them: clusters, attached values, long abbreviations.

Only for programs whose options are stated in `options.yaml`: of an option that is not, nobody can
say whether the next word is its value or the program it starts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import Enum
from functools import lru_cache
from typing import Any

from policies.file.document import packaged
from policies.frozen import dataclass
from policies.shell.words import Word, literal


class TakesValue(Enum):
    NOTHING = 0
    VALUE = 1
    MAYBE = 2
    """A value only when attached: ``-iX``, ``--replace=X``."""


class OptionStyle(Enum):
    """Where a program's options may stand, and what a word with one dash is."""

    PERMUTED = "permuted"
    """As GNU's: before and after operands."""
    LEADING = "leading"
    """The first operand ends them."""
    WORDS = "words"
    """``-exec`` is one option, and nothing ends them."""
    JOINED = "joined"
    """Likewise, and a value may follow without a sign between: ``-Idir``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """The options of one program."""

    flags: str = ""
    valued: str = ""
    maybe: str = ""
    longs: Mapping[str, TakesValue] = field(default_factory=dict)
    words: Mapping[str, TakesValue] = field(default_factory=dict)
    """Of one dash and several letters: ``-name``."""
    same: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Every spelling of an option, by each of them: ``--force`` to ``-f`` and itself."""
    operands: int = 0
    """Operands between the options and the command it starts."""
    style: OptionStyle = OptionStyle.PERMUTED
    last: str = ""
    """Letters after whose value no options come: python's ``-c``."""
    dashless: bool = False
    """The first argument is a cluster without its dash: ``tar xf``."""
    response: bool = False
    """``@file`` stands for the words in a file."""


@lru_cache(maxsize=1)
def _stated() -> Mapping[str, Any]:
    return packaged("options.yaml").data


@lru_cache(maxsize=256)
def stated(name: str) -> OptionSpec | None:
    """The options of a program (``git``) or of its subcommand (``git push``); None: not known."""
    text: str | None = _stated().get(name)
    if text is None:
        plain = re.sub(r"(?<=^python)[0-9.]+$|-[0-9.]+$", "", name)
        return stated(plain) if plain != name else None
    if text.startswith("@like="):
        return stated(text.removeprefix("@like="))
    return _spec(text.split())


def _spec(tokens: Sequence[str]) -> OptionSpec:
    letters: dict[TakesValue, str] = dict.fromkeys(TakesValue, "")
    longs: dict[str, TakesValue] = {"help": TakesValue.NOTHING, "version": TakesValue.NOTHING}
    words: dict[str, TakesValue] = {}
    same: dict[str, frozenset[str]] = {}
    about: dict[str, str] = {}
    for token in tokens:
        if token.startswith("@"):
            key, _, value = token[1:].partition("=")
            about[key] = value
            continue
        takes = {"=": TakesValue.VALUE, "?": TakesValue.MAYBE}.get(token[-1], TakesValue.NOTHING)
        spellings = frozenset(token.rstrip("=?").split("|"))
        for spelling in spellings:
            same[spelling] = spellings
            if spelling.startswith("--"):
                longs[spelling[2:]] = takes
            elif len(spelling) == 2:
                letters[takes] += spelling[1]
            else:
                words[spelling] = takes
    return OptionSpec(
        flags=letters[TakesValue.NOTHING],
        valued=letters[TakesValue.VALUE],
        maybe=letters[TakesValue.MAYBE],
        longs=longs,
        words=words,
        same=same,
        operands=int(about.get("operands", "0")),
        style=next((style for style in OptionStyle if style.value in about), OptionStyle.PERMUTED),
        last=about.get("last", ""),
        dashless="dashless" in about,
        response="response" in about,
    )


Option = tuple[str, Word | None]
"""The letter or long name, and the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    options: tuple[Option, ...]
    """In order."""
    rest: tuple[Word, ...]

    def values(self, *names: str) -> list[Word]:
        return [value for name, value in self.options if name in names and value is not None]

    def has(self, *names: str) -> bool:
        return any(name in names for name, _ in self.options)


class UnknownOption(Exception):
    """An option that the spec does not state."""


def read(words: Sequence[Word], spec: OptionSpec, *, known_only: bool = False) -> ReadOptions:
    """Read options up to the first operand; ``known_only``: or up to one that is not in the spec.

    Raises:
        UnknownOption: one is not in the spec.
    """
    options: list[Option] = []
    at = 0
    while at < len(words):
        text = words[at].value
        if text is None or not text.startswith("-") or text == "-":
            break
        if text == "--":
            at += 1
            break
        try:
            found, valued = (_long if text.startswith("--") else _cluster)(text.lstrip("-"), spec)
        except UnknownOption:
            if not known_only:
                raise
            break
        options += found
        at += 1
        if valued is not None:
            options.append((valued, words[at] if at < len(words) else literal("")))
            at += 1
    return ReadOptions(options=tuple(options), rest=tuple(words[at:]))


InOneWord = tuple[list[Option], str | None]
"""The options in a word, and the name of one more, whose value is the next word."""


def _long(text: str, spec: OptionSpec) -> InOneWord:
    written, equals, attached = text.partition("=")
    name = _long_name(written, spec.longs)
    if equals:
        return [(name, literal(attached))], None
    return ([], name) if spec.longs[name] is TakesValue.VALUE else ([(name, None)], None)


def _long_name(written: str, longs: Mapping[str, TakesValue]) -> str:
    """The long option that a name or its unique abbreviation means."""
    if written in longs:
        return written
    found = [name for name in longs if name.startswith(written)]
    if len(found) != 1:
        raise UnknownOption(f"--{written}")
    return found[0]


def _cluster(letters: str, spec: OptionSpec) -> InOneWord:
    found: list[Option] = []
    for index, letter in enumerate(letters, start=1):
        attached = letters[index:]
        if letter in spec.flags:
            found.append((letter, None))
        elif letter in spec.valued and not attached:
            return found, letter
        elif letter in spec.valued or letter in spec.maybe:
            return [*found, (letter, literal(attached) if attached else None)], None
        else:
            raise UnknownOption(f"-{letter}")
    return found, None
