"""What a client does with its sandboxes, tool by tool."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import UsageError
from agent.record.runs import find, patch_of
from agent.servers.mcp.roots import workspace_in
from fakes.mcp_client import text_of
from fakes.model import saying
from sandbox.workspace.source import ImageFolder
from waiting import until

from .conftest import Connect

Summaries = Callable[[], list[dict[str, Any]]]


def test_every_tool_says_what_it_gives_and_what_it_changes(connect: Connect) -> None:
    client = connect(may_apply=True)
    tools = client.answer(client.request("tools/list"))["result"]["tools"]
    assert [tool["name"] for tool in tools] == [
        *("open", "close", "run", "background_start", "background_read", "background_stop"),
        *("read_file", "write_file", "edit_file", "delete_file", "list_dir", "search_files"),
        *("diff", "export", "verify", "apply"),
    ]
    for tool in tools:
        assert tool["outputSchema"]["type"] == "object", tool["name"]
        assert len(tool["description"]) > 40, tool["name"]
        assert tool["annotations"]["openWorldHint"] is False
        assert tool["annotations"]["destructiveHint"] is (tool["name"] == "apply")
        if tool["name"] != "open":
            assert "sandbox" in tool["inputSchema"]["required"]
    reading = {tool["name"] for tool in tools if tool["annotations"]["readOnlyHint"]}
    assert reading == {
        *("background_read", "read_file", "list_dir", "search_files", "diff", "verify")
    }


def test_work_in_a_sandbox_is_a_run_with_its_patch(
    connect: Connect, root: Path, home: Path, summaries: Summaries
) -> None:
    client = connect()
    opened = client.done("open", workspace="repo", task="say two")
    box = opened["sandbox"]
    assert opened["tools"][:3] == ["run", "background_start", "read_file"]
    assert client.done("run", sandbox=box, command="cat a.txt")["exit_code"] == 0
    client.done("edit_file", sandbox=box, path="a.txt", old_string="one", new_string="two")
    client.done("write_file", sandbox=box, path="b.txt", content="new\n")
    assert "a.txt" in client.done("list_dir", sandbox=box)["output"]
    assert "2\t" not in client.done("read_file", sandbox=box, path="a.txt")["output"]
    diff = client.done("diff", sandbox=box)
    assert "-one\n+two\n" in diff["patch"]
    assert [file["path"] for file in diff["report"]["files"]] == ["a.txt", "b.txt"]
    assert "a.txt" not in client.done("diff", sandbox=box, path="b.txt")["patch"]
    closed = client.done("close", sandbox=box, summary="It says two.")
    assert closed["outcome"] == "finished"
    assert Path(closed["patch"]).read_bytes() == patch_of(find(home, opened["run"]))
    assert (root / "repo" / "a.txt").read_text() == "one\n"
    [summary] = summaries()
    assert summary["task"] == "say two"
    assert summary["detail"] == "It says two."
    assert summary["model"] == "mcp:frames"
    assert summary["turns"] == 5


def test_a_command_that_fails_is_a_result(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    result = client.call("run", sandbox=box, command="echo out; echo err >&2; false")
    assert result["isError"] is False
    assert result["structuredContent"]["exit_code"] == 1
    assert text_of(result).startswith("out\n[stderr]\nerr\n[exit code 1")


def test_a_command_that_is_too_slow_is_an_error_with_its_output(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    result = client.call("run", sandbox=box, command="sleep 60", timeout_s=0.2)
    assert result["isError"] is True
    assert result["structuredContent"]["ending"] == "timed out"


@pytest.mark.parametrize(
    ("tool", "arguments", "why"),
    [
        ("run", {"command": "curl https://example.org"}, "Denied (no match): curl is not allowed"),
        ("read_file", {"path": "none"}, "no such file"),
        ("edit_file", {"path": "a.txt", "old_string": "x", "new_string": "y"}, "was not edited"),
        ("write_file", {"path": "a.txt", "content": ""}, "is there already"),
        ("background_read", {"process": 7}, "no such background process"),
        ("diff", {"path": "a.txt"}, "the patch changes no file a.txt"),
        ("verify", {}, "name a command"),
        ("verify", {"command": "curl x"}, "Denied (no match): curl"),
        ("run", {"command": ""}, "at least 1 character"),
        ("run", {"command": "true", "timeout_s": -1}, "greater than 0"),
    ],
)
def test_a_refusal_says_why(
    connect: Connect, tool: str, arguments: dict[str, object], why: str
) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    assert why in client.refused(tool, sandbox=box, **arguments)
    assert client.done("run", sandbox=box, command="true")["exit_code"] == 0


@pytest.mark.parametrize("text", ["null", "true", "[1]", '{"a": 1}', "7"])
def test_text_that_looks_like_json_is_text(connect: Connect, text: str) -> None:
    client = connect()
    box = client.opened(workspace="repo", task=text)
    client.done("write_file", sandbox=box, path=text, content=text)
    assert text in client.done("read_file", sandbox=box, path=text)["output"]
    assert client.done("diff", sandbox=box, path=text)["patch"].startswith("diff --git")
    # Were it nothing, every file would be searched.
    found = client.call("search_files", sandbox=box, pattern="one", glob=text)
    assert not found["isError"]
    assert "1:one" not in text_of(found)


def test_a_command_that_is_spelled_as_json_is_a_command(connect: Connect) -> None:
    client = connect(verify="true")
    box = client.opened(workspace="repo")
    assert "null is not allowed here" in client.refused("verify", sandbox=box, command="null")


def test_background_processes_are_started_read_and_stopped(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    started = client.done("background_start", sandbox=box, command="echo said; sleep 600")
    number = started["process"]
    while (
        "said"
        not in (read := client.done("background_read", sandbox=box, process=number))["stdout"]
    ):
        assert read["running"]
    assert read["stderr"] == ""
    stopped = client.done("background_stop", sandbox=box, process=number)
    assert not stopped["running"]


def test_a_patch_is_verified_in_a_fresh_sandbox(connect: Connect) -> None:
    client = connect(verify="grep two a.txt")
    box = client.opened(workspace="repo")
    assert client.done("verify", sandbox=box)["verified"] is False
    client.done("run", sandbox=box, command="echo two > a.txt")
    assert client.done("verify", sandbox=box)["verified"] is True
    assert client.done("verify", sandbox=box, command="grep one a.txt")["verified"] is False
    assert client.done("close", sandbox=box)["verified"] is True


def test_export_writes_what_stands_now(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    client.done("run", sandbox=box, command="echo two > a.txt")
    exported = client.done("export", sandbox=box)
    assert b"+two" in Path(exported["file"]).read_bytes()
    client.done("run", sandbox=box, command="echo three > a.txt")
    assert "+three" in client.done("diff", sandbox=box)["patch"]


def test_nothing_is_applied_unless_the_operator_allowed_it(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    assert "Unknown tool" in client.refused("apply", sandbox=box)


def test_a_patch_is_applied_where_the_operator_allowed_it(connect: Connect, root: Path) -> None:
    client = connect(may_apply=True)
    box = client.opened(workspace="repo")
    client.done("run", sandbox=box, command="echo two > a.txt")
    applied = client.done("apply", sandbox=box)
    assert [file["path"] for file in applied["files"]] == ["a.txt"]
    assert (root / "repo" / "a.txt").read_text() == "two\n"
    assert client.done("apply", sandbox=box)["files"] == []


def test_what_does_not_fit_is_not_applied_and_ends_nothing(connect: Connect, root: Path) -> None:
    client = connect(may_apply=True)
    box = client.opened(workspace="repo")
    client.done("run", sandbox=box, command="echo two > a.txt")
    (root / "repo" / "a.txt").write_text("changed since\n")
    client.refused("apply", sandbox=box)
    assert (root / "repo" / "a.txt").read_text() == "changed since\n"
    assert client.done("run", sandbox=box, command="true")["exit_code"] == 0


def test_what_the_gate_refuses_is_not_applied(connect: Connect, root: Path, tmp_path: Path) -> None:
    policy = tmp_path / "strict.yaml"
    policy.write_text(
        "version: 1\nname: strict\nextends: default\nexport: {refuse: [protected-path]}\n"
        "paths: {protect: ['a.txt']}\n"
    )
    client = connect(may_apply=True, policies={"strict": str(policy)})
    box = client.opened(workspace="repo")
    client.done("run", sandbox=box, command="echo two > a.txt")
    assert "the export gate refuses the patch" in client.refused("apply", sandbox=box)
    assert (root / "repo" / "a.txt").read_text() == "one\n"
    assert client.done("export", sandbox=box)["file"].endswith("refused.diff")
    closed = client.done("close", sandbox=box)
    assert closed["outcome"] == "export refused"


def test_a_reviewer_that_the_policy_demands_is_asked(
    connect: Connect, root: Path, tmp_path: Path, summaries: Summaries
) -> None:
    answer = {"verdict": "reject", "reason": "No test says so.", "concerns": [], "missed": []}
    turn = {"calls": [{"tool": "give_opinion", "arguments": answer}]}
    model = saying(tmp_path / "reviewer.yaml", turn)
    policy = tmp_path / "reviewed.yaml"
    policy.write_text(
        "version: 1\nname: reviewed\nextends: default\n"
        f"review: {{model: '{model}', require: approve}}\n"
    )
    client = connect(may_apply=True, policies={"reviewed": str(policy)})
    box = client.opened(workspace="repo")
    client.done("run", sandbox=box, command="echo two > a.txt")
    # Nobody has approved it yet.
    assert "not-approved" in client.refused("apply", sandbox=box)
    assert (root / "repo" / "a.txt").read_text() == "one\n"
    closed = client.done("close", sandbox=box)
    assert closed["outcome"] == "export refused"
    assert [finding["id"] for finding in closed["findings"] if finding["refuses"]] == [
        "not-approved"
    ]
    [summary] = summaries()
    assert summary["opinion"]["verdict"] == "reject"


def test_a_policy_is_one_of_those_that_the_operator_listed(connect: Connect) -> None:
    client = connect(policies={"read-only": "read-only", "default": "default"})
    assert client.done("open", workspace="repo")["policy"] == "read-only"
    assert client.done("open", workspace="repo", policy="default")["policy"] == "default"
    for other in ("web", "/etc/policy.yaml", "./x.yaml", "null", " "):
        assert "no such policy here" in client.refused("open", workspace="repo", policy=other)


def test_a_ceiling_holds(connect: Connect, tmp_path: Path) -> None:
    ceiling = tmp_path / "ceiling.yaml"
    ceiling.write_text("version: 1\nname: low\ntools: [bash]\ncommands: [echo]\n")
    client = connect(ceiling=str(ceiling))
    box = client.opened(workspace="repo")
    assert client.done("run", sandbox=box, command="echo a")["exit_code"] == 0
    assert "ceiling" in client.refused("run", sandbox=box, command="cat a.txt")
    client.refused("read_file", sandbox=box, path="a.txt")


def test_a_closed_sandbox_says_what_became_of_it(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    client.done("close", sandbox=box, summary="all done")
    assert "ended as: finished (all done)" in client.refused("run", sandbox=box, command="true")
    assert "is closed" in client.refused("close", sandbox=box)


def test_what_is_asked_after_close_is_refused_at_once(connect: Connect) -> None:
    client = connect(verify="sleep 1")
    box = client.opened(workspace="repo")
    closing = client.begin("close", sandbox=box)
    client.begin("run", sandbox=box, command="true")
    again = client.begin("close", sandbox=box)
    assert "is being closed" in text_of(client.frame()["result"])
    assert client.answer(closing)["result"]["structuredContent"]["verified"] is True
    assert client.answer(again)["result"]["structuredContent"]["verified"] is True


@pytest.mark.slow
def test_a_client_that_wants_it_is_told_that_a_call_goes_on(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    arguments = {"sandbox": box, "command": "echo first; sleep 600"}
    client.progress_token = "mine"
    slow = client.begin("run", **arguments)
    client.progress_token = None
    told = [client.frame() for _ in range(2)]
    assert {frame["method"] for frame in told} == {"notifications/progress"}
    assert [frame["params"]["progress"] for frame in told] == [1, 2]
    assert {frame["params"]["progressToken"] for frame in told} == {"mine"}
    client.notify("notifications/cancelled", {"requestId": slow})
    assert client.done("run", sandbox=box, command="true")["exit_code"] == 0


def test_so_many_sandboxes_stand_at_once(connect: Connect) -> None:
    client = connect(most=2)
    first = client.opened(workspace="repo")
    client.opened(workspace="repo")
    assert "2 sandboxes stand already" in client.refused("open", workspace="repo")
    client.done("close", sandbox=first)
    client.opened(workspace="repo")


def test_a_sandbox_that_nothing_is_asked_of_is_exported_and_closed(
    connect: Connect, summaries: Summaries
) -> None:
    client = connect(idle_s=2.0)
    box = client.opened(workspace="repo")
    client.done("run", sandbox=box, command="echo two > a.txt")
    until(lambda: summaries()[0]["outcome"] != "running")
    assert "its time-out" in client.refused("run", sandbox=box, command="true")
    [summary] = summaries()
    assert [change["path"] for change in summary["changes"]] == ["a.txt"]


def test_calls_of_two_sandboxes_do_not_wait_for_each_other(connect: Connect) -> None:
    client = connect()
    slow, quick = client.opened(workspace="repo"), client.opened(workspace="repo")
    waiting = client.begin("run", sandbox=slow, command="sleep 600")
    assert client.done("run", sandbox=quick, command="true")["exit_code"] == 0
    client.notify("notifications/cancelled", {"requestId": waiting})
    assert client.done("run", sandbox=slow, command="true")["exit_code"] == 0


def test_workspaces_lie_in_the_roots(root: Path, tmp_path: Path) -> None:
    (root / "inside").symlink_to(root / "repo")
    assert workspace_in([root], "repo") == root / "repo"
    assert workspace_in([root], "") == root
    assert workspace_in([root], "inside") == root / "repo"
    assert workspace_in([root], str(root / "repo" / ".." / "repo")) == root / "repo"
    assert workspace_in([root, tmp_path / "b"], str(root / "repo")) == root / "repo"
    with pytest.raises(UsageError, match="absolute"):
        workspace_in([root, tmp_path], "repo")
    for missing in ("none", "repo/a.txt"):
        with pytest.raises(UsageError, match="there is no such folder"):
            workspace_in([root], missing)


def test_folders_of_an_image_lie_in_the_roots_too(root: Path) -> None:
    testbed = ImageFolder("/testbed")
    for named in ("image:/testbed", "image:/testbed/", ""):
        assert workspace_in([testbed], named) == testbed
    for named in ("image:/testbed/sub", "sub"):
        assert workspace_in([testbed], named) == ImageFolder("/testbed/sub")
    assert workspace_in([root, testbed], "image:/testbed") == testbed
    assert workspace_in([root, testbed], str(root / "repo")) == root / "repo"
    outside = (
        "image:/other",
        "image:/testbed2",
        "image:/testbed/../other",
        "image:/",
        "image:x",
        "../x",
    )
    for named in (*outside, "image:/etc", str(root), "/testbed"):
        with pytest.raises(UsageError, match="not a folder in what"):
            workspace_in([testbed], named)
    with pytest.raises(UsageError, match="not a folder in what"):
        workspace_in([root], "image:/testbed")
