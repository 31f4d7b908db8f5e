"""Sessions of an editor: prompts, what it is told of them, and what they leave behind."""

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest
from acp.client.connection import ClientSideConnection
from acp.exceptions import RequestError
from acp.schema import McpServerStdio

from editors.desk import Desk, ask, choosing
from fakes.box import TmpBox
from sandbox.errors import EngineUnavailable


def bash(command: str, text: str = "") -> dict[str, Any]:
    return {"text": text, "calls": [{"tool": "bash", "arguments": {"command": command}}]}


DONE = {"text": "Done."}


def test_edit_made_by_shell_is_shown_as_diff_at_its_call(desk: Desk) -> None:
    desk.turns = [bash("sed -i 's/+/*/' calc.py; echo new > b.txt"), DONE]

    assert desk.asked("mend it") == ["end_turn"]
    call = desk.editor.call("call-1")
    assert (call["kind"], call["status"]) == ("execute", "completed")
    assert desk.editor.diffs("call-1") == {
        str(desk.workspace / "calc.py"): ("a + b\n", "a * b\n"),
        str(desk.workspace / "b.txt"): (None, "new\n"),
    }
    assert "Done." in desk.editor.text()


def test_second_diff_of_a_file_begins_where_the_first_ended(desk: Desk) -> None:
    desk.turns = [bash("echo one > calc.py"), bash("echo two > calc.py"), bash("rm calc.py"), DONE]

    desk.asked("go on")
    path = str(desk.workspace / "calc.py")
    assert desk.editor.diffs("call-2") == {path: ("one\n", "two\n")}
    assert desk.editor.diffs("call-3") == {path: ("two\n", "")}


def test_diff_is_not_made_up_where_the_person_changed_the_file_meanwhile(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]

    async def body(client: ClientSideConnection, session: str) -> None:
        (desk.workspace / "calc.py").write_text("theirs\n")
        await ask(client, session, "mend it")

    desk.led(body)
    assert desk.editor.diffs("call-1") == {}
    (said,) = desk.editor.call("call-1")["content"]
    assert "changed too, not shown: calc.py" in said["content"]["text"]


def test_copy_that_waited_for_its_first_prompt_is_made_again(desk: Desk) -> None:
    desk.turns = [bash("cat calc.py"), DONE, bash("cat calc.py"), DONE]
    desk.fresh_s = 0

    async def body(client: ClientSideConnection, session: str) -> None:
        desk.files["calc.py"] = b"edited since\n"
        await ask(client, session, "read it")
        desk.files["calc.py"] = b"edited again\n"
        await ask(client, session, "read it again")

    desk.led(body)
    assert len(desk.boxes) == 2
    assert all(box.closed for box in desk.boxes)
    for call in ("call-1", "call-2"):
        assert "edited since" in str(desk.editor.call(call)["content"])


def test_plan_is_shown_as_plan(desk: Desk) -> None:
    items = [{"step": "look", "status": "done"}, {"step": "mend", "status": "in_progress"}]
    plan = {"calls": [{"tool": "update_plan", "arguments": {"items": items}}]}
    desk.turns = [plan, DONE]

    desk.asked("plan it")
    (told,) = desk.editor.of("plan")
    assert [(entry["content"], entry["status"]) for entry in told["entries"]] == [
        ("look", "completed"),
        ("mend", "in_progress"),
    ]
    assert not desk.editor.of("tool_call")


def test_file_tools_name_the_place_in_the_editors_folder(desk: Desk) -> None:
    read = {"calls": [{"tool": "read_file", "arguments": {"path": "calc.py", "offset": 1}}]}
    out = {"calls": [{"tool": "read_file", "arguments": {"path": "/etc/passwd"}}]}
    desk.turns = [read, out, DONE]

    desk.asked("read it")
    first, second = desk.editor.of("tool_call")
    assert first["locations"] == [{"path": str(desk.workspace / "calc.py"), "line": 1}]
    assert first["kind"] == "read"
    assert not second.get("locations")


def test_patch_is_shown_at_the_end_and_applied_when_the_person_says_so(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]
    desk.editor.answer = choosing("allow-once")
    seen: list[bytes] = []

    async def body(client: ClientSideConnection, session: str) -> None:
        await ask(client, session, "mend it")
        seen.append((desk.workspace / "calc.py").read_bytes())
        assert await ask(client, session, "/apply") == "end_turn"

    desk.led(body)
    assert seen == [b"a + b\n"]
    assert (desk.workspace / "calc.py").read_bytes() == b"new\n"
    assert "`/apply` applies it" in desk.editor.text()
    (asked,) = desk.editor.asked
    assert asked.title == f"Apply 1 changed file to {desk.workspace}"
    (run,) = desk.records()
    assert "patch_applied" in {event["event"] for event in desk.events(run)}


def test_patch_is_not_applied_where_the_person_says_no(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]

    desk.asked("mend it", "/apply")
    assert (desk.workspace / "calc.py").read_bytes() == b"a + b\n"
    assert "not applied: the person at the editor declined it" in desk.editor.text()


def test_patch_that_the_gate_refuses_is_not_even_asked_about(desk: Desk) -> None:
    desk.turns = [bash("mkdir .github && echo x > .github/a"), DONE]
    desk.rules = 'paths: {write: [.], protect: [".github/**"]}\nexport: {refuse: [protected-path]}'
    desk.editor.answer = choosing("allow-once")

    desk.asked("mend it", "/apply")
    assert not desk.editor.asked
    assert not (desk.workspace / ".github").exists()
    assert "nothing is applied" in desk.editor.text()


def test_undone_prompt_leaves_nothing_to_apply(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]

    desk.asked("mend it", "/undo", "/apply")
    assert "prompt 1 is undone" in desk.editor.text()
    assert "nothing changed so far" in desk.editor.text()


def test_command_is_what_the_person_typed_and_stands_alone(desk: Desk) -> None:
    desk.turns = [{"text": "One."}, {"text": "Two."}]

    desk.asked("/apply now", "/nonsense")
    (run,) = desk.records()
    said = [event["text"] for event in desk.events(run) if event.get("what") == "request"]
    assert said == ["/apply now"]
    assert "no command /nonsense" in desk.editor.text()
    assert "Two." not in desk.editor.text()


def test_session_closed_by_the_client_has_its_patch_and_no_sandbox(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]

    async def body(client: ClientSideConnection, session: str) -> None:
        await ask(client, session, "mend it")
        await client.close_session(session_id=session)
        assert all(box.closed for box in desk.boxes)
        with pytest.raises(RequestError, match="no open session"):
            await ask(client, session, "more")

    desk.led(body)
    (run,) = desk.records()
    assert (run / "patch.diff").read_bytes().endswith(b"+new\n")
    assert (run / "report.html").exists()
    assert desk.outcome(run) == "finished"


def test_session_in_which_nothing_was_asked_leaves_no_record(desk: Desk) -> None:
    async def body(client: ClientSideConnection) -> None:
        await desk.begun(client)

    desk.served(body)
    assert desk.records() == []
    assert all(box.closed for box in desk.boxes)


def test_client_that_leaves_ends_its_sessions_with_their_patches(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]

    async def body(client: ClientSideConnection) -> None:
        first, second = await desk.begun(client), await desk.begun(client)
        await asyncio.gather(ask(client, first, "a"), ask(client, second, "b"))

    desk.served(body)
    assert len(desk.records()) == 2
    for run in desk.records():
        assert (run / "patch.diff").read_bytes().endswith(b"+new\n")
        assert desk.events(run)[-1]["event"] == "run_ended"
    assert all(box.closed for box in desk.boxes)


def test_client_that_leaves_in_the_middle_of_a_command_ends_it_and_has_the_patch(
    desk: Desk,
) -> None:
    desk.turns = [bash("echo new > calc.py; touch begun; sleep 600"), DONE]

    async def body() -> None:
        async with desk.open() as client:
            session = await desk.begun(client)
            prompt = asyncio.create_task(ask(client, session, "mend it"))
            await desk.until("begun")
        with pytest.raises(ConnectionError):
            await prompt

    asyncio.run(body())
    (run,) = desk.records()
    assert b"+new\n" in (run / "patch.diff").read_bytes()
    assert desk.outcome(run) == "interrupted"


def test_sessions_side_by_side_have_their_own_runs_and_hear_of_their_own(desk: Desk) -> None:
    desk.turns = [bash("echo $RANDOM$RANDOM > r.txt; cat r.txt"), DONE]

    async def body(client: ClientSideConnection) -> list[str]:
        sessions = [await desk.begun(client) for _ in range(3)]
        await asyncio.gather(*(ask(client, session, "go") for session in sessions))
        return sessions

    sessions = desk.served(body)
    assert [run.name for run in desk.records()] == sorted(sessions)
    for session in sessions:
        assert len(desk.editor.of("tool_call", session)) == 1
        assert desk.editor.text(session_id=session).startswith("Done.")


def test_second_prompt_waits_for_nobody_and_is_refused(desk: Desk) -> None:
    desk.turns = [bash("touch begun; sleep 600"), DONE, DONE]

    async def body(client: ClientSideConnection, session: str) -> None:
        prompt = asyncio.create_task(ask(client, session, "one"))
        await desk.until("begun")
        with pytest.raises(RequestError, match="being served"):
            await ask(client, session, "two")
        await client.cancel(session_id=session)
        assert await prompt == "cancelled"

    desk.led(body)


def test_cancelled_prompt_ends_its_command_and_the_next_is_served(desk: Desk) -> None:
    desk.turns = [bash("touch begun; sleep 600"), {"text": "Again."}]

    async def body(client: ClientSideConnection, session: str) -> None:
        prompt = asyncio.create_task(ask(client, session, "one"))
        await desk.until("begun")
        await client.cancel(session_id=session)
        assert await prompt == "cancelled"
        assert await ask(client, session, "two") == "end_turn"

    desk.led(body)
    assert "Again." in desk.editor.text()


def test_prompt_cancelled_while_its_sandbox_opens_asks_no_model(desk: Desk) -> None:
    desk.turns = [{"text": "Never."}]
    may_open, idle = threading.Event(), threading.Event()

    def wait(_job: object) -> None:
        assert may_open.wait(60)

    desk.before_open = wait

    async def body(client: ClientSideConnection, session: str) -> None:
        prompt = asyncio.create_task(ask(client, session, "one"))
        # None of the loop's threads has time for it.
        busy = [asyncio.create_task(asyncio.to_thread(idle.wait, 60)) for _ in range(64)]
        await asyncio.sleep(0)
        await client.cancel(session_id=session)
        # What is sent after the cancel is answered after it was heard.
        with pytest.raises(RequestError, match="being served"):
            await ask(client, session, "two")
        may_open.set()
        try:
            assert await prompt == "cancelled"
        finally:
            idle.set()
            await asyncio.wait(busy)

    desk.led(body)
    assert "Never." not in desk.editor.text()


def test_model_that_fails_is_an_error_and_the_session_goes_on(desk: Desk) -> None:
    desk.turns = [{"text": "One.", "expect": ["never said"]}]

    async def body(client: ClientSideConnection, session: str) -> None:
        with pytest.raises(RequestError, match="ask again"):
            await ask(client, session, "go")
        assert await ask(client, session, "/cost") == "end_turn"

    desk.led(body)


def test_sandbox_that_does_not_open_is_an_error_with_its_reason(desk: Desk) -> None:
    def fail(_job: object) -> None:
        raise EngineUnavailable("no engine here: start one")

    desk.before_open = fail

    async def body(client: ClientSideConnection, session: str) -> None:
        for _ in range(2):
            with pytest.raises(RequestError, match="no engine here: start one"):
                await ask(client, session, "go")

    desk.led(body)
    (run,) = desk.records()
    assert desk.outcome(run) == "sandbox failed"


@pytest.mark.parametrize("version", [0, 1, 2, 65535])
def test_every_version_is_answered_with_the_one_there_is(desk: Desk, version: int) -> None:
    async def body(client: ClientSideConnection) -> None:
        said = await client.initialize(protocol_version=version)
        assert said.protocol_version == 1
        assert said.auth_methods == []

    desk.served(body)


def test_nothing_is_done_before_a_version_is_agreed_on(desk: Desk) -> None:
    async def body(client: ClientSideConnection) -> None:
        with pytest.raises(RequestError, match="initialize"):
            await client.new_session(cwd=str(desk.workspace), mcp_servers=[])

    desk.served(body)
    assert not desk.boxes


@pytest.mark.parametrize(
    "cwd", [".", "", "workspace", "/nowhere/at/all", "/etc/passwd", "/\0", "/\ud800"]
)
def test_session_needs_an_absolute_directory_that_is_there(desk: Desk, cwd: str) -> None:
    async def body(client: ClientSideConnection) -> None:
        await client.initialize(protocol_version=1)
        with pytest.raises(RequestError) as refused:
            await client.new_session(cwd=cwd, mcp_servers=[])
        assert refused.value.code == -32602

    desk.served(body)
    assert not desk.boxes


def test_root_holds_links_included(desk: Desk) -> None:
    outside = desk.directory / "outside"
    outside.mkdir()
    desk.within = desk.workspace
    (desk.workspace / "link").symlink_to(outside)

    async def body(client: ClientSideConnection) -> None:
        await client.initialize(protocol_version=1)
        for cwd in (outside, desk.workspace / "link", desk.workspace / ".." / "outside"):
            with pytest.raises(RequestError, match="--root"):
                await client.new_session(cwd=str(cwd), mcp_servers=[])
        await desk.begun(client)

    desk.served(body)


@pytest.mark.parametrize("home", [".", "me", "me/too"])
def test_home_directory_is_a_workspace_where_the_operator_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    """It is what editors name that have no project open."""
    monkeypatch.setenv("HOME", str(desk.workspace / home))
    (desk.workspace / "me" / "project").mkdir(parents=True)

    async def body(client: ClientSideConnection) -> None:
        with pytest.raises(RequestError, match="holds your home directory"):
            await desk.begun(client)
        project = str(desk.workspace / "me" / "project")
        await client.new_session(cwd=project, mcp_servers=[])

    desk.served(body)
    desk.within = desk.workspace
    assert desk.asked("/cost") == ["end_turn"]


def test_relative_configuration_is_none_of_the_folder_that_the_server_stands_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk.workspace / "config.yaml").write_text("version: 1\nmodel: script:theirs.yaml\n")
    monkeypatch.chdir(desk.workspace)
    monkeypatch.setenv("MOONPOOL_CONFIG", "config.yaml")

    with pytest.raises(RequestError, match=r"MOONPOOL_CONFIG=config\.yaml is no absolute"):
        desk.asked("go")
    assert not desk.boxes


def test_sessions_have_a_bound(desk: Desk) -> None:
    async def body(client: ClientSideConnection) -> None:
        for _ in range(16):
            await desk.begun(client)
        with pytest.raises(RequestError, match="close one first"):
            await desk.begun(client)

    desk.served(body)
    assert len(desk.boxes) == 16
    assert all(box.closed for box in desk.boxes)


class SlowToClose(TmpBox):
    def close(self) -> None:
        time.sleep(0.2)
        super().close()


def test_client_that_changes_and_closes_without_end_has_no_more_sandboxes(desk: Desk) -> None:
    desk.box = SlowToClose
    standing: list[int] = []
    desk.before_open = lambda _: standing.append(sum(not box.closed for box in desk.boxes))

    async def body() -> None:
        async with desk.open() as client:
            session = await desk.begun(client)
            modes = ("read-only", "default") * 4
            changes = (client.set_session_mode(session_id=session, mode_id=it) for it in modes)
            await asyncio.gather(*changes)
            assert max(standing) <= 2
            opened = [await desk.begun(client) for _ in range(15)]
            closing = asyncio.gather(*(client.close_session(session_id=it) for it in opened))
            with contextlib.suppress(RequestError):  # until some of them are gone
                for _ in opened:
                    await desk.begun(client)
            await closing

    asyncio.run(body())
    assert max(standing) <= 16


def test_mode_before_the_first_prompt_takes_another_sandbox(desk: Desk) -> None:
    desk.turns = [bash("touch x"), DONE]
    policies: list[str] = []
    desk.before_open = lambda job: policies.append(job.policy.name)

    async def body(client: ClientSideConnection, session: str) -> None:
        await client.set_session_mode(session_id=session, mode_id="read-only")
        await ask(client, session, "go")

    desk.led(body)
    assert policies == ["default", "read-only"]
    assert all(box.closed for box in desk.boxes)
    (run,) = desk.records()
    assert desk.events(run)[0]["policy"] == "read-only"
    assert desk.editor.call("call-1")["status"] == "failed"


def test_mode_after_the_first_prompt_is_refused_and_says_why(desk: Desk) -> None:
    desk.turns = [DONE]

    async def body(client: ClientSideConnection, session: str) -> None:
        await ask(client, session, "go")
        with pytest.raises(RequestError, match="begin a new session"):
            await client.set_session_mode(session_id=session, mode_id="read-only")

    desk.led(body)
    assert len(desk.boxes) == 1


@pytest.mark.parametrize("mode", ["nonsense", "../rules", "/etc/passwd", "moonpool.yaml", ""])
def test_mode_is_one_of_those_offered(desk: Desk, mode: str) -> None:
    (desk.workspace / "moonpool.yaml").write_text("version: 1\nname: evil\n")

    async def body(client: ClientSideConnection, session: str) -> None:
        with pytest.raises(RequestError) as refused:
            await client.set_session_mode(session_id=session, mode_id=mode)
        assert refused.value.code == -32602

    desk.led(body)
    assert len(desk.boxes) == 1


def test_ceiling_holds_in_every_mode(desk: Desk) -> None:
    config = desk.directory / "config" / "moonpool"
    config.mkdir(parents=True)
    (config / "ceiling.yaml").write_text("version: 1\nname: top\nextends: read-only\n")
    desk.turns = [bash("rm calc.py"), DONE]

    async def body(client: ClientSideConnection, session: str) -> None:
        await client.set_session_mode(session_id=session, mode_id="polyglot")
        await ask(client, session, "go")

    desk.led(body)
    assert "ceiling" in str(desk.editor.call("call-1"))
    assert desk.editor.call("call-1")["status"] == "failed"


def test_editors_servers_of_tools_are_not_used_and_that_is_said(desk: Desk) -> None:
    desk.turns = [DONE]
    server = McpServerStdio(name="x", command="/bin/touch", args=["/nowhere"], env=[])

    async def body(client: ClientSideConnection) -> None:
        await client.initialize(protocol_version=1)
        opened = await client.new_session(cwd=str(desk.workspace), mcp_servers=[server])
        await ask(client, opened.session_id, "go")

    desk.served(body)
    assert "MCP servers (1) are not used" in desk.editor.text("agent_thought_chunk")
