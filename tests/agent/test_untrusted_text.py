"""Hostile text: shown as what it is, never obeyed."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.untrusted_text import decode, one_line, path_text, shortened, visible


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]8;;https://evil\x1b\\click", "\\x1b]8;;https://evil\\x1b\\click"),
        ("\x9b2J", "\\x9b2J"),
        ("safe\rEVIL", "safe\\x0dEVIL"),
        ("a\x08b", "a\\x08b"),
        ("if access\u202e\u2066level", "if access\\u202e\\u2066level"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028sep", "line\\u2028sep"),
        ("blank\u3164name", "blank\\u3164name"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("lone\ud800", "lone\\ud800"),
    ],
)
def test_what_acts_or_hides_is_made_visible(hostile: str, shown: str) -> None:
    assert visible(hostile) == shown


def test_honest_text_is_left_alone() -> None:
    honest = "naïve Größe 数値 — “quoted”\n\tindented ✔"
    assert visible(honest) == honest


ACTING = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_nothing_that_acts_ever_passes(text: str, limit: int) -> None:
    for shown in (visible(text).replace("\n", "").replace("\t", ""), one_line(text, limit)):
        assert not {unicodedata.category(char) for char in shown} & ACTING
    assert not limit or len(one_line(text, limit)) <= limit


def test_a_long_path_is_cut_in_its_middle_and_keeps_both_ends() -> None:
    path = "/start/" + "d" * 4000 + "/end.txt"
    shown = shortened(f"no workspace {path}: File name too long")
    assert shown.startswith("no workspace /start/ddd")
    assert "ddd…ddd" in shown
    assert shown.endswith("/end.txt: File name too long")
    assert len(shown) < 250
    assert shortened("a line of " + "short words " * 100).count("…") == 0


@given(st.binary())
def test_any_bytes_can_be_shown(data: bytes) -> None:
    assert "\n" not in path_text(data)
    assert b"\x1b" not in visible(decode(data)).encode()
