"""`extends`: lists replace, `+` adds, `-` removes, and nothing widens without being said."""

from dataclasses import replace
from pathlib import Path

import pytest

from policies.decision import Call, Deny, decide
from policies.errors import PolicyError
from policies.loading import load
from policies.policy import TOOLS, Policy

PARENT = """version: 1
name: parent
tools: [bash, read_file]
commands: [ls, cat, {program: git, args: [[status]]}]
paths: {write: [src], protect: [a]}
env: {A: "1", B: "2"}
limits: {memory: 2GiB, pids: 100, time: 10m}
examples: {allow: [ls]}
"""


def child(tmp_path: Path, text: str, *, parent: str = PARENT) -> Policy:
    (tmp_path / "parent.yaml").write_text(parent)
    (tmp_path / "child.yaml").write_text(f"version: 1\nname: child\nextends: parent.yaml\n{text}\n")
    return load(str(tmp_path / "child.yaml"))


def programs(policy: Policy) -> list[str]:
    return [rule.program for rule in policy.commands]


def test_a_list_replaces(tmp_path: Path) -> None:
    policy = child(tmp_path, "commands: [rg]\npaths: {write: []}")
    assert programs(policy) == ["rg"]
    assert policy.paths.write == ()
    assert policy.paths.protect == ("a",)


def test_plus_adds_and_minus_removes(tmp_path: Path) -> None:
    policy = child(
        tmp_path,
        "+commands: [rg]\n-commands: [git]\n-tools: [bash]\npaths: {+write: [docs], -protect: [a]}",
    )
    assert programs(policy) == ["ls", "cat", "rg"]
    assert policy.tools == ("read_file",)
    assert policy.paths.write == ("src", "docs")
    assert policy.paths.protect == ()


def test_each_rule_keeps_the_place_it_was_written_at(tmp_path: Path) -> None:
    policy = child(tmp_path, "+commands: [rg]")
    assert [(Path(r.where.file).name, r.where.line, r.key) for r in policy.commands][-2:] == [
        ("parent.yaml", 4, "commands[2]"),
        ("child.yaml", 4, "+commands[0]"),
    ]


def test_mappings_merge_and_examples_are_not_inherited(tmp_path: Path) -> None:
    policy = child(tmp_path, 'env: {B: "3"}')
    assert policy.env == {"A": "1", "B": "3"}
    assert policy.examples.allow == ()


def test_a_limit_may_shrink_but_not_grow_unless_it_is_said(tmp_path: Path) -> None:
    assert child(tmp_path, "limits: {memory: 1GiB}").limits.memory_bytes == 2**30
    with pytest.raises(PolicyError, match=r"more than the 2GiB .*parent.yaml:7.*widen: \[memory\]"):
        child(tmp_path, "limits: {memory: 4GiB}")
    with pytest.raises(PolicyError, match="more than the 10m"):
        child(tmp_path, "limits: {memory: 4GiB, time: 1h, widen: [memory]}")
    widened = child(tmp_path, "limits: {memory: 4GiB, widen: [memory]}")
    assert widened.limits.memory_bytes == 2**32


def test_the_widening_of_one_file_does_not_carry_to_the_next(tmp_path: Path) -> None:
    child(tmp_path, "limits: {memory: 4GiB, widen: [memory]}")
    (tmp_path / "grand.yaml").write_text(
        "version: 1\nname: grand\nextends: child.yaml\nlimits: {memory: 8GiB}\n"
    )
    with pytest.raises(PolicyError, match="more than the 4GiB"):
        load(str(tmp_path / "grand.yaml"))


def test_a_cycle_is_an_error_that_shows_it(tmp_path: Path) -> None:
    for name, parent in (("a", "b"), ("b", "c"), ("c", "a")):
        text = f"version: 1\nname: {name}\nextends: {parent}.yaml\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(PolicyError, match=r"extends itself: .*a\.yaml -> .*b\.yaml -> .*c\.yaml"):
        load(str(tmp_path / "a.yaml"))


def test_a_file_that_extends_itself_through_a_link_is_a_cycle(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nname: a\nextends: b.yaml\n")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    with pytest.raises(PolicyError, match="extends itself"):
        load(str(tmp_path / "a.yaml"))


def test_an_endless_chain_ends(tmp_path: Path) -> None:
    for index in range(30):
        text = f"version: 1\nname: p\nextends: p{index + 1}.yaml\n"
        (tmp_path / f"p{index}.yaml").write_text(text)
    with pytest.raises(PolicyError, match="more than 16 policies"):
        load(str(tmp_path / "p0.yaml"))


def test_a_parent_that_is_missing_is_told_at_the_extends(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nname: a\nextends: nobody\n")
    with pytest.raises(PolicyError, match=r"a\.yaml:3: extends: there is no policy 'nobody'"):
        load(str(tmp_path / "a.yaml"))


def test_reading_can_be_narrowed_but_not_added_to_from_everything(tmp_path: Path) -> None:
    assert child(tmp_path, "paths: {read: [docs]}").paths.read == ("docs",)
    assert child(tmp_path, "").paths.read is None
    with pytest.raises(PolicyError, match="everything may be read"):
        child(tmp_path, "paths: {+read: [docs]}")


def test_a_budget_may_shrink_but_not_grow_unless_it_is_said(tmp_path: Path) -> None:
    parent = PARENT + "budget: {usd: 5, turns: 10}\n"
    assert child(tmp_path, "budget: {usd: 2, turns: 10}", parent=parent).budget.usd == 2
    with pytest.raises(PolicyError, match=r"usd: is more than the 5 .*widen: \[usd\]"):
        child(tmp_path, "budget: {usd: 6}", parent=parent)
    with pytest.raises(PolicyError, match=r"turns: is more than the 10 "):
        child(tmp_path, "budget: {turns: 11, widen: [usd]}", parent=parent)
    assert child(tmp_path, "budget: {usd: 6, widen: [usd]}", parent=parent).budget.usd == 6


def test_a_dollar_bound_is_lifted_by_null_only_if_that_is_said(tmp_path: Path) -> None:
    parent = PARENT + "budget: {usd: 5}\n"
    assert child(tmp_path, "", parent=parent).budget.usd == 5
    with pytest.raises(PolicyError, match=r"usd: is more than the 5"):
        child(tmp_path, "budget: {usd: null}", parent=parent)
    lifted = child(tmp_path, "budget: {usd: null, widen: [usd]}", parent=parent)
    assert lifted.budget.usd is None


def test_what_nobody_wrote_may_be_exceeded(tmp_path: Path) -> None:
    """The built-in ground is no parent: its 60 turns are where nothing is said."""
    (tmp_path / "alone.yaml").write_text(
        "version: 1\nname: alone\nbudget: {turns: 500}\nlimits: {memory: 64GiB}\n"
    )
    assert load(str(tmp_path / "alone.yaml")).budget.turns == 500


@pytest.mark.parametrize(
    "text",
    [
        "{program: git, args: }",
        "{program: git, args: null}",
        "{program: git, args: ~, ask: false}",
    ],
)
def test_arguments_left_blank_are_an_error_not_all_arguments(tmp_path: Path, text: str) -> None:
    with pytest.raises(PolicyError, match=r"args: expected a list"):
        child(tmp_path, f"commands: [{text}]")


def test_an_empty_list_means_nothing(tmp_path: Path) -> None:
    policy = child(
        tmp_path,
        "tools: []\npaths: {write: [], read: [], protect: []}\n"
        "commands: [{program: git, args: []}]\n"
        "workspace: {exclude: []}\nexport: {refuse: [], ignore: []}",
    )
    assert policy.tools == ()
    assert policy.paths.read == ()
    for tool, arguments in (
        ("bash", {"command": "git status"}),
        ("read_file", {"path": "a"}),
        ("write_file", {"path": "a"}),
    ):
        assert isinstance(decide(policy, Call(tool=tool, arguments=arguments)), Deny)
    with_tools = replace(policy, tools=TOOLS)
    for call in (
        Call(tool="bash", arguments={"command": "git status"}),
        Call(tool="bash", arguments={"command": "git"}),
        Call(tool="read_file", arguments={"path": "src/a.py"}),
        Call(tool="write_file", arguments={"path": "src/a.py"}),
    ):
        assert isinstance(decide(with_tools, call), Deny), call


def test_links_that_loop_are_an_error_of_the_policy(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("b.yaml")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    (tmp_path / "c.yaml").write_text("version: 1\nname: c\nextends: a.yaml\n")
    for name in ("a.yaml", "c.yaml"):
        with pytest.raises(PolicyError):
            load(str(tmp_path / name))


def test_a_relative_parent_is_sought_beside_the_file_that_names_it(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    (tmp_path / "two" / "parent.yaml").write_text(PARENT)
    (tmp_path / "two" / "child.yaml").write_text("version: 1\nname: c\nextends: parent.yaml\n")
    (tmp_path / "one" / "leaf.yaml").write_text(
        "version: 1\nname: leaf\nextends: ../two/child.yaml\n"
    )
    assert programs(load(str(tmp_path / "one" / "leaf.yaml"))) == ["ls", "cat", "git"]
