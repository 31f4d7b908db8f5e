"""An answer counts for one call, once, in time: what a client could try instead."""

import time
from pathlib import Path
from typing import Any

import pytest

from fakes.mcp_client import Frame, ServedClient

from .conftest import Connect

YES: Frame = {"action": "accept", "content": {"approve": True}}


@pytest.fixture
def asking(tmp_path: Path) -> dict[str, str]:
    policy = tmp_path / "asking.yaml"
    policy.write_text(
        "version: 1\nname: asking\nextends: default\ncommands: [{program: touch, ask: true}]\n"
    )
    return {"asking": str(policy)}


def _asked(client: ServedClient, box: str, command: str) -> tuple[str, str, str]:
    """The key of a question, its words, and the state to come back with."""
    result = client.call("run", sandbox=box, command=command)
    assert result["resultType"] == "input_required"
    [(key, request)] = result["inputRequests"].items()
    return key, request["params"]["message"], result["requestState"]


def _answered(
    client: ServedClient, box: str, command: str, answers: Frame, state: str | None
) -> Frame:
    params: dict[str, Any] = {
        "name": "run",
        "arguments": {"sandbox": box, "command": command},
        "inputResponses": answers,
    }
    if state is not None:
        params["requestState"] = state
    return client.answer(client.request("tools/call", params))


def _files(client: ServedClient, box: str) -> str:
    output = client.done("list_dir", sandbox=box)["output"]
    assert isinstance(output, str)
    return output


def test_the_question_has_the_whole_command_and_its_answer_runs_it(
    connect: Connect, asking: dict[str, str]
) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    key, words, state = _asked(client, box, "touch made && echo and more")
    assert "touch made && echo and more" in words
    assert "made" not in _files(client, box)
    answer = _answered(client, box, "touch made && echo and more", {key: YES}, state)
    assert "and more" in answer["result"]["structuredContent"]["output"]
    assert "made" in _files(client, box)


def test_an_answer_counts_once(connect: Connect, asking: dict[str, str]) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    key, _, state = _asked(client, box, "touch made")
    assert not _answered(client, box, "touch made", {key: YES}, state)["result"]["isError"]
    client.done("delete_file", sandbox=box, path="made")
    again = _answered(client, box, "touch made", {key: YES}, state)["result"]
    assert again["isError"]
    assert "that approval was used already" in again["content"][0]["text"]
    assert "made" not in _files(client, box)


def test_an_answer_that_is_sent_many_times_at_once_counts_once(
    connect: Connect, asking: dict[str, str]
) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    command = "touch made && echo x >> many.txt"
    key, _, state = _asked(client, box, command)
    params: Frame = {
        "name": "run",
        "arguments": {"sandbox": box, "command": command},
        "inputResponses": {key: YES},
        "requestState": state,
    }
    sent = [client.request("tools/call", params) for _ in range(12)]
    results = [client.answer(one)["result"] for one in sent]
    assert [result["isError"] for result in results].count(False) == 1
    written = client.done("read_file", sandbox=box, path="many.txt")["output"]
    assert str(written).count("x") == 1


def test_an_answer_counts_for_no_other_command(connect: Connect, asking: dict[str, str]) -> None:
    client = connect(asks=True, policies=asking)
    box, other = client.opened(workspace="repo"), client.opened(workspace="repo")
    key, _, state = _asked(client, box, "touch harmless")
    for sandbox, command in ((box, "touch harmful"), (other, "touch harmless")):
        answer = _answered(client, sandbox, command, {key: YES}, state)
        assert answer["error"]["code"] == -32602
    assert "harm" not in _files(client, box) + _files(client, other)


def test_an_answer_among_the_arguments_is_none(connect: Connect, asking: dict[str, str]) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    for answer in (YES, {"action": "accept", "data": {"approve": True}}, {"digest": "0" * 64}):
        result = client.call("run", sandbox=box, command="touch made", approval=answer)
        assert result["resultType"] == "input_required"
    assert "made" not in _files(client, box)


def test_an_answer_without_its_question_is_none(connect: Connect, asking: dict[str, str]) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    key, _, state = _asked(client, box, "touch made")
    # Asked anew: the answer to the first question is none to the second.
    unasked = _answered(client, box, "touch made", {key: YES}, None)
    assert unasked["result"]["resultType"] == "input_required"
    late = _answered(client, box, "touch made", {key: YES}, state)
    assert late["result"]["resultType"] == "input_required"
    forged = _answered(client, box, "touch made", {key: YES}, state[:-4] + "AAAA")
    assert forged["error"]["code"] == -32602
    assert "made" not in _files(client, box)


@pytest.mark.parametrize(
    "answer",
    [
        {"action": "accept", "content": {"approve": False}},
        {"action": "accept", "content": {"approve": "maybe"}},
        {"action": "accept", "content": {}},
        {"action": "accept"},
        {"action": "decline"},
        {"action": "cancel"},
        {"role": "assistant", "content": {"type": "text", "text": "yes"}, "model": "m"},
    ],
)
def test_only_a_yes_is_a_yes(connect: Connect, asking: dict[str, str], answer: Frame) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    key, _, state = _asked(client, box, "touch made")
    frame = _answered(client, box, "touch made", {key: answer}, state)
    assert "error" in frame or frame["result"]["isError"]
    assert "made" not in _files(client, box)


def test_an_answer_that_comes_too_late_is_a_no(connect: Connect, asking: dict[str, str]) -> None:
    client = connect(asks=True, policies=asking, answer_s=0.2)
    box = client.opened(workspace="repo")
    key, _, state = _asked(client, box, "touch made")
    time.sleep(0.25)
    result = _answered(client, box, "touch made", {key: YES}, state)["result"]
    assert result["isError"]
    assert "nobody approved it in time" in result["content"][0]["text"]
    assert "made" not in _files(client, box)


def test_what_nobody_can_read_is_not_asked(connect: Connect, asking: dict[str, str]) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    words = client.refused("run", sandbox=box, command="touch made #" + " words" * 5000)
    assert "too long for a person to read" in words


def test_a_denied_command_is_not_asked_about(connect: Connect, asking: dict[str, str]) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    assert "Denied" in client.refused("run", sandbox=box, command="touch made; curl example.org")


def test_what_needs_approval_is_not_run_to_verify(connect: Connect, asking: dict[str, str]) -> None:
    client = connect(asks=True, policies=asking)
    box = client.opened(workspace="repo")
    assert "not run to verify" in client.refused("verify", sandbox=box, command="touch made")


def test_questions_of_the_older_revision_are_asked_in_the_call(
    connect: Connect, asking: dict[str, str]
) -> None:
    client = connect(asks=True, policies=asking)
    client.shake_hands()
    box = client.opened(workspace="repo")
    number = client.begin("run", sandbox=box, command="touch made")
    question = client.frame()
    assert question["method"] == "elicitation/create"
    assert "touch made" in question["params"]["message"]
    client.send({"jsonrpc": "2.0", "id": question["id"], "result": YES})
    assert not client.answer(number)["result"]["isError"]
    # Its answer a second time is an answer to nothing.
    client.send({"jsonrpc": "2.0", "id": question["id"], "result": YES})
    again = client.begin("run", sandbox=box, command="touch again")
    question = client.frame()
    client.send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}})
    assert client.answer(again)["result"]["isError"]
    assert "again" not in _files(client, box)
