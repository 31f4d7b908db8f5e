"""Replacing text in files whose line ends, marks and blanks are not what the model writes."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.tools.text_edit import Edited, NotEdited, in_form_of, replaced


def edited(data: bytes, old: str, new: str, *, every: bool = False) -> bytes:
    outcome = replaced(data, old, new, every=every)
    assert isinstance(outcome, Edited), outcome
    return outcome.data


def reason(data: bytes, old: str) -> str:
    outcome = replaced(data, old, "new", every=False)
    assert isinstance(outcome, NotEdited), outcome
    return outcome.reason


@pytest.mark.parametrize(
    ("data", "old", "new", "after"),
    [
        # What is put in has the file's ends, though nothing that is replaced has one.
        (b"one\r\ntwo\r\nend\r\n", "two", "two\nmore", b"one\r\ntwo\r\nmore\r\nend\r\n"),
        (b"one\r\ntwo", "two", "two\nmore", b"one\r\ntwo\r\nmore"),
        (b"one\r\ntwo\r\n", "one\ntwo\n", "1\n2\n3\n", b"1\r\n2\r\n3\r\n"),
        (b"one\r\ntwo\r\n", "one\r\ntwo", "1\n2\n3", b"1\r\n2\r\n3\r\n"),
        (b"one\r\ntwo\r\n", "one\n", "", b"two\r\n"),
        (b"one\ntwo\n", "one\r\ntwo", "1\r\n2\r\n3", b"1\n2\n3\n"),
        # Both ends in one file: each line keeps its own, new lines have the one before them.
        (b"a\r\nb\nc\r\nd\n", "a\nb\nc", "A\nB\nC", b"A\r\nB\nC\r\nd\n"),
        (b"a\r\nb\nc\r\n", "b", "b\nb2", b"a\r\nb\nb2\nc\r\n"),
        (b"a\r\nb\nc\r\n", "a\nb", "1\n2\n3", b"1\r\n2\r\n3\nc\r\n"),
        # The difference is the line ends: somebody wants others.
        (b"a\r\nb\r\n", "a\r\n", "a\n", b"a\nb\r\n"),
        (b"a\nb\n", "a\n", "a\r\n", b"a\r\nb\n"),
        (b"a\n", "a", "a\r\nb", b"a\r\nb\n"),
        (b"\xef\xbb\xbfone\r\n", "one\n", "1\n", b"\xef\xbb\xbf1\r\n"),
        (b"a\rb\r\n", "a\rb", "c\nd", b"c\r\nd\r\n"),
    ],
)
def test_a_replacement_takes_the_ends_that_stand_there(
    data: bytes, old: str, new: str, after: bytes
) -> None:
    assert edited(data, old, new) == after


def test_every_match_is_replaced_where_it_stands() -> None:
    data = b"x\r\ny\r\n\r\nx\ny\nx\r\ny"
    assert edited(data, "x\ny", "1\n2\n3", every=True) == b"1\r\n2\r\n3\r\n\r\n1\n2\n3\n1\r\n2\r\n3"
    outcome = replaced(data, "x\ny", "1", every=False)
    assert isinstance(outcome, NotEdited)
    assert "3 times there (at lines 1, 4, 6)" in outcome.reason


_text = st.lists(st.sampled_from(["a", "b", "\n", "\r\n", "ab"]), max_size=12).map("".join)


@given(_text, st.sampled_from(["a", "b\n", "a\nb", "\n", "\r\na"]), _text)
def test_what_is_replaced_is_the_same_text_as_with_plain_newlines(
    text: str, old: str, new: str
) -> None:
    def plain(text: str) -> str:
        return text.replace("\r\n", "\n")

    assume(plain(old) != plain(new) and plain(old) in plain(text))
    data = edited(text.encode(), old, new, every=True)
    assert plain(data.decode()) == plain(text).replace(plain(old), plain(new))
    if "\r\n" in text and text.count("\r\n") == text.count("\n"):
        assert data.count(b"\r\n") == data.count(b"\n")


@pytest.mark.parametrize(
    ("data", "old", "says"),
    [
        (
            b"one\ntwo\n",
            "one\ntwo \n",
            "line 2 differs in blanks only: it is 'two', and not 'two '",
        ),
        (b"one\n\ttwo\nx\n", "one\n    two\nx", "line 2 differs in blanks only: it is '\\ttwo'"),
        (b"one\ntwo", "two\n", "the file ends after line 2, which has no newline at its end"),
        (b"one\ntwo\n", "two\nthree\n", "the file ends after line 2."),
        (b"a\nx\na\nb\nc\n", "a\nb\nd", "stands at line 3; line 5 differs: it is 'c', and not 'd'"),
        (b"\xff\xfea\0", "a", "UTF-16"),
        (b"one\r\n", "one\r", "Line 1 differs"),
        (b"one\n", "One two\n", "Nothing like"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(data: bytes, old: str, says: str) -> None:
    assert says in reason(data, old)


def test_a_file_that_is_replaced_keeps_its_form() -> None:
    assert in_form_of(b"\xef\xbb\xbfa\r\nb\r\n", b"c\nd\n") == (
        b"\xef\xbb\xbfc\r\nd\r\n",
        ["its CR LF line ends", "its byte order mark"],
    )
    assert in_form_of(b"a\r\nb\n", b"c\n") == (b"c\n", [])
    assert in_form_of(b"a\r\n", b"c\r\nd\n") == (b"c\r\nd\n", [])
    assert in_form_of(b"", b"c\n") == (b"c\n", [])
