"""What is not allowed is denied, however it is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from policies.decision import Allow, Ask, Decision, Deny

Decide = Callable[[str], Decision]
DENIED = yaml.safe_load((Path(__file__).parent / "attacks.yaml").read_text("utf-8"))


@pytest.mark.parametrize("command", DENIED)
def test_an_attempt_is_denied_with_a_reason_in_a_line(narrowly: Decide, command: str) -> None:
    decision = narrowly(command)
    assert isinstance(decision, Deny)
    assert decision.reason
    assert "\n" not in decision.reason
    assert len(decision.reason) < 1000


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("X=curl; $X", "$X"),
        ("$(echo curl)", "$(echo curl)"),
        ("cur?", "cur?"),
        ("cat ${x@P}", "${…@P}"),
        ("xargs -I {} sh -c 'ls {}'", "'ls {}'"),
        ('bash -c "$x"', '"$x"'),
        ("eval $x", "…"),
        ("cat f | sh", "sh <input>"),
        ('ls > "$x"', '>"$x"'),
        ("ls > ../x", ">../x"),
        ("ls > src/../../etc/x", ">src/../../etc/x"),
        ("cd src && ls > out", ">out"),
        ("find . -exec {} \\;", "{}"),
    ],
)  # fmt: skip
def test_what_only_the_run_can_know_is_left_to_the_kernel_and_said(
    narrowly: Decide, command: str, word: str
) -> None:
    decision = narrowly(command)
    assert isinstance(decision, Allow)
    assert any(note.startswith(f"{word}: ") for note in decision.notes)
    assert all("the kernel decides" in note for note in decision.notes)


def test_a_refusal_names_the_command_and_what_may_stand_instead(narrowly: Decide) -> None:
    near = narrowly("grpe x f")
    assert isinstance(near, Deny)
    assert "grpe is not allowed here: near it, allowed: grep" in near.reason
    network = narrowly("ls; curl x")
    assert isinstance(network, Deny)
    assert "curl is not allowed here: there is no network" in network.reason
    git = narrowly("git push origin")
    assert isinstance(git, Deny)
    assert "git push origin is not allowed" in git.reason
    assert "status" in git.reason
    assert git.rule.endswith("commands[16] (git)")
    assert "narrow.yaml:21 " in git.rule


def test_a_refusal_stays_short_with_many_programs(by_default: Decide) -> None:
    decision = by_default("frobnicate " + "x" * 5000)
    assert isinstance(decision, Deny)
    assert len(decision.reason) < 600
    assert " more" in decision.reason


def test_text_that_can_not_be_read_is_denied_with_the_place(narrowly: Decide) -> None:
    decision = narrowly("ls\necho 'open\n")
    assert isinstance(decision, Deny)
    assert "line 2" in decision.reason
    assert "does not parse as shell" in decision.reason


def test_deny_beats_ask_beats_allow_over_all_commands(narrowly: Decide) -> None:
    assert isinstance(narrowly("ls && rm x"), Ask)
    assert isinstance(narrowly("rm x && curl"), Deny)
    assert isinstance(narrowly("curl && rm x"), Deny)
    assert isinstance(narrowly("find . -exec rm {} +"), Ask)


def test_an_approval_is_for_this_exact_call(narrowly: Decide) -> None:
    first, same, other = narrowly("rm x"), narrowly("rm x"), narrowly("rm x ")
    assert isinstance(first, Ask)
    assert isinstance(same, Ask)
    assert isinstance(other, Ask)
    assert first.digest == same.digest != other.digest
    assert len(first.digest) == 64


def test_an_allowed_command_names_the_rules_that_allowed_it(narrowly: Decide) -> None:
    decision = narrowly("ls | grep x; git -C sub --no-pager status")
    assert isinstance(decision, Allow)
    names = [rule.rpartition("/")[2] for rule in decision.rules]
    assert names == [
        "narrow.yaml:5 commands[0] (ls)",
        "narrow.yaml:8 commands[3] (grep)",
        "narrow.yaml:21 commands[16] (git)",
    ]
    assert decision.notes == ()


@pytest.mark.parametrize("depth", [1, 200, 20_000])
@pytest.mark.parametrize(
    ("before", "core", "after"),
    [
        ("( ", "curl", " )"),
        ("echo $(", "curl", ")"),
        ('echo "$(', "curl", ')"'),
        ("{ ", "curl", "; }"),
        ("if ls; then ", "curl", "; fi"),
        ("! ", "curl", ""),
        ("time ", "curl", ""),
        ("env ", "curl", ""),
        ("eval ", "curl", ""),
        ("echo ${x:-", "$(curl)", "}"),
        ("`", "curl", "`"),
        ("ls | ", "curl", ""),
        ("cat <(", "curl", ")"),
    ],
)
def test_depth_hides_nothing_and_breaks_nothing(
    narrowly: Decide, before: str, core: str, after: str, depth: int
) -> None:
    assert isinstance(narrowly(before * depth + core + after * depth), Deny)


def test_nonsense_that_takes_too_long_to_read_is_denied(narrowly: Decide) -> None:
    decision = narrowly("[[ ( " * 20_000)
    assert isinstance(decision, Deny)
    assert "can't be read" in decision.reason


def test_length_hides_nothing(narrowly: Decide) -> None:
    assert isinstance(narrowly("ls -la src\n" * 20_000 + "curl"), Deny)
    assert isinstance(narrowly("cat <<'E'\n" + "text $(x)\n" * 50_000 + "E\ncurl"), Deny)
    assert isinstance(narrowly("ls '" + "x" * 2_000_000 + "'"), Deny)
