"""`policy explain` and `policy check`: what a person reads."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from policies.errors import PolicyError
from policies.loading import load
from policies.operator.check import as_data, broken_examples, run_examples, shown
from policies.operator.explain import explain, explain_file
from policies.policy import Policy


def test_an_explanation_is_a_tree_with_rule_and_layer(narrow: Policy) -> None:
    text = str(explain(narrow, "ls | grep x && env A=b $CMD; (curl x > /etc/y)"))
    lines = [line.split("    [")[0] for line in text.splitlines()]
    assert lines[:9] == [
        "  pipeline",
        "+ ├─ ls",
        "+ └─ grep x",
        "+ env A=b $CMD",
        "+ └─ $CMD",
        "  subshell",
        "- └─ curl x",
        "-    └─ >/etc/y",
        "",
    ]
    assert "[allowed by the check, " in text
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


def test_guides_show_what_holds_what(narrow: Policy) -> None:
    text = str(explain(narrow, "(timeout 5 bash -c 'ls; cat x'; echo a | ls)"))
    assert [line.split("    [")[0] for line in text.splitlines()[:8]] == [
        "  subshell",
        "+ ├─ timeout 5 bash -c 'ls; cat x'",
        "+ │  └─ bash -c 'ls; cat x'",
        "+ │     ├─ ls",
        "+ │     └─ cat x",
        "  └─ pipeline",
        "+    ├─ echo a",
        "+    └─ ls",
    ]


def test_an_explanation_names_the_flag_the_rule_and_the_word(
    make_policy: Callable[[str], Policy],
) -> None:
    policy = make_policy("tools: [bash]\ncommands: [{program: tar, forbid: [-f]}]\n")
    text = str(explain(policy, "tar -xvf a"))
    assert "-xvf holds -f, which is not allowed with tar" in text
    assert "policy.yaml:4 commands[0] (tar)" in text


def test_a_file_tool_is_explained_too(narrow: Policy) -> None:
    assert str(explain_file(narrow, "write_file", "src/a.py")).startswith("+ write_file src/a.py")
    denied = explain_file(narrow, "write_file", "/etc/passwd")
    assert str(denied).startswith("- write_file /etc/passwd")
    assert "paths.write" in denied.summary
    assert denied.as_data()["tool"] == "write_file"
    assert explain_file(narrow, "delete_file", "src/a.py").as_data()["decision"] == "deny"


def test_an_explanation_goes_on_behind_a_denial(narrow: Policy) -> None:
    assert str(explain(narrow, "curl; wget; ls")).count("is not allowed here") == 3


def test_an_explanation_of_much_is_cut_and_says_so(narrow: Policy) -> None:
    found = explain(narrow, "ls\n" * 5000)
    assert found.cut
    assert "and more than 2000 parts" in str(found)


def problems(file: str) -> tuple[PolicyError, ...]:
    with pytest.raises(PolicyError) as caught:
        load(file)
    return caught.value.all


def test_an_error_is_shown_with_a_caret_under_the_place(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 1\nname: x\nlimits: {memroy: 4GiB}\ntools: [shell]\n")
    first, second = problems(str(file))
    assert shown(first).splitlines() == [
        f"{file}:3:10: limits.memroy: unknown key; did you mean `memory`?",
        "    limits: {memroy: 4GiB}",
        "             ^^^^^^",
    ]
    assert as_data(first) == {
        "file": str(file),
        "line": 3,
        "column": 10,
        "end_column": 16,
        "key": "limits.memroy",
        "message": "unknown key; did you mean `memory`?",
    }
    assert second.key == "tools[0]"


def test_an_error_of_a_file_that_can_not_be_read_has_no_caret(tmp_path: Path) -> None:
    (error,) = problems(str(tmp_path / "none.yaml"))
    assert "\n" not in shown(error)


@pytest.mark.parametrize(
    ("line", "under"),
    [
        ("limits: {memroy: 4GiB}", "memroy"),
        ('limits: {"memroy": 4GiB}', '"memroy"'),
        ("tools: [bash, shell, read_file]", "shell"),
        ("commands: [ls, {program: 日本語}]", "日本語"),
        ("env: {日: x, 本語: x}", "日"),
        ("commands: [{program: git, forbid: [-f, force]}]", "force"),
        ("examples: {allow: [日本語 日本語, ls], deny: [ls]}\nimage: a//b", "a//b"),
        ('env: {"\t": x, A: "\t\t", "\tB": x}', '" "'),
        ('env: {A: "\t\t", B-C: x}', "B-C"),
        ("x" + "y" * 300 + ": 1", "x" + "y" * 99),
        ("commands: [" + "ls, " * 100 + "a b, ls]", "a b"),
    ],
)
def test_the_carets_are_under_the_key_or_value(tmp_path: Path, line: str, under: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"version: 1\nname: x\n{line}\n")
    error = problems(str(file))[0]
    _, shown_line, carets = shown(error).splitlines()
    columns = "".join(char * cell_len(char) for char in shown_line)
    start, end = carets.index("^"), len(carets)
    assert columns[start:end] == "".join(char * cell_len(char) for char in under)
    assert cell_len(shown_line) <= 4 + 102 + 6


def test_a_broken_example_is_shown_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "version: 1\nname: x\ntools: [bash]\ncommands: [ls]\n"
        "examples:\n  allow: [ls, cat x]\n  deny:\n    - ls -l\n    - curl\n"
    )
    first, second = broken_examples(load(str(file)))
    assert shown(first).splitlines()[1:] == ["      allow: [ls, cat x]", " " * 18 + "^^^^^"]
    assert first.message.startswith("should be allowed, and is denied: cat is not allowed here")
    assert (second.where.line, second.key) == (8, "examples.deny[0]")
    assert second.message == "should be denied, and is allowed"
    assert broken_examples(load("default")) == ()


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
