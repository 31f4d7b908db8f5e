"""Lines for a person, and where they go.

Owns what a line is (`Line`), and what becomes of one in a pipe or a file: the words alone are left.
Knows no library; the one for terminals is loaded where there is a terminal.
"""

import os
import sys
from collections.abc import Mapping
from typing import IO, Self

_TAB = 8
_STYLED_ANYWAY = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Variables by which people say that what looks like a pipe is a terminal."""


class Line:
    """Words with styles, each a colour or weight by name, such as ``bold red``."""

    def __init__(self, text: str = "", style: str = "default") -> None:
        self.parts = [(text, style)]

    def append(self, text: str, style: str = "default") -> Self:
        """Add words at the end."""
        self.parts.append((text, style))
        return self

    @property
    def plain(self) -> str:
        return "".join(text for text, _ in self.parts)


class Screen:
    """Where lines go: a pipe or a file, and by way of `RichScreen` a terminal, which has a width.
    What others wrote must have been made visible before."""

    def __init__(self, file: IO[str], *, leavable: bool = False) -> None:
        """Args:
        leavable: whoever reads may leave; then the rest goes nowhere, and no error is raised.
        """
        self._file = file
        self._leavable = leavable

    @property
    def fancy(self) -> bool:
        """Can it show more than ASCII?"""
        return (getattr(self._file, "encoding", None) or "").lower().startswith("utf")

    @property
    def width(self) -> int | None:
        """Cells of a line; None where lines have no end."""
        return None

    def print(self, line: Line, *, end: str = "\n") -> None:
        """One line. A terminal goes on at its left edge where it is too long."""
        try:
            self._file.write(line.plain.expandtabs(_TAB) + end)
            self._file.flush()
        except BrokenPipeError:
            if not self._leavable:
                raise
            write_nowhere(self._file)

    def print_cut(self, line: Line, tail: Line | None = None) -> None:
        """One line, cut to the width of a terminal; the tail stands whole."""
        self.print(Line(line.plain + (tail.plain if tail is not None else "")))

    def print_hanging(self, line: Line, *, margin: str = "  ") -> None:  # noqa: ARG002
        """One line whose rest, where it is too long for a terminal, stands behind a margin: at the
        left edge stand our own questions, and what others wrote must not get there by being long.
        """
        self.print(line)

    def print_marked(self, line: Line, mark: str) -> None:  # noqa: ARG002
        """One line, broken anywhere for a terminal; the mark stands before each further piece."""
        self.print(line)

    def wait(self, what: Line) -> None:
        """A line that moves while nothing else does; where the screen can take it back."""

    def waiting(self, what: Line) -> None:
        """Other words for the line that moves, if one does."""

    def rest(self) -> None:
        """Take the line that moves back."""


def open_screen(
    environ: Mapping[str, str], *, leavable: bool = False, errors: bool = False
) -> Screen:
    """Standard output, as a screen.

    Args:
        leavable: as for `Screen`: a run goes on though its reader left.
        errors: standard error instead.
    """
    file = sys.stderr if errors else sys.stdout
    if file.isatty() or any(environ.get(name) for name in _STYLED_ANYWAY):
        from agent.terminal.rich_screen import RichScreen, console  # noqa: PLC0415 - slow

        return RichScreen(console(leavable=leavable, errors=errors))
    return Screen(file, leavable=leavable)


def print_line(line: str) -> None:
    """One line of output. Whoever read it may have left: that costs no exit code at the end."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        write_nowhere(sys.stdout)


def write_nowhere(file: IO[str]) -> None:
    """What is written from now on is lost. Python flushes once more while it ends, and would else
    complain of a reader who left."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)
