"""What a person is shown of an answer as it streams: its words, without the fence of a call, which
is shown as the call that it is.

Pure. Text is held back from the first line that may open such a fence; what is held is shown after
all where no call was read.
"""


class StreamedWords:
    """One answer. Mutable."""

    def __init__(self, label: str) -> None:
        self._opening = f"```{label}"
        self._line = ""
        """Of the newest line, what may still become the opening of a fence."""
        self._at_line_start = True
        self._held = ""

    def shown(self, piece: str) -> str:
        """What is to be shown once this came too."""
        if self._held:
            self._held += piece
            return ""
        text, self._line = self._line + piece, ""
        out = ""
        while text:
            if self._at_line_start and self._may_open(text):
                if len(text) < len(self._opening):
                    self._line = text
                else:
                    self._held = text
                return out
            line, newline, text = text.partition("\n")
            out += line + newline
            self._at_line_start = bool(newline)
        return out

    def rest(self) -> str:
        """What was held back, of an answer that is over."""
        rest, self._held, self._line = self._held + self._line, "", ""
        return rest

    def _may_open(self, text: str) -> bool:
        return self._opening.startswith(text[: len(self._opening)])
