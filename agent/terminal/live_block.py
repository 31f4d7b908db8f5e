"""A block of lines at the foot of a terminal that is shown anew in its place, by way of rich."""

from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.terminal.screen import Line

_FEWEST_ROWS = 5


class LiveBlock:
    """Above it stands what is printed. What others wrote must have been made visible before."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    @property
    def fancy(self) -> bool:
        """Can it show more than ASCII?"""
        return (self._console.encoding or "").lower().startswith("utf")

    @property
    def width(self) -> int:
        return self._console.width

    @property
    def rows(self) -> int:
        """How many lines the block may have."""
        return max(_FEWEST_ROWS, self._console.height - 2)

    def show(self, lines: Sequence[Line]) -> None:
        """These lines in place of those before, each cut to the width."""
        texts = [Text.assemble(*line.parts, no_wrap=True, overflow="ellipsis") for line in lines]
        self._live.update(Group(*texts), refresh=True)

    def print(self, line: Line) -> None:
        """One line above the block."""
        self._console.print(Text.assemble(*line.parts), soft_wrap=True, highlight=False)

    def close(self) -> None:
        """Take the block away."""
        self._live.stop()
