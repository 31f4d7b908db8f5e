"""A secret's value is known in the forms in which clients write it down."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.setup import secrets
from sandbox.errors import SandboxError

VALUE = 'tok/en+"wïth"_ö=1234'
LONG = "".join(chr(33 + (7 * n) % 90) for n in range(400))
PEM = f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(bytes(range(96))).decode()}\n-----END X-----"


def _found(text: str, value: str = VALUE) -> bool:
    return bool(secrets.search(text, {"TOKEN": value}))


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        quote(VALUE, safe=""),
        json.dumps(VALUE),
        VALUE.encode().hex(),
        f"https://user:{quote(VALUE, safe='')}@a.example/",
    ],
)
def test_each_form_is_found_and_hidden(written: str) -> None:
    assert _found(f"x{written}y")
    assert not _found(secrets.hidden(f"x{written}y", {"TOKEN": VALUE}))


@given(st.binary(max_size=7), st.binary(max_size=7))
def test_base64_is_found_wherever_it_begins(before: bytes, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert _found(encode(before + VALUE.encode() + after).decode())


@given(st.binary(max_size=70), st.sampled_from([64, 76]))
def test_base64_in_lines_is_found(before: bytes, width: int) -> None:
    text = base64.b64encode(before + LONG.encode()).decode()
    lines = "\n".join(text[at : at + width] for at in range(0, len(text), width))
    assert _found(lines, LONG)


def test_one_line_of_a_key_is_enough_and_its_first_is_not() -> None:
    begin, line, _ = PEM.split("\n")
    assert _found(f"  {line}  ", PEM)
    assert not _found(begin, PEM)
    assert line not in secrets.hidden(f"printed: {line}", {"TOKEN": PEM})


@given(st.text(max_size=60))
def test_another_text_is_not_taken_for_it(text: str) -> None:
    assert not _found(text) or VALUE in text


def test_a_secret_that_is_not_set_is_said_by_its_name() -> None:
    with pytest.raises(SandboxError, match=r"needs the secret B .*setup\.secrets"):
        secrets.values(["A", "B"], {"A": VALUE, "B": ""})


def test_a_secret_too_short_to_be_searched_for_is_refused() -> None:
    with pytest.raises(SandboxError, match="the secret A has fewer than 8") as caught:
        secrets.values(["A"], {"A": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_the_values_are_taken_by_name_alone() -> None:
    assert secrets.values(["A"], {"A": VALUE, "B": "other-secret"}) == {"A": VALUE}
