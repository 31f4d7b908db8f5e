"""A terminal, by way of rich: colours, widths, and a line that moves."""

from rich.cells import chop_cells
from rich.console import Console
from rich.status import Status
from rich.text import Text

from agent.terminal.screen import Line, Screen, write_nowhere

_LEAST_WIDTH = 20
_LEAST_HEAD = 8


def console(*, leavable: bool = False, errors: bool = False) -> Console:
    """Standard output, or standard error."""
    kind = _LeavableConsole if leavable else Console
    return kind(emoji=False, markup=False, highlight=False, stderr=errors)


class RichScreen(Screen):
    """A terminal. Where the console turns out to be none, its lines have no end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console.file)
        self._console = console
        self._status: Status | None = None

    @property
    def fancy(self) -> bool:
        return self._console.encoding.startswith("utf")

    @property
    def width(self) -> int | None:
        return self._console.width if self._console.is_terminal else None

    def print(self, line: Line, *, end: str = "\n") -> None:
        self._console.print(_text(line), end=end, soft_wrap=True, highlight=False)

    def print_cut(self, line: Line, tail: Line | None = None) -> None:
        text = _text(line)
        rest = _text(tail) if tail is not None else Text()
        if self.width is None:
            self.print(Line(text.plain + rest.plain))
            return
        if tail is not None:
            room = max(_LEAST_HEAD, self.width - rest.cell_len - 1)
            text.truncate(room, overflow="ellipsis")
        self._print_whole(text.append_text(rest))

    def print_hanging(self, line: Line, *, margin: str = "  ") -> None:
        if self.width is None:
            self.print(line)
            return
        room = max(_LEAST_WIDTH, self.width - len(margin) - 1)
        for number, piece in enumerate(_text(line).wrap(self._console, room, no_wrap=False)):
            piece.rstrip()
            self._print_whole(Text(margin).append_text(piece) if number else piece)

    def print_marked(self, line: Line, mark: str) -> None:
        if self.width is None:
            self.print(line)
            return
        room = max(_LEAST_WIDTH, self.width) - len(mark)
        style = line.parts[-1][1]
        first, *others = chop_cells(line.plain.expandtabs(8), room) or [""]
        for piece in (first, *(mark + piece for piece in others)):
            self.print(Line(piece, style))

    def wait(self, what: Line) -> None:
        if self._console.is_interactive:
            self.rest()
            self._status = self._console.status(_text(what), spinner="line")
            self._status.start()

    def waiting(self, what: Line) -> None:
        if self._status is not None:
            self._status.update(_text(what))

    def rest(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _print_whole(self, text: Text) -> None:
        self._console.print(text, no_wrap=True, overflow="ellipsis", highlight=False)


class _LeavableConsole(Console):
    """A console whose reader may leave (``moonpool run … | head``): the rest goes nowhere.

    The library would end the process there, with the agent's work still in the container.
    """

    def on_broken_pipe(self) -> None:
        self.quiet = True
        write_nowhere(self.file)


def _text(line: Line) -> Text:
    return Text.assemble(*line.parts)
