"""Arithmetic that may carry out a substitution where the tree shows none.

Bash evaluates a variable's value as arithmetic, and a subscript in it is expanded: with
``x='a[$(cmd)]'`` the text ``((x))`` runs cmd. Owns the signs of that, searched for in the texts
themselves; they take in more than need be, and look at no text twice. Refuses to know decisions.
"""

import re

# A substitution that stands in quotes, to be text; and what may carry it out all the same.
_QUOTED = re.compile(r"'[^']*(?:\$\(|`)|\\[$`]|\$'")
_EVALUATES = re.compile(
    r"\(\(|\$\[|\$\{|[\w\"'}]\[|-(?:eq|ne|lt|le|gt|ge|v|R)\b|-[A-Za-z]*i"
    r"|\b(?:let|read|mapfile|readarray|unset|declare|typeset|local|export|readonly)\b"
)
# A value that only the run knows, which a variable may get; not from a list of plain words.
_FROM_RUN = re.compile(
    r"\$\((?!\()|`|\b(?:read|mapfile|readarray)\b"
    r"|\b(?:for|select)\s+\w+\s+in\s(?![\w ./,:-]{0,200}[;\n])"
)
# Arithmetic over more than numbers.
_OVER_VARIABLES = re.compile(
    r"\(\((?![-+*/%0-9 ()]{0,64}\)\))|\$\[|\w\[(?![0-9@*]{1,9}\])|\blet\s"
    r"|\$\{!?[\w@*]+(?:\[[0-9@*]{1,9}\])?:(?![-=?+]|\s*-?[0-9]{1,9}(?::-?[0-9]{1,9})?\})"
)
_COMPARES = re.compile(r"\s-(?:eq|ne|lt|le|gt|ge|v|R)\s")
_DECLARES = re.compile(r"\b(?:declare|typeset|local|export|readonly)\b")
_AS_NUMBER = re.compile(r"\s-[A-Za-z]*i")


class ArithmeticCheck:
    """What the texts of one command have of it, taken together."""

    def __init__(self) -> None:
        self._quoted = False
        self._evaluates = False
        self._from_run = False
        self._over_variables = False

    def add(self, text: str) -> None:
        """Another text of the command."""
        self._quoted = self._quoted or _QUOTED.search(text) is not None
        self._evaluates = self._evaluates or _EVALUATES.search(text) is not None
        self._from_run = self._from_run or _FROM_RUN.search(text) is not None
        self._over_variables = self._over_variables or _is_over_variables(text)

    def note(self) -> str | None:
        """What may run unseen; None: nothing."""
        if self._quoted and self._evaluates:
            return "arithmetic may carry out a substitution that stands in quotes"
        if self._from_run and self._over_variables:
            return "arithmetic carries out a substitution in a value that only the run knows"
        return None


def _is_over_variables(text: str) -> bool:
    return (
        _OVER_VARIABLES.search(text) is not None
        or ("[[" in text and _COMPARES.search(text) is not None)
        or (_DECLARES.search(text) is not None and _AS_NUMBER.search(text) is not None)
    )
