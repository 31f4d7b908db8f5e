"""A patch on a terminal: coloured, and no line of it looks like one of ours."""

from collections.abc import Iterator

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from agent.untrusted_text import decode, visible

_STYLES = {b"+": "green", b"-": "red", b"@": "cyan", b"d": "bold"}
_WRAPPED = "┆ "
_LEAST_WIDTH = 20


def print_patch(console: Console, data: bytes, *, limit: int = 0) -> int:
    """Print a patch, or its first `limit` lines; gives how many lines were left out."""
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    shown = lines[:limit] if limit else lines
    for line in shown:
        style = _STYLES.get(line[:1], "default")
        for piece in _pieces(visible(decode(line)), console):
            console.print(Text(piece, style), soft_wrap=True, highlight=False)
    return len(lines) - len(shown)


def _pieces(line: str, console: Console) -> Iterator[str]:
    """The rest of a long line under a mark of its own: at the left edge it could be a prompt."""
    if not console.is_terminal:
        yield line
        return
    line = line.expandtabs(8)
    room = max(_LEAST_WIDTH, console.width) - cell_len(_WRAPPED)
    first, *rest = chop_cells(line, room) or [""]
    yield first
    for piece in rest:
        yield _WRAPPED + piece
