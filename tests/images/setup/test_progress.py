"""What a set-up prints, as lines for a person: bounded, plain, without secrets."""

import itertools

import pytest

from images.setup.progress import SetupOutput

SECRET = "s3cret-" + "v" * 300


def _output(told: list[str], every_s: float = 10.0) -> SetupOutput:
    clock = itertools.count(step=int(every_s))
    return SetupOutput(told.append, lambda text: text.replace(SECRET, "[S]"), lambda: next(clock))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_are_whole_however_the_pieces_come(size: int) -> None:
    told: list[str] = []
    out = _output(told)
    data = b"## pip install x\none\r\ntwo\rthree"
    for at in range(0, len(data), size):
        out(data[at : at + size])
    assert told == ["set-up: pip install x", "set-up: one", "set-up: two"]
    assert out.last == ["## pip install x", "one", "two", "three"]


def test_what_a_command_prints_is_told_once_a_second_and_a_command_at_once() -> None:
    told: list[str] = []
    out = _output(told, every_s=0)
    out(b"".join(b"line %d\n" % n for n in range(50)) + b"## next\n")
    assert told == ["set-up: line 0", "set-up: next"]


def test_the_beginning_of_what_the_last_command_printed_stands_before_its_end() -> None:
    out = _output([])
    out(b"## first\nfine\n## second\n" + b"".join(b"line %d\n" % n for n in range(50)) + b"ended")
    shown = ["## second", *(f"line {n}" for n in range(9)), "[… 11 lines …]"]
    assert out.last == [*shown, *(f"line {n}" for n in range(20, 50)), "ended"]


def test_who_prints_the_sign_of_a_command_again_and_again_fills_no_terminal() -> None:
    told: list[str] = []
    out = _output(told, every_s=0)
    out(b"## pip install x\n" + b"## loud\n" * 10_000)
    assert told[0] == "set-up: pip install x"
    assert len(told) < 300


def test_nothing_reaches_a_terminal_but_text() -> None:
    told: list[str] = []
    out = _output(told)
    out(b"\x1b[2J\x1b]0;title\x07a\x00b\x9b\xff\x1b[31mred\x1b[0m\x7f\xc2\x9b1m\n")
    (line,) = told
    assert all(character.isprintable() for character in line)
    assert "red" in line


def test_an_endless_line_takes_no_memory_and_is_cut() -> None:
    told: list[str] = []
    out = _output(told)
    for _ in range(300):
        out(b"x" * 100_000)
    assert out.last == ["x" * 400]
    out(b"\nafter\n")
    assert out.last == ["x" * 400, "after"]
    assert all(len(line) <= 110 for line in told)


@pytest.mark.parametrize("before", [0, 90, 390, 1500, 70_000])
@pytest.mark.parametrize("after", [0, 1000, 70_000])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_no_piece_of_a_secret_is_shown(before: int, after: int, end: bytes) -> None:
    told: list[str] = []
    out = _output(told)
    line = b"a" * before + SECRET.encode() + b"b" * after + end
    for at in range(0, len(line), 5000):
        out(line[at : at + 5000])
    assert "vvvv" not in "".join([*told, *out.last])
