"""Sessions of before: listed, told again, and gone on with."""

import json
from pathlib import Path
from typing import Any

import pytest
from acp.client.connection import ClientSideConnection
from acp.exceptions import RequestError

from agent.record.reader import reopen
from editors.desk import Desk, FakeEditor, ask, choosing

DONE = {"text": "Done."}


def bash(command: str) -> dict[str, Any]:
    return {"text": "I look.", "calls": [{"tool": "bash", "arguments": {"command": command}}]}


def begun(desk: Desk, *prompts: str) -> str:
    """Have a session with these prompts, and leave; gives its id."""

    async def body(client: ClientSideConnection, session: str) -> str:
        for prompt in prompts:
            await ask(client, session, prompt)
        return session

    return desk.led(body)


def gone_on(desk: Desk, session: str, *prompts: str) -> None:
    """Load a session of before, and make these prompts."""

    async def body(client: ClientSideConnection) -> None:
        await loaded(desk, client, session)
        for prompt in prompts:
            assert await ask(client, session, prompt) == "end_turn"

    desk.served(body)


async def loaded(desk: Desk, client: ClientSideConnection, session: str) -> None:
    await client.initialize(protocol_version=1)
    await client.load_session(cwd=str(desk.workspace), session_id=session, mcp_servers=[])


def test_session_is_told_again_as_it_was(desk: Desk) -> None:
    items = [{"step": "mend", "status": "done"}]
    plan = {"calls": [{"tool": "update_plan", "arguments": {"items": items}}]}
    desk.turns = [plan, bash("echo new > calc.py; echo b > b.txt"), DONE]
    session = begun(desk, "mend it")
    before, desk.editor = desk.editor, FakeEditor()
    gone_on(desk, session)
    after = desk.editor
    assert after.text("user_message_chunk") == "mend it"
    assert after.text() == "I look.\n\nDone."
    assert after.of("plan") == before.of("plan")
    assert after.diffs("call-2") == before.diffs("call-2")
    assert after.call("call-2")["status"] == "completed"
    assert {told for told, _ in after.updates} == {session}
    assert len(desk.boxes) == 1


def test_next_prompt_goes_on_with_files_and_conversation(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]
    session = begun(desk, "mend it")
    desk.turns = [*desk.turns, bash("cat calc.py"), {"text": "Again.", "expect": ["new"]}]
    gone_on(desk, session, "go on")
    first, second = desk.records()
    assert first.name == session
    origin = desk.events(second)[0]["forked_from"]
    assert origin["run_id"] == session
    said = [event["text"] for event in desk.events(second) if event.get("what") == "request"]
    assert said == ["mend it", "go on"]
    assert b"+new" in (second / "patch.diff").read_bytes()
    assert desk.outcome(second) == "finished"
    assert all(box.closed for box in desk.boxes)


def test_what_was_applied_before_is_not_applied_again(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]
    desk.editor.answer = choosing("allow-once")
    session = begun(desk, "mend it", "/apply")
    assert (desk.workspace / "calc.py").read_text() == "new\n"
    desk.turns = [*desk.turns, bash("echo more > more.txt"), DONE]
    gone_on(desk, session, "go on", "/apply")
    assert "applied:\n\n```text\nadded     more.txt\n```" in desk.editor.text()
    assert (desk.workspace / "calc.py").read_text() == "new\n"
    assert (desk.workspace / "more.txt").read_text() == "more\n"


def test_session_that_went_on_is_one_session(desk: Desk) -> None:
    desk.turns = [bash("echo new > calc.py"), DONE]
    session = begun(desk, "one")
    desk.turns = [*desk.turns, {"text": "Two."}]
    gone_on(desk, session, "two")
    desk.turns = [*desk.turns, {"text": "Three."}]
    desk.editor = FakeEditor()

    async def third(client: ClientSideConnection) -> list[str]:
        await loaded(desk, client, session)
        await ask(client, session, "three")
        listed = await client.list_sessions(cwd=str(desk.workspace))
        return [item.session_id for item in listed.sessions]

    assert desk.served(third) == [session]
    assert desk.editor.text("user_message_chunk") == "onetwo"
    assert "Three." in desk.editor.text()
    assert len(desk.records()) == 3


def test_sessions_are_listed_newest_first_by_workspace_and_by_pages(desk: Desk) -> None:
    begun(desk, "first words")
    (one,) = desk.records()
    summary = json.loads((one / "run.json").read_text())
    for number in range(60):
        copy = one.parent / f"20200101-000000-0000{number:04x}"
        copy.mkdir()
        elsewhere = {"workspace": "/elsewhere"} if number % 2 else {}
        (copy / "run.json").write_text(json.dumps({**summary, "run_id": copy.name, **elsewhere}))

    async def body(client: ClientSideConnection) -> None:
        await client.initialize(protocol_version=1)
        page = await client.list_sessions()
        assert len(page.sessions) == 50
        assert page.sessions[0].session_id == one.name
        assert page.sessions[0].title == "first words"
        assert page.sessions[0].cwd == str(desk.workspace)
        rest = await client.list_sessions(cursor=page.next_cursor)
        assert len(rest.sessions) == 11
        assert rest.next_cursor is None
        here = await client.list_sessions(cwd=str(desk.workspace))
        assert len(here.sessions) == 31

    desk.served(body)


def test_resumed_session_is_not_told_again(desk: Desk) -> None:
    session = begun(desk, "one")
    desk.turns = [DONE, DONE]
    desk.editor = FakeEditor()

    async def body(client: ClientSideConnection) -> None:
        await client.initialize(protocol_version=1)
        await client.resume_session(session_id=session, cwd=str(desk.workspace))
        assert not desk.editor.text("user_message_chunk")
        assert await ask(client, session, "two") == "end_turn"

    desk.served(body)


@pytest.mark.parametrize(
    "session", ["", "nobody", "../../etc", "20200101-000000-00000000", "last", "\ud800", "a\0b"]
)
def test_session_that_is_none_is_refused(desk: Desk, session: str) -> None:
    begun(desk, "one")

    async def body(client: ClientSideConnection) -> None:
        with pytest.raises(RequestError) as refused:
            await loaded(desk, client, session)
        assert refused.value.code == -32602

    desk.served(body)


def test_session_of_another_workspace_is_refused(desk: Desk) -> None:
    session = begun(desk, "one")
    other = desk.directory / "other"
    other.mkdir()

    async def body(client: ClientSideConnection) -> None:
        await client.initialize(protocol_version=1)
        with pytest.raises(RequestError, match="workspace"):
            await client.load_session(cwd=str(other), session_id=session, mcp_servers=[])

    desk.served(body)


def test_session_that_is_open_is_not_loaded_over_itself(desk: Desk) -> None:
    async def body(client: ClientSideConnection, session: str) -> None:
        await ask(client, session, "one")
        with pytest.raises(RequestError, match="is open"):
            await client.load_session(cwd=str(desk.workspace), session_id=session, mcp_servers=[])

    desk.led(body)


def test_session_that_another_process_works_on_is_refused(desk: Desk) -> None:
    session = begun(desk, "one")
    held, _ = reopen(desk.directory / "home", session)

    async def body(client: ClientSideConnection) -> None:
        with pytest.raises(RequestError, match="another process"):
            await loaded(desk, client, session)

    desk.served(body)
    held.close()


def test_record_that_somebody_changed_is_told_to_nobody(desk: Desk) -> None:
    session = begun(desk, "one")
    events = desk.records()[0] / "events.jsonl"
    events.write_text(events.read_text().replace("Done.", "Evil."))
    desk.editor = FakeEditor()

    async def body(client: ClientSideConnection) -> None:
        with pytest.raises(RequestError):
            await loaded(desk, client, session)

    desk.served(body)
    assert not desk.editor.text()


def test_word_that_names_another_place_is_not_followed(desk: Desk) -> None:
    session = begun(desk, "one")
    (desk.records()[0] / "continued").write_text("../../../etc\n")
    desk.editor = FakeEditor()
    gone_on(desk, session)
    assert desk.editor.text("user_message_chunk") == "one"


def test_mode_of_a_session_of_before_stays(desk: Desk) -> None:
    session = begun(desk, "one")

    async def body(client: ClientSideConnection) -> None:
        await client.initialize(protocol_version=1)
        said = await client.load_session(
            cwd=str(desk.workspace), session_id=session, mcp_servers=[]
        )
        assert said.modes is not None
        assert [mode.id for mode in said.modes.available_modes] == ["default"]
        with pytest.raises(RequestError, match="begin a new session"):
            await client.set_session_mode(session_id=session, mode_id="read-only")

    desk.served(body)


def test_ceiling_of_today_holds_for_a_session_of_before(desk: Desk) -> None:
    session = begun(desk, "one")
    config = Path(desk.directory / "config" / "moonpool")
    config.mkdir(parents=True)
    (config / "ceiling.yaml").write_text("version: 1\nname: top\nextends: read-only\n")
    desk.turns = [*desk.turns, bash("rm calc.py"), DONE]
    gone_on(desk, session, "go")
    assert desk.editor.call("call-1")["status"] == "failed"
