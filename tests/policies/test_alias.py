"""A workspace that has two names in its container: by both, the same is allowed."""

from dataclasses import replace

import pytest

from policies.decision import Allow, Call, Deny, decide
from policies.loading import load
from policies.policy import Policy


@pytest.fixture(scope="module")
def policy() -> Policy:
    default = load("default")
    return replace(default, paths=replace(default.paths, write=("src",), alias="/testbed"))


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("write_file", {"path": "/testbed/src/a", "content": ""}),
        ("read_file", {"path": "/testbed/a"}),
        ("bash", {"command": "echo a > /testbed/src/a"}),
        ("bash", {"command": "/testbed/tool.sh"}),
    ],
)
def test_what_is_allowed_by_one_name_is_so_by_the_other(
    tool: str, arguments: dict[str, str], policy: Policy
) -> None:
    assert isinstance(decide(policy, Call(tool=tool, arguments=arguments)), Allow)
    other = replace(policy, paths=replace(policy.paths, alias=""))
    if tool != "read_file":
        assert isinstance(decide(other, Call(tool=tool, arguments=arguments)), Deny)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("write_file", {"path": "/testbed/a", "content": ""}),
        ("write_file", {"path": "/testbed/src/../../etc/a", "content": ""}),
        ("write_file", {"path": "/testbeds/src/a", "content": ""}),
        ("bash", {"command": "echo a > /testbed/a"}),
        ("bash", {"command": "/testbed/../bin/mount"}),
        ("bash", {"command": "/testbeds/tool.sh"}),
    ],
)
def test_no_more_is_allowed(tool: str, arguments: dict[str, str], policy: Policy) -> None:
    assert isinstance(decide(policy, Call(tool=tool, arguments=arguments)), Deny)
