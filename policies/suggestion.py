"""What a person may have meant by a name that is none."""

from collections.abc import Iterable

_LONGEST = 100
"""Characters of a name that are compared: what is typed may be anything."""


def nearest(word: str, names: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The names that look like a word, the nearest first.

    Args:
        cutoff: how alike they must be, from 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only

    return get_close_matches(word[:_LONGEST], list(names), n=most, cutoff=cutoff)


def did_you_mean(word: str, names: Iterable[str], *, cutoff: float = 0.6) -> str:
    """``; did you mean `NAME`?``, or nothing where no name is near."""
    near = nearest(word, names, cutoff=cutoff)
    return f"; did you mean `{near[0]}`?" if near else ""
