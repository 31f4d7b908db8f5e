"""Tables fit a terminal, cell by cell, and keep every word in a pipe."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from agent.terminal.rich_screen import RichScreen
from agent.terminal.screen import Screen
from agent.terminal.table import Column, print_table
from agent.untrusted_text import one_line

COLUMNS = (
    Column(head="RUN"),
    Column(head="STATE", least=6),
    Column(head="FILES", drop=2, right=True),
    Column(head="TASK", least=8, drop=1),
    Column(head="PLACE", least=8, drop=3, from_end=True),
)
ROW = ("20261129-120000-aaaa", "finished", "12", "宽" * 20, "/a/long/way/to/the/place")


def shown(width: int | None, *rows: tuple[str, ...]) -> list[str]:
    file = io.StringIO()
    if width is None:
        print_table(Screen(file), COLUMNS, rows)
    else:
        console = Console(file=file, force_terminal=True, width=width, color_system=None)
        print_table(RichScreen(console), COLUMNS, rows)
    return file.getvalue().splitlines()


def test_a_pipe_gets_every_word_of_a_row_in_one_line() -> None:
    head, row = shown(None, ROW)
    assert head.split() == ["RUN", "STATE", "FILES", "TASK", "PLACE"]
    assert row.split() == list(ROW)
    assert row.index(" 12 ") + 3 == head.index("FILES") + len("FILES")


def test_a_narrow_terminal_gets_fewer_columns_and_shorter_words() -> None:
    wide, middle, narrow = (shown(width, ROW) for width in (90, 60, 40))
    assert wide[1].endswith("/the/place")
    assert "…" in middle[1]
    assert "PLACE" not in narrow[0]
    assert all(ROW[0] in lines[1] for lines in (wide, middle, narrow))


@given(
    st.integers(24, 120),
    st.lists(st.tuples(*[st.text(max_size=60)] * 4), min_size=1, max_size=4),
)
def test_no_line_is_wider_than_the_terminal_whatever_the_words_are(
    width: int, texts: list[tuple[str, ...]]
) -> None:
    rows = [("20261129-120000-aaaa", *map(one_line, row)) for row in texts]
    lines = shown(width, *rows)
    assert len(lines) == 1 + len(rows)
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize("width", [1, 5, 19])
def test_a_terminal_that_is_too_narrow_for_anything_has_a_line_a_row(width: int) -> None:
    assert len(shown(width, ROW, ROW)) == 3
