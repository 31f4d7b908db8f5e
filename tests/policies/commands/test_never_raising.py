"""`decide` answers whatever text it is given; it never raises."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from policies.commands.wrappers import UnseenCommand, look
from policies.decision import Allow, Ask, Call, Deny, decide
from policies.loading import load
from policies.policy import Policy
from policies.shell.parse import parse

HERE = Path(__file__).parent
SEEDS: list[str] = [
    *yaml.safe_load((HERE / "attacks.yaml").read_text("utf-8")),
    *yaml.safe_load((HERE / "honest.yaml").read_text("utf-8")),
]
LOCKED = load("locked")
FRAGMENTS = [
    "'", '"', "$(", ")", "`", "\\", "\n", "<<E", "\nE\n", "<<-E", "\n\tE\n", "<<'E'", ";", "|",
    "{ ", "; }", "((", "))", "[[ ", " ]]", "#", " ", "$'", "${x:-", "}", "case x in x) ", ";; esac",
    "if ls; then ", "; fi", "for i in ", "; do ls; done", ">f", "<<<", "f() { ", "! ", "time ",
    "eval ", "\\\n", '$"', "=", "x=", "a[", "]", "&&", "||", "&", "env ", "xargs ", "sh -c ",
    "coproc ", "\t", "\r", ",", "~", "*", "$x", "<(", ">(", "2>", ">&", ">&-", "\x00", "\udcff",
    "é", "ls", "curl", "git ", "trap ", "declare ", "-exec ", "find ", "\u00a0", "\x0b", "$\\\n",
]  # fmt: skip

shell_like = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(FRAGMENTS), max_size=16).map("".join),
    st.tuples(
        st.sampled_from(SEEDS), st.integers(0, 200), st.sampled_from(FRAGMENTS), st.integers(0, 9)
    ).map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + t[3] :]),
)
often = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@often
@given(text=shell_like)
@example(text="ls&$\\")
@example(text="$\\")
def test_any_text_gets_an_answer(narrow: Policy, text: str) -> None:
    for policy in (narrow, LOCKED):
        decision = decide(policy, Call(tool="bash", arguments={"command": text}))
        assert isinstance(decision, Allow | Ask | Deny)
        if isinstance(decision, Deny):
            assert decision.reason


@often
@given(tool=st.text(max_size=12), path=st.text(max_size=40) | st.none() | st.integers())
def test_any_path_gets_an_answer(narrow: Policy, tool: str, path: object) -> None:
    for name in (tool, "write_file", "read_file"):
        decision = decide(narrow, Call(tool=name, arguments={"path": path}))
        assert isinstance(decision, Allow | Deny)


@often
@given(name=st.sampled_from(["env", "xargs", "find", "timeout", "bash", "watch", "flock", "nice"]),
       rest=st.lists(st.text(max_size=8) | st.sampled_from(FRAGMENTS), max_size=8))  # fmt: skip
def test_any_arguments_of_a_wrapper_are_seen_through_or_refused(name: str, rest: list[str]) -> None:
    for item in parse(" ".join([name, *rest])).items:
        words = getattr(item, "words", ())
        if words and words[0].value == name:
            with suppress(UnseenCommand):
                seen = look(name, words[1:])
                assert seen is not None


# After each of these the grammar's scanner looks up what kind of character follows.
READ_ALL = """
from policies.shell.parse import parse
openings = ["{", "x{", "{1..", "cat <<E\\nx $", "[ -", "[[ -", "echo ${x?", "$", "{1..2"]
for point in [*range(0x80, 0xD800, 0xFED), *range(0xDC80, 0xDD00), *range(0xE000, 0x110000, 0xFED)]:
    for opening in openings:
        text = opening + chr(point)
        print(ascii(text), flush=True)
        parse(text)
print("each was read")
"""
PROCESSES = 8
"""What lies behind the scanner's tables differs from process to process: about half of them die."""


@pytest.mark.slow
def test_no_character_ends_the_process() -> None:
    """In processes of their own: a scanner that reads past its tables takes the whole run along."""
    for _ in range(PROCESSES):
        command = [sys.executable, "-c", READ_ALL]
        read = subprocess.run(command, capture_output=True, text=True, check=False)
        last = read.stdout.splitlines()[-1:]
        assert read.returncode != -signal.SIGSEGV, f"the process died of {last}"
        assert last == ["each was read"], read.stderr


@pytest.mark.parametrize("text", ["é=1 ls", "ls\u00a0-l", "\u2003ls", "ls\u2003", "é=(1)", "é+=1"])
def test_letters_and_blanks_of_other_scripts_are_parts_of_words_as_they_are_to_bash(
    narrow: Policy, text: str
) -> None:
    """None of them is the assignment or the blank that would leave `ls`, which is allowed."""
    assert isinstance(decide(narrow, Call(tool="bash", arguments={"command": text})), Deny)
    assert isinstance(decide(narrow, Call(tool="bash", arguments={"command": "ls"})), Allow)
