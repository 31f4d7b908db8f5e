"""Everything that is wrong with a tasks file, told at once: a line each, with its place.

Owns the form of such a line. Refuses to know what may be wrong.
"""

from agent import untrusted_text
from agent.errors import UsageError
from policies.errors import first_lines

_SHOWN = 20
_KEY_LIMIT = 200


def one_line(name: str) -> str:
    """A key that somebody wrote, as it can stand in a line."""
    short = name if len(name) <= _KEY_LIMIT else f"{name[:_KEY_LIMIT]}…"
    return short if short.isprintable() else ascii(short)


class Complaints:
    """Gathers them; `settle` raises where there are any."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def add(self, place: str, key: str, message: str) -> None:
        """`place`: ``FILE:LINE``, or what stands for it where a form has no lines."""
        key = one_line(key)
        line = f"{place}: {key}: {message}" if key else f"{place}: {message}"
        # A stranger's folder may have any name: a line's end in it is none of ours.
        self._lines[untrusted_text.one_line(line)] = None

    def __bool__(self) -> bool:
        return bool(self._lines)

    def settle(self) -> None:
        """Raises `UsageError`: the message is a line for each complaint, in order, up to twenty."""
        if self._lines:
            raise UsageError("\n".join(first_lines(self._lines, _SHOWN)))
