"""Text for an editor, which shows Markdown: what a stranger wrote acts on nothing and ends nothing.

Pure. An editor that loads a message's pictures by itself would carry text out in their addresses:
so no model's words make a picture, and code that looks like one stays as it is.
"""

import re

from agent.untrusted_text import visible

_SHOWN_CHARACTERS = 16_000
_TICKS = re.compile("`+")
_OPENING = re.compile(r"(`{3,}(?=[^`]*$)|~{3,})")
"""At the left edge alone: a fence in a list or a quotation may end before it says so."""
_CLOSING = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*\r?")
_DOUBTFUL = re.compile(r"[ \t]*<|.*(```|~~~)")
"""Markup of another kind, in which a fence is none; or a fence that stands elsewhere."""
_LINE_LIMIT = 1000


def fenced(text: str, *, limit: int = _SHOWN_CHARACTERS) -> str:
    """As code, to the letter: the fence is longer than any in it. Cut in its middle."""
    shown = visible(text)
    if len(shown) > limit:
        half = limit // 2
        cut = len(shown) - 2 * half
        shown = f"{shown[:half]}\n[… {cut} characters are not shown …]\n{shown[-half:]}"
    longest = max((len(ticks) for ticks in _TICKS.findall(shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown.rstrip(chr(10))}\n{fence}"


class ModelWords:
    """A model's words, piece by piece, as Markdown that shows no picture.

    Mutable: it knows whether a block of code is open. Where that is in doubt, none is.
    """

    def __init__(self) -> None:
        self._line = ""
        self._after_mark = False
        self._fence = ""
        self._doubt = False
        """Whether a line opens a block of code is not known any more."""

    def piece(self, text: str) -> str:
        """The next piece, made visible."""
        shown: list[str] = []
        for char in visible(text):
            if char == "[" and self._after_mark and not self._fence:
                shown.append("\\")
            shown.append(char)
            self._after_mark = char == "!"
            if char == "\n":
                self._ended(self._line)
                self._line = ""
            elif len(self._line) <= _LINE_LIMIT:
                self._line += char
        return "".join(shown)

    def _ended(self, line: str) -> None:
        if self._fence:
            closing = _CLOSING.fullmatch(line)
            if closing is not None and closing[1].startswith(self._fence):
                self._fence = ""
            return
        opening = _OPENING.match(line) if len(line) <= _LINE_LIMIT else None
        self._doubt = self._doubt or (opening is None and _DOUBTFUL.match(line) is not None)
        self._fence = opening[1] if opening is not None and not self._doubt else ""
