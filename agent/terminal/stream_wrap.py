"""A model's text as it streams, in lines that all begin with a mark or a margin.

A terminal begins the rest of a long line at its left edge, where our own questions stand. So lines
are broken here, at blanks where there are some: nothing that a model says looks like a prompt.
"""

import re
from collections.abc import Callable

from rich.cells import cell_len, chop_cells

from agent.untrusted_text import visible

_PARTS = re.compile(r"\n|[^\S\n]+|\S+")
_LEAST_WIDTH = 20


class StreamWrapper:
    """One answer. `feed` it, then `end` it."""

    def __init__(
        self, write: Callable[[str], None], *, width: int | None, first: str, rest: str
    ) -> None:
        """Args:
        width: of the terminal, in cells; None: lines are not broken.
        first, rest: before the first line, and before every other.
        """
        self._write = write
        self._room = None if width is None else max(_LEAST_WIDTH, width - 1) - cell_len(rest)
        self._rest = rest
        self._mark = first
        self._lead = ""
        """Blanks that the next line begins with."""
        self._word = ""
        self._column = 0
        """Cells of the line so far, without its margin; -1: nothing of it stands yet."""
        self._fresh = True
        self._blank = 0
        """Line ends that wait for words after them."""
        self.said = False

    def feed(self, text: str) -> None:
        text = self._word + visible(text)
        self._word = ""
        parts = _PARTS.findall(text)
        if parts and not parts[-1].isspace() and len(parts[-1]) < _LEAST_WIDTH:
            self._word = parts.pop()  # it may go on in the next piece
        for part in parts:
            self._take(part)

    def end(self) -> None:
        """Nothing comes after it. The cursor stands at the left again."""
        word, self._word = self._word, ""
        if word:
            self._take(word)
        if self.said and not self._fresh:
            self._write("\n")
        self._fresh = True
        self._column = 0
        self._blank = 0
        self._mark = self._rest

    def _take(self, part: str) -> None:
        if part == "\n":
            self._blank += 1
        elif part.isspace():
            if not self._fresh and not self._blank:
                self._blanks(part.expandtabs(4))
            elif self._blank or not self.said:
                self._lead = part.expandtabs(4)
        else:
            self._put(part)

    def _blanks(self, blanks: str) -> None:
        if self._room is None or self._column + len(blanks) < self._room:
            self._write(blanks)
            self._column += len(blanks)

    def _put(self, word: str) -> None:
        if self._blank and self.said:
            self._write("\n" * min(self._blank, 2))
            self._fresh = True
        self._blank = 0
        lead, self._lead = self._lead, ""
        if self._room is None:
            pieces = [word]
        else:
            lead = lead[: self._room // 2]
            pieces = chop_cells(word, self._room - len(lead)) or [""]
        for piece in pieces:
            width = cell_len(piece)
            if not self._fresh and self._room is not None and self._column + width > self._room:
                self._write("\n")
                self._fresh = True
            if self._fresh:
                self._write(self._mark + lead)
                self._mark = self._rest
                self._column = len(lead)
                self._fresh = False
                lead = ""
            self._write(piece)
            self._column += width
            self.said = True
