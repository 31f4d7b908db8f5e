"""The first line of a script, as the kernel and ``env`` read it.

Owns what it starts. Refuses to know where programs stand.
"""

import re
import shlex

from policies.frozen import dataclass

_VALUED = "uC"
"""Options of ``env``, in short form, that take the next word for their value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shebang:
    interpreter: str
    """As written: the kernel takes a relative path from the working directory, never from PATH."""
    argument: str | None
    """All the rest of the line: to the kernel it is one word."""


def shebang(line: str) -> Shebang | None:
    """What follows ``#!``, taken apart; None: it names no interpreter."""
    interpreter = re.split("[ \t\0]", line.strip(" \t"), maxsplit=1)[0]
    argument = line.strip(" \t")[len(interpreter) :].lstrip(" \t").split("\0", 1)[0]
    return Shebang(interpreter=interpreter, argument=argument or None) if interpreter else None


def started_by_env(argument: str | None) -> str | None:
    """The program that ``env`` starts for a script of such a first line; None: it finds none there.

    Without ``-S`` the whole argument is one word: ``env python3 -X`` looks for that very name.
    """
    words = [] if argument is None else [argument]
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            words = _after_long(word, words)
        elif word.startswith("-"):
            words = _after_short(word, words)
        elif "=" not in word:
            return word
    return None


def _after_long(word: str, words: list[str]) -> list[str]:
    name, is_given, value = word[2:].partition("=")
    if not name:
        return words
    if "split-string".startswith(name):
        return [*_split(value), *words] if is_given else _split_next(words)
    takes_next = "unset".startswith(name) or "chdir".startswith(name)
    return words[1:] if takes_next and not is_given else words


def _after_short(word: str, words: list[str]) -> list[str]:
    for at, letter in enumerate(word[1:], start=2):
        if letter == "S":
            text = word[at:]
            return [*_split(text), *words] if text else _split_next(words)
        if letter in _VALUED:
            return words if word[at:] else words[1:]
    return words


def _split_next(words: list[str]) -> list[str]:
    return [*_split("".join(words[:1])), *words[1:]]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # quotes that do not close: env refuses it
        return []
