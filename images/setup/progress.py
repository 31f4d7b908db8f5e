"""What a set-up's commands print: lines for a person while they run, and the end of it."""

import re
import time
from collections import deque
from collections.abc import Callable

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_EVERY_S = 1.0
_AT_ONCE = 200
"""Lines in all that are told at once: what runs may print the sign of a command too."""
_SHOWN = 100
_FIRST_LINES = 10
"""Of a command. Some say at first what was wrong, and then how they are to be used."""
_LAST_LINES = 30
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
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._between = 0

    def __call__(self, piece: bytes) -> None:
        *whole, rest = (self._open + piece).replace(b"\r", b"\n").split(b"\n")
        # Its beginning is what is shown. Of its end a secret could be cut off, and not be known.
        self._open = rest[:_OPEN]
        for line in whole:
            self._take(line)

    @property
    def last(self) -> list[str]:
        """What the last command printed, a line that has no end yet too, without the middle."""
        left_out = (f"[… {self._between} lines …]",) if self._between else ()
        return [*self._first, *left_out, *self._last, *filter(None, (self._clean(self._open),))]

    def _take(self, raw: bytes) -> None:
        line = self._clean(raw)
        if not line:
            return
        begins = line.startswith("## ")
        if begins:
            self._first, self._between = [], 0
            self._last.clear()
        if len(self._first) < _FIRST_LINES:
            self._first.append(line)
        else:
            self._between += len(self._last) == _LAST_LINES
            self._last.append(line)
        now_s = self._clock()
        at_once = begins and self._at_once > 0
        self._at_once -= at_once
        if at_once or now_s >= self._next_s:
            self._next_s = now_s + _EVERY_S
            self._on_progress(f"set-up: {line.removeprefix('## ')[:_SHOWN]}")

    def _clean(self, raw: bytes) -> str:
        text = _CONTROL.sub(" ", raw[:_OPEN].decode("utf-8", "replace")).rstrip()
        return self._hide(text)[:_LINE]
