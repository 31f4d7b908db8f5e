"""`extends`: lists replace, `+` adds, `-` removes, and nothing widens without being said."""

from pathlib import Path

import pytest

from policies import load
from policies.errors import PolicyError
from policies.policy import Policy

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


def test_a_dollar_bound_can_be_lifted_by_null(tmp_path: Path) -> None:
    parent = PARENT + "budget: {usd: 5}\n"
    assert child(tmp_path, "", parent=parent).budget.usd == 5
    assert child(tmp_path, "budget: {usd: null}", parent=parent).budget.usd is None
