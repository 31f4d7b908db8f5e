"""The words that messages of all rooms share."""

import pytest

from policies.errors import duration


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
