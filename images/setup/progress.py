"""What a set-up's commands print: lines for a person while they run, and the last ones."""

import re
import time
from collections import deque
from collections.abc import Callable

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_EVERY_S = 1.0
_AT_ONCE = 200
"""Lines in all that are told at once: what runs may print the sign of a command too."""
_SHOWN = 100
_KEPT_LINES = 40
_LINE = 400
_OPEN = 1 << 16


class SetupOutput:
    """Takes the output in pieces. A command is told at once, what it prints once a second."""

    def __init__(
        self,
        on_progress: Callable[[str], None],
        hide: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hide` takes out of a line what must not be shown."""
        self._on_progress = on_progress
        self._hide = hide
        self._clock = clock
        self._next_s = 0.0
        self._at_once = _AT_ONCE
        self._open = b""
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    def __call__(self, piece: bytes) -> None:
        *whole, rest = (self._open + piece).replace(b"\r", b"\n").split(b"\n")
        # Its beginning is what is shown. Of its end a secret could be cut off, and not be known.
        self._open = rest[:_OPEN]
        for line in whole:
            self._take(line)

    @property
    def last(self) -> list[str]:
        """The last lines, the one that has no end yet too."""
        return [*self._lines, *filter(None, (self._clean(self._open),))]

    def _take(self, raw: bytes) -> None:
        line = self._clean(raw)
        if not line:
            return
        self._lines.append(line)
        now_s = self._clock()
        if begins := self._at_once > 0 and line.startswith("## "):
            self._at_once -= 1
        if begins or now_s >= self._next_s:
            self._next_s = now_s + _EVERY_S
            self._on_progress(f"set-up: {line.removeprefix('## ')[:_SHOWN]}")

    def _clean(self, raw: bytes) -> str:
        text = _CONTROL.sub(" ", raw[:_OPEN].decode("utf-8", "replace")).rstrip()
        return self._hide(text)[:_LINE]
