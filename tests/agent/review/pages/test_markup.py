"""Words without a mark of Markdown need no parser: what comes is what it would have given."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.review.pages import markup

_ALPHABET = "aZ09 .,:;'\"()/?%-+*#_`~<>|[]!\\\n\té=&"


@pytest.mark.parametrize(
    "text",
    ["Done.", "I fixed 3 tests (of 7); see a/b.py.", "- a", "1. a", "1) a", "---", " a", "(c)",
     "a--b", "a_b_c", "50% + 1", "http://a.example/b", "a  b", "'a' \"b\"", "1.", "-", "2) "],
)  # fmt: skip
def test_some_words_are_what_the_parser_makes_of_them(text: str) -> None:
    _compare(text)


@given(st.text(_ALPHABET, max_size=30))
def test_any_words_are(text: str) -> None:
    _compare(text)


def test_plain_words_load_no_parser() -> None:
    assert markup.rendered("Done. All 3 tests pass (see a.py).") == (
        '<div class="markdown"><p>Done. All 3 tests pass (see a.py).</p></div>'
    )
    assert markup._PLAIN.fullmatch("Done. All 3 tests pass (see a.py).")


def _compare(text: str) -> None:
    quick = markup.rendered(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markup, "_PLAIN", re.compile(r"(?!)"))
        parsed = markup.rendered(text)
    assert quick == parsed
