"""A model's text as it streams: no line of it begins where ours do."""

import random

from rich.cells import cell_len

from agent.terminal.stream_wrap import StreamWrapper


def flowed(*pieces: str, width: int | None = 40) -> str:
    written: list[str] = []
    flow = StreamWrapper(written.append, width=width, first="* ", rest="  ")
    for piece in pieces:
        flow.feed(piece)
    flow.end()
    return "".join(written)


def test_words_come_out_as_they_go_in() -> None:
    assert flowed("one ", "two\nth", "ree\n\n\n\nfour") == "* one two\n  three\n\n  four\n"


def test_indentation_stays() -> None:
    assert flowed("- a\n    code\n") == "* - a\n      code\n"


def test_a_long_line_is_broken_at_a_blank_and_goes_on_under_the_margin() -> None:
    assert flowed("aaaa " * 10, width=24) == (
        "* aaaa aaaa aaaa aaaa \n  aaaa aaaa aaaa aaaa \n  aaaa aaaa \n"
    )


def test_what_acts_on_a_terminal_is_written_as_what_it_is() -> None:
    said = flowed("\x1b[2Jgone\r> y", "\x1b", "]0;title\x07")
    assert "\x1b" not in said
    assert "\r" not in said
    assert "\\x1b[2Jgone\\x0d>" in said


def test_nothing_is_written_for_blanks_alone() -> None:
    assert flowed(" \n", "\n  ") == ""


def test_no_line_begins_at_the_edge_or_passes_it_whatever_is_said() -> None:
    chance = random.Random(1)
    letters = "ab \n\t漢é>[y/N]" + "x" * 5
    for _ in range(300):
        text = "".join(chance.choice(letters) for _ in range(chance.randrange(400)))
        cuts = sorted(chance.randrange(len(text) + 1) for _ in range(5))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        width = chance.randrange(24, 60)
        lines = flowed(*pieces, width=width).split("\n")
        assert all(not line or line.startswith(("* ", "  ")) for line in lines), pieces
        assert all(cell_len(line) <= width for line in lines), (width, pieces)
        said = "".join("".join(line[2:] for line in lines).split())
        assert said == "".join(text.split())
