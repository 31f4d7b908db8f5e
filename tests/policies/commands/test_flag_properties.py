"""Against getopt itself: a flag that the program would see is never looked past."""

import getopt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.commands.flags import read_flags
from policies.commands.getopt import OptionSpec, TakesValue
from policies.shell.words import literal

WORDS = [
    "-x", "-v", "-f", "-o", "-xf", "-of", "-fo", "-xo", "-vxf", "-", "--", "a", "b", "", "+f",
    "--force", "--forc", "--f", "--output", "--output=--force", "--out", "--foo", "--foo=-f",
    "--verbose", "--ver", "--forge", "-f=x", "-o=", "---", "-xvof",
]  # fmt: skip
LONGS = {
    "force": TakesValue.NOTHING,
    "output": TakesValue.VALUE,
    "verbose": TakesValue.NOTHING,
    "foo": TakesValue.VALUE,
    "forge": TakesValue.NOTHING,
}
KNOWN = OptionSpec(flags="xvf", valued="o", longs=LONGS)
IN_PART = OptionSpec(flags="x", valued="o", longs={"output": TakesValue.VALUE})


@pytest.mark.parametrize("spec", [KNOWN, IN_PART, None])
@given(words=st.lists(st.sampled_from(WORDS), max_size=6))
def test_what_getopt_finds_is_found_and_what_is_sure_getopt_finds(
    words: list[str], spec: OptionSpec | None
) -> None:
    try:
        found, _ = getopt.gnu_getopt(
            words, "xvfo:", ["force", "output=", "verbose", "foo=", "forge"]
        )
    except getopt.GetoptError:
        return  # the program ends there, with an error
    seen = {name for name, _ in found}
    reading = read_flags([literal(word) for word in words], spec)
    for flag in ("--force", "-f"):
        if flag in seen:
            assert reading.forbidden(flag) is not None
        if reading.present(flag):
            assert flag in seen
    if spec is KNOWN:
        assert (reading.forbidden("-f") is not None) == ("-f" in seen)


@given(words=st.lists(st.sampled_from(WORDS), max_size=6))
def test_what_is_known_refuses_no_more_than_what_is_not(words: list[str]) -> None:
    arguments = [literal(word) for word in words]
    for flag in ("--force", "-f"):
        if read_flags(arguments, KNOWN).forbidden(flag) is not None:
            assert read_flags(arguments, None).forbidden(flag) is not None
