"""Questions at the editor: what they show, and which answers are a yes."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from acp.client.connection import ClientSideConnection
from acp.schema import PermissionOption, RequestPermissionResponse, ToolCallUpdate

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.conversation.budget import Stopwatch
from agent.interrupts import SignalReceived
from agent.servers.acp.outbox import Outbox
from agent.servers.acp.permission import EditorAsker
from editors.desk import Answer, Desk, ask, cancelling, choosing, silent

RULES = "+commands: [{program: touch, ask: true}]"
DONE = {"text": "Done."}


def touch(*names: str) -> dict[str, Any]:
    return {
        "calls": [{"tool": "bash", "arguments": {"command": f"touch {name}"}} for name in names]
    }


def answered(desk: Desk, answer: Answer, *prompts: str) -> list[str]:
    """Make the prompts; gives why the agent stopped at each."""
    desk.rules = RULES
    desk.editor.answer = answer
    return desk.asked(*prompts)


def made(desk: Desk) -> list[str]:
    """Answers in the record."""
    (run,) = desk.records()
    return [e["answer"] for e in desk.events(run) if e["event"] == "approval_answered"]


def test_call_runs_after_a_yes_and_stands_as_one_call(desk: Desk) -> None:
    desk.turns = [touch("x"), DONE]
    answered(desk, choosing("allow-once"), "go")
    assert made(desk) == ["approved"]
    assert len(desk.editor.of("tool_call")) == 1
    assert desk.editor.call("call-1")["status"] == "completed"


@pytest.mark.parametrize(
    "answer", [choosing("reject-once"), choosing("run-it-all"), choosing(""), cancelling]
)
def test_anything_but_an_offered_yes_is_a_no(desk: Desk, answer: Answer) -> None:
    desk.turns = [touch("x"), DONE]
    assert answered(desk, answer, "go") == ["end_turn"]
    assert made(desk) == ["declined"]
    assert desk.editor.call("call-1")["status"] == "failed"


def test_no_answer_in_time_is_a_no_and_says_so(desk: Desk) -> None:
    desk.turns = [touch("x"), DONE]
    desk.ask_timeout_s = 0.2
    assert answered(desk, silent, "go") == ["end_turn"]
    assert made(desk) == ["declined"]
    assert "nobody answered at the editor within" in str(desk.editor.call("call-1"))


def test_client_that_answers_with_an_error_has_said_no(desk: Desk) -> None:
    async def broken(
        _call: ToolCallUpdate, _options: list[PermissionOption]
    ) -> RequestPermissionResponse:
        raise RuntimeError("no dialog here")

    desk.turns = [touch("x"), DONE]
    assert answered(desk, broken, "go") == ["end_turn"]
    assert made(desk) == ["declined"]


def test_always_counts_for_the_exact_call_alone(desk: Desk) -> None:
    desk.turns = [touch("x"), touch("x", "y"), DONE]
    answered(desk, choosing("allow-always"), "go")
    assert made(desk) == ["approved", "approved before", "approved"]
    assert [call.title for call in desk.editor.asked] == ["$ touch x", "$ touch y"]


def test_always_counts_for_one_session(desk: Desk) -> None:
    desk.rules = RULES
    desk.turns = [touch("x"), DONE]
    desk.editor.answer = choosing("allow-always")

    async def body() -> None:
        async with desk.open() as client:
            for _ in range(2):
                await ask(client, await desk.begun(client), "go")

    asyncio.run(body())
    assert len(desk.editor.asked) == 2


@pytest.fixture
def asked(desk: Desk) -> asyncio.Event:
    """Set once the editor is asked, which never answers."""
    asked = asyncio.Event()

    async def never(
        call: ToolCallUpdate, options: list[PermissionOption]
    ) -> RequestPermissionResponse:
        asked.set()
        return await silent(call, options)

    desk.editor.answer = never
    desk.rules = RULES
    desk.turns = [touch("x"), {"text": "Again."}]
    return asked


def test_cancelled_prompt_ends_its_question_though_the_client_never_answers(
    desk: Desk, asked: asyncio.Event
) -> None:
    async def body(client: ClientSideConnection, session: str) -> None:
        prompt = asyncio.create_task(ask(client, session, "go"))
        await asked.wait()
        await client.cancel(session_id=session)
        assert await prompt == "cancelled"
        assert await ask(client, session, "more") == "end_turn"

    desk.led(body)
    assert not (desk.boxes[0].workspace / "x").exists()
    assert "Again." in desk.editor.text()


def test_client_that_leaves_at_a_question_has_said_no(desk: Desk, asked: asyncio.Event) -> None:
    async def body() -> None:
        async with desk.open() as client:
            prompt = asyncio.create_task(ask(client, await desk.begun(client), "go"))
            await asked.wait()
        with pytest.raises(ConnectionError):
            await prompt

    asyncio.run(body())
    (run,) = desk.records()
    assert desk.outcome(run) == "interrupted"
    assert "call_started" not in {event["event"] for event in desk.events(run)}


def test_question_that_is_let_go_as_the_client_leaves_ends_the_run() -> None:
    """However long the session takes to hear of that: nothing is asked of the model meanwhile."""
    asked = asyncio.Event()

    class Silent:
        async def request_permission(self, *_: object) -> RequestPermissionResponse:
            asked.set()
            raise await asyncio.get_running_loop().create_future()

    async def body() -> None:
        pipes = SimpleNamespace(hurry=lambda: None)
        outbox = Outbox(Silent(), pipes, asyncio.get_running_loop())  # type: ignore[arg-type]  # asks alone
        asker = EditorAsker(outbox, "s", ThreadInterrupts(), timeout_s=60)
        asker.bind(SimpleNamespace(clock=Stopwatch()), None)  # type: ignore[arg-type]  # its clock stops
        answer = asyncio.create_task(asyncio.to_thread(asker.may_apply, "x", ["x"]))
        await asked.wait()
        outbox.leave()
        with pytest.raises(SignalReceived):
            await answer

    asyncio.run(body())


def test_question_shows_every_character_of_the_call(desk: Desk) -> None:
    hidden = "touch 'a\u202e b\r\x1b[2K`` ```'\n" + "touch " + "x" * 40_000 + " end"
    desk.turns = [{"calls": [{"tool": "bash", "arguments": {"command": hidden}}]}, DONE]
    answered(desk, choosing("reject-once"), "go")
    (call,) = desk.editor.asked
    assert call.content is not None
    text = call.content[0].content.text
    assert text.count("x") >= 40_000
    assert " end" in text
    assert "\\u202e" in text
    assert "\\x1b[2K" in text
    assert not {"\u202e", "\x1b", "\r"} & set(text)
    # The fence is longer than any in it: nothing of the call gets out of the block.
    fence = text[: len(text) - len(text.lstrip("`"))]
    assert len(fence) == 4
    assert text.endswith(f"\n{fence}")
    assert call.title is not None
    assert call.title.endswith(" end")
    assert "\u202e" not in call.title
    assert call.raw_input == {"command": hidden}
