"""`policy explain` and `policy check`: what a person reads."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from policies import load
from policies.checking import problems, run_examples, shown
from policies.explain import explain
from policies.policy import Policy


def test_an_explanation_is_a_tree_with_rule_and_layer(narrow: Policy) -> None:
    text = str(explain(narrow, "ls | grep x && env A=b $CMD; (curl x > /etc/y)"))
    lines = [line.split("    [")[0] for line in text.splitlines()]
    assert lines[:9] == [
        "  pipeline",
        "+   ls",
        "+   grep x",
        "+ env A=b $CMD",
        "+   $CMD",
        "  subshell",
        "-   curl x",
        "-     >/etc/y",
        "",
    ]
    assert "commands[0] (ls)]" in text
    assert "[left to the kernel: only the run can know" in text
    assert lines[-1].startswith("narrow denies this: curl is not allowed here")


def test_an_explanation_is_plain_data_too(narrow: Policy) -> None:
    data = explain(narrow, "ls; rm x").as_data()
    assert json.loads(json.dumps(data)) == data
    assert data["decision"] == "ask"
    parts = data["parts"]
    assert isinstance(parts, list)
    assert [part["outcome"] for part in parts] == ["allow", "ask"]
    assert [part["layer"] for part in parts] == ["check", "check"]


def test_an_explanation_goes_on_behind_a_denial(narrow: Policy) -> None:
    assert str(explain(narrow, "curl; wget; ls")).count("is not allowed here") == 3


def test_an_explanation_of_much_is_cut_and_says_so(narrow: Policy) -> None:
    found = explain(narrow, "ls\n" * 5000)
    assert found.cut
    assert "and more than 2000 parts" in str(found)


def test_an_error_is_shown_with_a_caret_under_the_place(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 1\nname: x\nlimits: {memroy: 4GiB}\ntools: [shell]\n")
    first, second = problems(str(file))
    assert shown(first).splitlines() == [
        f"{file}:3:10: limits.memroy: unknown key; did you mean `memory`?",
        "    limits: {memroy: 4GiB}",
        "             ^",
    ]
    assert second.key == "tools[0]"
    assert problems("default") == ()


def test_an_error_of_a_file_that_can_not_be_read_has_no_caret(tmp_path: Path) -> None:
    (error,) = problems(str(tmp_path / "none.yaml"))
    assert "\n" not in shown(error)


@pytest.mark.parametrize("column", [1, 100, 10_000])
def test_a_caret_stays_under_its_place_in_a_long_line(tmp_path: Path, column: int) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 1\nname: x\nx" + "y" * column + ": 1\n" + "a: b: c\n")
    for error in problems(str(file)):
        for line in shown(error).splitlines()[1:]:
            assert len(line) <= 110


def test_examples_are_tried_and_an_ask_counts_as_a_denial(
    make_policy: Callable[[str], Policy],
) -> None:
    policy = make_policy(
        "tools: [bash]\ncommands: [ls, {program: rm, ask: true}]\n"
        "examples: {allow: [ls, rm x], deny: [rm x, curl, ls]}\n"
    )
    got = [(r.command, r.expected, r.got, r.holds) for r in run_examples(policy)]
    assert got == [
        ("ls", "allow", "allow", True),
        ("rm x", "allow", "ask", False),
        ("rm x", "deny", "ask", True),
        ("curl", "deny", "deny", True),
        ("ls", "deny", "allow", False),
    ]


def test_the_rules_of_a_decision_point_into_the_bundled_files() -> None:
    text = str(explain(load("default"), "git push"))
    assert "default.yaml" in text or "read-only.yaml" in text
