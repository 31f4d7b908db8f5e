"""What a command line comes to: options anywhere, values that look like options, and mistakes."""

from pathlib import Path

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from agent.cli.arguments import (
    Command,
    Given,
    HelpWanted,
    Misuse,
    argument,
    choice,
    flag,
    number,
    optional_argument,
    parse,
    path_or,
    rest,
    switch,
    text,
    texts,
)

TASK = argument("TASK")
PLACE = optional_argument("PLACE")
JSON = flag("--json", help="")
QUIET = flag("-q", "--quiet", help="")
CONTEXT = switch("--context", "--no-context", help="")
MODEL = text("-m", "--model", metavar="MODEL", help="")
RISKS = texts("--accept", metavar="ID", help="")
DIRECTORY = path_or(".", "-w", "--workspace", metavar="DIR", help="")
COUNT = number("-n", metavar="N", help="", default=20, least=1)
KIND = choice("--kind", words=("one", "two"))


def nothing(_given: Given) -> int:
    return 0


COMMAND = Command(
    nothing, (TASK, PLACE, JSON, QUIET, CONTEXT, MODEL, RISKS, DIRECTORY, COUNT, KIND), ""
)
WORDS = Command(nothing, (TASK, rest("-- COMMAND"), JSON), "")


def taken(*words: str) -> Given:
    return parse(COMMAND, words)


def test_what_is_not_given_has_its_default() -> None:
    found = taken("do it")
    assert (found[TASK], found[PLACE], found[JSON], found[CONTEXT]) == ("do it", None, False, None)
    assert (found[RISKS], found[DIRECTORY], found[COUNT], found[KIND]) == ((), Path(), 20, "one")


def test_options_stand_anywhere_and_the_last_one_counts() -> None:
    found = taken("-m", "a", "task", "--json", "place", "--model=b", "-wx", "-n", "3")
    assert (found[TASK], found[PLACE], found[MODEL]) == ("task", "place", "b")
    assert (found[JSON], found[DIRECTORY], found[COUNT]) == (True, Path("x"), 3)


def test_an_option_may_be_given_again_where_it_says_so() -> None:
    assert taken("x", "--accept", "a", "--accept=b")[RISKS] == ("a", "b")


def test_a_switch_has_a_name_for_no() -> None:
    assert taken("x", "--context")[CONTEXT] is True
    assert taken("x", "--context", "--no-context")[CONTEXT] is False


def test_flags_of_one_letter_may_stand_together() -> None:
    found = taken("x", "-qn5")
    assert (found[QUIET], found[COUNT]) == (True, 5)


@each(st.text(max_size=20))
def test_a_value_is_the_next_word_whatever_it_looks_like(word: str) -> None:
    assert taken("x", "--model", word)[MODEL] == word
    assert taken("x", f"--model={word}")[MODEL] == word


@each(st.lists(st.text(max_size=9), min_size=1, max_size=5))
def test_behind_two_dashes_nothing_is_an_option(words: list[str]) -> None:
    _, several, json = WORDS.parameters
    found = parse(WORDS, ["policy", "--json", "--", *words])
    assert (found[several], found[json]) == (tuple(words), True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Missing argument 'TASK'."),
        (["--json"], "Missing argument 'TASK'."),
        (["a", "b", "c", "d"], "Got unexpected extra argument(s) (c d)"),
        (["a", "--modle", "x"], "No such option: --modle; did you mean `--model`?"),
        (["a", "-z"], "No such option: -z"),
        (["a", "-m"], "Option '-m' requires an argument."),
        (["a", "--json=1"], "Option '--json' does not take a value."),
        (["a", "-n", "x"], "Invalid value for '-n': 'x' is not a whole number"),
        (["a", "-n", "0"], "Invalid value for '-n': 0 is less than 1"),
        (["a", "--kind", "3"], "Invalid value for '--kind': '3' is not one of 'one', 'two'"),
    ],
)
def test_a_mistake_is_named(words: list[str], says: str) -> None:
    with pytest.raises(Misuse) as error:
        parse(COMMAND, words)
    assert str(error.value) == says


def test_who_asks_for_help_is_told_no_mistake() -> None:
    for words in (["-h"], ["--help"], ["a", "b", "c", "-h"], ["--kind", "3", "--help"]):
        with pytest.raises(HelpWanted):
            parse(COMMAND, words)
