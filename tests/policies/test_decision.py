"""File tools and the tool list: judged by the text of the path, links are the kernel's."""

from collections.abc import Callable

import pytest

from policies.decision import Allow, Call, Decision, Deny, decide
from policies.loading import load
from policies.policy import Policy


def ask(policy: Policy, tool: str, **arguments: object) -> Decision:
    return decide(policy, Call(tool=tool, arguments=arguments))


@pytest.mark.parametrize(
    "path",
    ["src/a", "./src//a", "src", "notes.txt", "/workspace/src/x", "a/../src/b", "/tmp/x",
     "/home/agent/x", "src/../src/x", "//workspace/src/x"],
)  # fmt: skip
def test_what_is_below_the_write_list_may_be_written(narrow: Policy, path: str) -> None:
    assert isinstance(ask(narrow, "write_file", path=path, content="x"), Allow)


@pytest.mark.parametrize(
    "path",
    ["a", ".", "src/../a", "../src/a", "/workspace", "/workspace/srcs/a", "/etc/passwd",
     "/tmp/../etc/x", "notes.txt.bak", "/workspace/../tmp2", "", "src/\x00a", "x" * 5000,
     "src/\ud800", "/proc/self/root/etc/x"],
)  # fmt: skip
def test_what_is_outside_may_not(narrow: Policy, path: str) -> None:
    decision = ask(narrow, "edit_file", path=path, old_string="a", new_string="b")
    assert isinstance(decision, Deny)
    assert decision.reason


def test_a_path_that_is_no_text_is_denied(narrow: Policy) -> None:
    for path in (None, 3, ["a"], {"a": 1}, b"src/a"):
        assert isinstance(ask(narrow, "write_file", path=path, content=""), Deny)
    assert isinstance(ask(narrow, "write_file"), Deny)
    assert isinstance(ask(narrow, "bash", command=["ls"]), Deny)


def test_a_tool_that_is_not_listed_is_denied_with_those_that_are(narrow: Policy) -> None:
    for tool in ("delete_file", "search_files", "nonsense", ""):
        decision = ask(narrow, tool, path="src/a")
        assert isinstance(decision, Deny)
        assert "allowed tools: bash, read_file" in decision.reason
        assert "narrow.yaml:3 tools" in decision.rule


def test_reading_is_free_unless_it_is_narrowed(
    narrow: Policy, make_policy: Callable[[str], Policy]
) -> None:
    assert isinstance(ask(narrow, "read_file", path="secret/x"), Allow)
    policy = make_policy("tools: [read_file, list_dir]\npaths: {write: [src], read: [docs]}\n")
    assert isinstance(ask(policy, "read_file", path="docs/a"), Allow)
    assert isinstance(ask(policy, "read_file", path="src/a"), Allow)
    assert isinstance(ask(policy, "read_file", path="/usr/include/stdio.h"), Allow)
    assert isinstance(ask(policy, "read_file", path="secret/x"), Deny)
    assert isinstance(ask(policy, "list_dir"), Deny)


def test_a_list_without_a_path_is_of_the_workspace(narrow: Policy) -> None:
    assert isinstance(ask(narrow, "list_dir"), Allow)
    assert isinstance(ask(narrow, "update_plan", items=[]), Allow)


def test_read_only_writes_only_to_scratch() -> None:
    policy = load("default")
    assert isinstance(ask(policy, "write_file", path="a", content=""), Allow)
    locked = load("locked")
    assert isinstance(ask(locked, "delete_file", path="/usr/bin/x"), Deny)
