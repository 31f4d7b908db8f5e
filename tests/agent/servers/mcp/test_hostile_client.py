"""Clients that break off, flood, talk nonsense, or ask for what is not theirs."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.lifecycle.job import Job, OnProgress
from agent.servers.mcp import stdio
from fakes.box import TmpBox
from fakes.mcp_client import LEGACY, MODERN, ServedClient, box_of, settings_for
from sandbox.patch.values import LeftOut
from waiting import until

from .conftest import Connect

Summaries = Callable[[], list[dict[str, Any]]]

_BOXES: list[TmpBox] = []
"""Those that the servers of a test opened."""


def _kept(job: Job, on_progress: OnProgress) -> TmpBox:
    _BOXES.append(box_of(job, on_progress))
    return _BOXES[-1]


SLOW = "sleep 600"
"""Longer than a test waits."""


def _patched(summaries: Summaries) -> list[str]:
    [summary] = summaries()
    assert summary["outcome"] == "interrupted"
    return [change["path"] for change in summary["changes"]]


# -- frames --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"nonsense", -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": ', -32700),
        (b"\xff\xfe\x00", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"id": 1, "method": "tools/list"}', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "tools/list"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "tools/list"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "tools/list"}', -32600),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "tools/list"}', -32600),
    ],
)
def test_what_is_no_message_is_answered_and_ends_nothing(
    connect: Connect, frame: bytes, code: int
) -> None:
    client = connect()
    client.write(frame + b"\n\n \n")
    answer = client.frame()
    assert answer["id"] is None
    assert answer["error"]["code"] == code
    assert client.answer(client.request("tools/list"))["result"]["tools"]


def test_a_call_with_half_a_character_is_answered_by_its_id(connect: Connect) -> None:
    # As JavaScript writes a text that was cut within an emoji; nobody is to wait for ever.
    client = connect()
    client.write(
        b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"n": "\xc3\xa9\\ud83d"}}\n'
    )
    answer = client.frame()
    assert (answer["id"], answer["error"]["code"]) == (7, -32600)
    assert "half of a surrogate pair" in answer["error"]["message"]
    client.write(b'{"jsonrpc": "2.0", "id": "\\ud83d", "method": "tools/list"}\n')
    assert client.frame()["error"]["code"] in {-32600, -32700}
    assert client.answer(client.request("tools/list"))["result"]["tools"]


def test_a_frame_without_end_is_not_kept_in_memory(connect: Connect) -> None:
    client = connect()
    for _ in range(3 * stdio.LARGEST_FRAME >> 20):
        client.write(b"x" * (1 << 20))
    client.write(b"\n")
    assert client.frame()["error"]["message"] == "a message of more than 16 MiB is not read"
    assert client.answer(client.request("tools/list"))["result"]["tools"]


@pytest.mark.slow
def test_a_file_of_some_megabytes_gets_through(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    client.done("write_file", sandbox=box, path="large", content="x" * (6 << 20))
    counted = client.done("run", sandbox=box, command="wc -c large")
    assert str(6 << 20) in counted["output"]


@pytest.mark.parametrize("method", ["nope", "initialize", "resources/read", "completion/complete"])
def test_what_is_not_served_gets_the_protocols_error(connect: Connect, method: str) -> None:
    client = connect()
    client.answer(client.request("tools/list"))
    assert client.answer(client.request(method, {"uri": "file:///etc/passwd"}))["error"]["code"] < 0


def test_an_unknown_revision_is_told_which_there_are(connect: Connect) -> None:
    client = connect()
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    client.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}})
    error = client.answer(1)["error"]
    assert error["code"] == -32022
    assert error["data"]["supported"] == [MODERN]
    older = connect()
    older.modern = False
    params = {
        "protocolVersion": "1999-01-01",
        "capabilities": {},
        "clientInfo": {"name": "old", "version": "0"},
    }
    answer = older.answer(older.request("initialize", params))
    assert answer["result"]["protocolVersion"] == LEGACY


def test_calls_before_the_handshake_are_refused(connect: Connect) -> None:
    client = connect()
    client.modern = False
    answer = client.answer(client.begin("open", workspace="repo"))
    assert answer["error"]["code"] == -32602


# -- floods --------------------------------------------------------------------------------


def test_a_flood_of_requests_is_refused_beyond_a_number(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    first = client.begin("run", sandbox=box, command=SLOW)
    rest = [client.begin("run", sandbox=box, command="true") for _ in range(200)]
    refused = [client.answer(number) for number in rest[stdio.MOST_REQUESTS - 1 :]]
    assert {frame["error"]["code"] for frame in refused} == {-32600}
    client.notify("notifications/cancelled", {"requestId": first})
    served = [client.answer(number) for number in rest[: stdio.MOST_REQUESTS - 1]]
    assert not any(frame["result"]["isError"] for frame in served)
    assert client.done("run", sandbox=box, command="true")["exit_code"] == 0


@pytest.mark.parametrize("again", [7, "7"])
def test_an_id_that_is_in_use_is_refused(connect: Connect, again: object) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    arguments = {"sandbox": box, "command": SLOW}
    first = client.request("tools/call", {"name": "run", "arguments": arguments}, id=7)
    client.request("tools/list", id=again)
    assert client.answer(again)["error"]["message"] == "a request of this id is served already"
    # The one that is served is still the one that its id means.
    client.notify("notifications/cancelled", {"requestId": first})
    assert client.done("run", sandbox=box, command="true")["exit_code"] == 0


def test_requests_that_were_taken_back_make_room(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    for _ in range(3):
        waiting = [
            client.begin("run", sandbox=box, command=SLOW) for _ in range(stdio.MOST_REQUESTS)
        ]
        for number in waiting:
            client.notify("notifications/cancelled", {"requestId": number})
        assert client.done("run", sandbox=box, command="true")["exit_code"] == 0


def test_the_record_of_a_flood_is_bounded(connect: Connect, home: Path) -> None:
    client = connect(record_bytes=1 << 20)
    box = client.opened(workspace="repo")
    content = "x" * (300 << 10)
    for number in range(3):
        client.done("write_file", sandbox=box, path=f"{number}.txt", content=content)
    words = client.refused("write_file", sandbox=box, path="4.txt", content=content)
    assert "more than 1MiB" in words
    assert client.done("close", sandbox=box)["outcome"] == "finished"


def test_output_is_bounded_in_each_answer(connect: Connect, tmp_path: Path) -> None:
    policy = tmp_path / "small.yaml"
    policy.write_text("version: 1\nname: small\nextends: default\nlimits: {output: 2KiB}\n")
    client = connect(policies={"small": str(policy)})
    box = client.opened(workspace="repo")
    client.done("write_file", sandbox=box, path="b.txt", content="line\n" * 10_000)
    diff = client.done("diff", sandbox=box)
    assert diff["cut"]
    assert len(diff["patch"]) <= 2048


# -- breaking off --------------------------------------------------------------------------


def test_a_call_that_is_taken_back_ends_its_command(connect: Connect) -> None:
    client = connect(open_box=_kept)
    box = client.opened(workspace="repo")
    slow = client.begin("run", sandbox=box, command="echo begun > b.txt; exec sleep 600")
    until((_BOXES[-1].workspace / "b.txt").exists)
    client.notify("notifications/cancelled", {"requestId": slow, "reason": "no more"})
    # It is served next, and not ended by what was meant for the one before.
    after = client.done("run", sandbox=box, command="cat b.txt; sleep 0.1; echo whole")
    assert after["exit_code"] == 0
    assert "whole" in after["output"]


def test_a_call_that_waits_is_never_made_when_it_is_taken_back(connect: Connect) -> None:
    client = connect()
    box = client.opened(workspace="repo")
    slow = client.begin("run", sandbox=box, command=SLOW)
    waiting = client.begin("run", sandbox=box, command="touch made")
    for number in (waiting, slow):
        client.notify("notifications/cancelled", {"requestId": number})
    assert "made" not in client.done("list_dir", sandbox=box)["output"]


def test_a_client_that_leaves_has_its_work_exported(
    root: Path, home: Path, summaries: Summaries
) -> None:
    with ServedClient(settings_for(root, home, open_box=_kept)) as client:
        box = client.opened(workspace="repo")
        client.done("run", sandbox=box, command="echo two > a.txt")
        client.begin("run", sandbox=box, command=SLOW)
        client.hang_up()
        client.wait()
    assert _patched(summaries) == ["a.txt"]
    assert summaries()[0]["detail"] == "by its client, which left"
    assert _BOXES[-1].closed


def test_a_client_that_stops_reading_has_its_work_exported(
    root: Path, home: Path, summaries: Summaries
) -> None:
    with ServedClient(settings_for(root, home)) as client:
        box = client.opened(workspace="repo")
        client.done("run", sandbox=box, command="echo two > a.txt")
        client.stop_listening()
        client.begin("run", sandbox=box, command="true")
        client.wait()
    assert _patched(summaries) == ["a.txt"]


@pytest.mark.slow
def test_a_client_that_never_reads_does_not_keep_the_server(
    root: Path, home: Path, summaries: Summaries
) -> None:
    with ServedClient(settings_for(root, home)) as client:
        box = client.opened(workspace="repo")
        client.done("write_file", sandbox=box, path="b.txt", content="some text\n" * 4000)
        for _ in range(30):
            client.begin("read_file", sandbox=box, path="b.txt")
        client.hang_up()
        client.wait()
    assert _patched(summaries) == ["b.txt"]


@pytest.mark.slow
def test_a_flood_by_a_client_that_never_reads_is_no_way_to_outlive_a_signal(
    root: Path, home: Path, summaries: Summaries
) -> None:
    with ServedClient(settings_for(root, home)) as client:
        box = client.opened(workspace="repo")
        client.done("run", sandbox=box, command="echo two > a.txt")
        written = client.flood(b'{"jsonrpc": "2.0", "id": 1, "method": 7}\n', quiet_s=1.0)
        # It is not read without end either.
        assert written < 16 << 20
        client.signal("SIGTERM")
        client.wait()
    assert _patched(summaries) == ["a.txt"]


def test_a_signal_exports_everything_in_the_middle_of_a_command(
    root: Path, home: Path, summaries: Summaries
) -> None:
    with ServedClient(settings_for(root, home)) as client:
        boxes = [client.opened(workspace="repo") for _ in range(3)]
        for box in boxes:
            client.done("run", sandbox=box, command="echo two > a.txt")
            client.begin("run", sandbox=box, command=SLOW)
        client.signal("SIGTERM")
        client.wait()
    assert len(summaries()) == 3
    for summary in summaries():
        assert summary["detail"] == "by SIGTERM"
        assert [change["path"] for change in summary["changes"]] == ["a.txt"]


def test_an_open_that_is_taken_back_leaves_no_sandbox(connect: Connect, home: Path) -> None:
    client = connect(most=1)
    number = client.begin("open", workspace="repo")
    client.notify("notifications/cancelled", {"requestId": number})
    _until_there_is_room(client)


def test_an_open_that_is_taken_back_before_its_handle_is_told_leaves_none(connect: Connect) -> None:
    asked, go_on = threading.Event(), threading.Event()

    class Counted(tuple[LeftOut, ...]):
        """What was left out is counted for the answer, when the sandbox stands already."""

        __slots__ = ()

        def __len__(self) -> int:
            asked.set()
            assert go_on.wait(60)
            return 0

    def one_held(job: Job, on_progress: OnProgress) -> TmpBox:
        box = box_of(job, on_progress)
        if not asked.is_set():
            box.left_behind = Counted()
        return box

    client = connect(most=1, open_box=one_held)
    number = client.begin("open", workspace="repo")
    assert asked.wait(60)
    client.notify("notifications/cancelled", {"requestId": number})
    # It was read when what came after it is answered.
    client.request("tools/list")
    client.frame()
    go_on.set()
    _until_there_is_room(client)


def _until_there_is_room(client: ServedClient) -> None:
    """There is room for one only: the one that was taken back is closed at some time."""
    until = time.monotonic() + 60
    while (result := client.call("open", workspace="repo"))["isError"]:
        assert time.monotonic() < until, result
        time.sleep(0.05)


# -- what is not theirs --------------------------------------------------------------------


def test_a_handle_of_another_client_is_none(connect: Connect) -> None:
    mine, other = connect(), connect()
    box = other.opened(workspace="repo")
    calls: dict[str, dict[str, object]] = {
        "run": {"command": "true"},
        "read_file": {"path": "a.txt"},
        "background_read": {"process": 1},
        "diff": {},
        "export": {},
        "close": {},
    }
    for tool, arguments in calls.items():
        assert "there is no sandbox" in mine.refused(tool, sandbox=box, **arguments)
    assert other.done("run", sandbox=box, command="true")["exit_code"] == 0


def test_handles_can_t_be_guessed_and_are_listed_nowhere(connect: Connect) -> None:
    client = connect()
    boxes = {client.opened(workspace="repo") for _ in range(4)}
    assert len(boxes) == 4
    assert all(len(box) >= 22 for box in boxes)
    for wrong in ("", "x", *(box[:-1] for box in boxes), *(box.swapcase() for box in boxes)):
        words = client.refused("run", sandbox=wrong, command="true")
        assert not any(box in words for box in boxes - {wrong})


@pytest.mark.parametrize(
    "name",
    [
        *("..", "../home", "/", "/etc", "/proc/self/cwd", "repo/../../other", "out", "out/deeper"),
        *("chain", "loop", "\0", "repo\0/etc", "~", "image:/", "x" * 4000, "a/" * 2000),
    ],
)
def test_no_folder_outside_of_the_roots_is_opened(
    connect: Connect, root: Path, tmp_path: Path, name: str
) -> None:
    other = tmp_path / "other"
    (other / "deeper").mkdir(parents=True)
    (root / "out").symlink_to(other)
    (root / "chain").symlink_to(root / "out" / "deeper")
    (root / "loop").symlink_to(root / "loop")
    client = connect()
    words = client.refused("open", workspace=name)
    assert str(other) not in words
    # What is there and what is not are refused alike.
    if not any(char in name for char in "\0~:") and len(name) < 100 and name != "loop":
        assert "not a folder in what this server was started for" in words
        assert words == client.refused("open", workspace=f"/none/{os.urandom(4).hex()}")


def test_a_folder_whose_name_is_no_text_ends_no_server(connect: Connect, root: Path) -> None:
    odd = root / os.fsdecode(b"d\xff")
    odd.mkdir()
    (root / "link").symlink_to(odd)
    client = connect(may_apply=True)
    box = client.opened(workspace="link")
    client.done("write_file", sandbox=box, path="a.txt", content="")
    assert client.done("apply", sandbox=box)["directory"] == f"{root}/d?"
    assert (odd / "a.txt").is_file()


def test_the_records_are_no_workspace(connect: Connect, root: Path, home: Path) -> None:
    client = connect(roots=(root.parent,))
    assert home.parent == root.parent
    assert "MOONPOOL_HOME" in client.refused("open", workspace="")
    (home / "runs").mkdir(parents=True, exist_ok=True)
    assert "MOONPOOL_HOME" in client.refused("open", workspace="home/runs")
    client.opened(workspace="work/repo")


def test_no_policy_that_a_client_may_choose_is_a_clients_to_write(
    connect: Connect, root: Path
) -> None:
    own = root / "repo" / "own.yaml"
    own.write_text("version: 1\nname: own\nextends: default\n")
    client = connect(policies={"default": "default", "own": str(own)}, may_apply=True)
    for chosen in ("default", "own"):
        for named in ("repo", ""):
            words = client.refused("open", workspace=named, policy=chosen)
            assert "lies in the workspace, which may not decide what it may do" in words


def test_no_configuration_that_is_yet_to_be_written_is_a_clients_to_write(
    connect: Connect, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stands there: what a client puts there would hold from the next run on."""
    for variable, name in (("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache")):
        (root / name / "moonpool" / "policies").mkdir(parents=True)
        monkeypatch.setenv(variable, str(root / name))
    client = connect(may_apply=True)
    for name in ("", "config", "config/moonpool", "config/moonpool/policies", "cache/moonpool"):
        assert "decides over runs" in client.refused("open", workspace=name)
    client.opened(workspace="repo")
