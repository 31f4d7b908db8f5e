"""Rows in columns, which fit a terminal: one line each there, and in a pipe every word of them.

Owns how wide a column is. What others wrote must have been made visible before.
"""

from collections.abc import Callable, Sequence

from rich.cells import cell_len, set_cell_size

from agent.terminal.screen import Line, Screen
from policies.frozen import dataclass

_GAP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    head: str
    least: int = 0
    """Cells that it keeps where a terminal is too narrow for all; 0: it is never cut."""
    drop: int = 0
    """Where even that is too wide: the columns with the highest number go first; 0: this stays."""
    right: bool = False
    """Its words stand at its right edge."""
    from_end: bool = False
    """What is cut of it is its beginning, as of a path."""
    style: Callable[[str], str] = lambda _: "default"
    """The style of a cell, by its words."""


def print_table(screen: Screen, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a line with the names, and one a row."""
    table = [[column.head for column in columns], *rows]
    wide = [max(cell_len(row[at]) for row in table) for at in range(len(columns))]
    widths = _fitted(columns, wide, screen.width)
    last = max(widths)
    for number, row in enumerate(table):
        line = Line()
        for at, width in widths.items():
            column = columns[at]
            text = _cut(row[at], width, from_end=column.from_end)
            room = " " * (width - cell_len(text))
            gap = " " * _GAP if at != last else ""
            after = room + gap if at != last else ""
            words = room + text + gap if column.right else text + after
            line.append(words, column.style(row[at]) if number else "dim")
        screen.print_cut(line)


def _fitted(columns: Sequence[Column], wide: Sequence[int], room: int | None) -> dict[int, int]:
    """Cells of each column that is shown, by its place."""
    widths = dict(enumerate(wide))
    if room is None:
        return widths
    least = {at: min(it.least, wide[at]) if it.least else wide[at] for at, it in enumerate(columns)}
    for at in sorted(widths, key=lambda at: -columns[at].drop):
        if not columns[at].drop or _whole([least[at] for at in widths]) <= room:
            break
        del widths[at]
    over = _whole(list(widths.values())) - room
    while over > 0:
        # The widest gives first, so that short columns stay whole.
        at = max(widths, key=lambda at: widths[at] - least[at])
        if widths[at] <= least[at]:
            break
        widths[at] -= 1
        over -= 1
    return widths


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _cut(text: str, width: int, *, from_end: bool) -> str:
    if cell_len(text) <= width:
        return text
    if not from_end:
        return set_cell_size(text, width - 1).rstrip() + "…"
    return "…" + set_cell_size(text[::-1], width - 1).rstrip()[::-1]
