"""`decide` answers whatever text it is given; it never raises."""

from contextlib import suppress
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.decision import Allow, Ask, Call, Deny, decide
from policies.loading import load
from policies.policy import Policy
from policies.shell import parse
from policies.wrappers import Unseeable, look

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
            with suppress(Unseeable):
                seen = look(name, words[1:])
                assert seen is not None
