"""A person at a terminal: types into a process of its own, and sees what it shows."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from command_line.running import Shell
from waiting import WAIT_S

PROMPT = "<prompt>"
"""Stands in the text where a line that can be edited begins."""
_PASTE_MAY_COME = "\x1b[?2004h"
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-_])")


class Terminal:
    """One process at one pseudo-terminal, which is its controlling one. Use as a context manager:
    what still runs at the end is killed."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        directory: Path,
        environ: Mapping[str, str],
        term: str = "xterm",
        wait_s: float = WAIT_S,
    ) -> None:
        self._wait_s = wait_s
        self.shown = ""
        self.code: int | None = None
        self._from = 0
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execve(arguments[0], list(arguments), {**environ, "TERM": term})
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.code is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)

    @property
    def text(self) -> str:
        """All that was shown, without what moves the cursor or colours."""
        shown = self.shown.replace(_PASTE_MAY_COME, PROMPT)
        return _ESCAPES.sub("", shown).replace("\r", "")

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, text: str) -> str:
        """Wait for this to be shown, after what was waited for before; gives all up to it."""
        late = time.monotonic() + self._wait_s
        while (at := self.text.find(text, self._from)) < 0:
            assert time.monotonic() < late, f"no {text!r} in {self.text[self._from :]!r}"
            assert self._read(), f"over before {text!r}: {self.text[self._from :]!r}"
        start, self._from = self._from, at + len(text)
        return self.text[start : self._from]

    def end(self) -> int:
        """Wait for the end; gives the exit code."""
        late = time.monotonic() + self._wait_s
        while self._read():
            assert time.monotonic() < late, f"it does not end: {self.text[-400:]!r}"
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def _read(self) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], 0.2)
        if not ready:
            return True
        try:
            piece = os.read(self._terminal, 1 << 16)
        except OSError:
            return False  # nobody is at the other end
        # Asked where the cursor is, a terminal answers.
        if b"\x1b[6n" in piece:
            os.write(self._terminal, b"\x1b[1;1R")
        self.shown += piece.decode("utf-8", "replace")
        return bool(piece)


def typed(arguments: Sequence[str | Path], lines: str, at: Shell) -> tuple[int, str]:
    """The exit code of a command whose shell a person types these lines into, and all they see."""
    with Terminal(
        [*map(str, arguments)], directory=at.directory, environ=at.environ, wait_s=120
    ) as terminal:
        terminal.until("$ ")
        terminal.type(f"{lines}\nexit\n")
        return terminal.end(), terminal.shown
