"""The words that messages of all rooms share."""

import pytest

from policies.errors import duration, first_lines, listed


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (4.23, "4.2 s"),
        (5.0, "5 s"),
        (41.2, "41 s"),
        (59.7, "1 min"),
        (185, "3 min 05 s"),
        (3599.6, "1 h"),
        (7260, "2 h 01 min"),
    ],
)
def test_duration_is_told_in_the_units_that_fit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_items_past_the_bound_are_told_by_their_number() -> None:
    assert listed("abc", 3) == "a, b, c"
    assert listed("abcd", 2, between="; ") == "a; b and 2 more"
    assert listed("", 2) == "none"
    assert first_lines("abc", 3) == ["a", "b", "c"]
    assert first_lines("abcd", 2) == ["a", "b", "and 2 more"]
