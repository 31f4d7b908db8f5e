"""A chat without a terminal: requests that build on each other, going back, applying on the way."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from agent.chat.requests import Chat
from agent.conversation.resume_state import resume_state_of
from agent.errors import ModelUnavailable
from agent.lifecycle.session import RunSession
from agent.models.interface import (
    AssistantMessage,
    Message,
    StopReason,
    Text,
    ToolResult,
    ToolUse,
    UserMessage,
)
from agent.record.applied_patch import AppliedPatch
from agent.record.events.conversation import CallStarted, ModelCalled
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import Notice, RequestAwaited
from agent.record.outcome import (
    Finished,
    Interrupted,
    LimitReached,
    ModelFailed,
    Refused,
    SandboxFailed,
)
from agent.record.reader import RecordLine, read_record
from agent.record.store import RunRecord
from agent.record.summary import RunResult
from fakes.box import TmpBox
from fakes.conversation import with_budget
from fakes.model import ToldModel, call, calls, say
from fakes.runs import FakeRun
from fakes.second_opinions import asking, opinion, saying
from policies.policy import Policy
from sandbox.errors import NotKept, PatchError, SandboxLost

WRITE = call("write_file", path="new.txt", content="made\n")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = tmp_path / "workspace"
    place.mkdir()
    (place / "calc.py").write_bytes(b"one\n")
    return place


@pytest.fixture
def fake(tmp_path: Path, workspace: Path, policy: Policy) -> Iterator[FakeRun]:
    made = FakeRun(
        home=tmp_path / "home", policy=policy, files={"calc.py": b"one\n"}, workspace=workspace
    )
    yield made
    if made.box is not None and not made.box.closed:
        made.box.close()


def having(fake: FakeRun, model: ToldModel, say_it: Callable[[Chat], None]) -> RunResult:
    """A chat of which the test is the person."""

    wrong: list[BaseException] = []

    def conversation(session: RunSession) -> Finished:
        chat = Chat(session)
        try:
            say_it(chat)
        except BaseException as error:
            wrong.append(error)  # a run makes an outcome of whatever is raised in it
            raise
        return Finished(message="left")

    fake.driver = conversation
    summary = fake.go(model, task="")
    if wrong:
        raise wrong[0]
    return summary


def said_in(message: Message) -> str:
    return "\n".join(block.text for block in message.blocks if isinstance(block, Text))


def takes(messages: tuple[Message, ...]) -> bool:
    """What every provider insists on: they alternate, and each call has its result next."""
    for before, after in pairwise(messages):
        if isinstance(before, UserMessage) == isinstance(after, UserMessage):
            return False
        if isinstance(before, AssistantMessage):
            uses = [block.id for block in before.blocks if isinstance(block, ToolUse)]
            assert isinstance(after, UserMessage)
            results = [b.tool_use_id for b in after.blocks if isinstance(b, ToolResult)]
            if uses != results:
                return False
    return isinstance(messages[0], UserMessage)


def test_a_request_is_asked_with_all_that_was_said_before(fake: FakeRun) -> None:
    model = ToldModel(WRITE, say("done"), call("bash", command="cat new.txt"), say("made"))

    def person(chat: Chat) -> None:
        assert chat.ask("write it") == Finished(message="done")
        assert chat.ask("read it") == Finished(message="made")

    summary = having(fake, model, person)
    assert [said_in(m) for m in model.requests[2].messages if isinstance(m, UserMessage)] == [
        "write it",
        "",
        "read it",
    ]
    assert "made" in model.last_results()[0].text
    assert takes(model.requests[-1].messages)
    assert summary.document.task == "chat: write it"
    assert summary.delivery is not None
    assert b"+made" in summary.delivery.patch.data


def interrupting(fake: FakeRun, kind: type[Event], *, times: int = 1) -> None:
    """Each such event brings so many Ctrl-C, the first of them once."""
    left = [times]

    def interrupt(event: Event) -> None:
        if isinstance(event, kind) and left[0]:
            for _ in range(left.pop()):
                fake.interrupts.receive("SIGINT")
            left.append(0)

    fake.also = interrupt


@pytest.mark.parametrize("kind", [CallStarted, ModelCalled])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_the_request_and_not_the_chat(
    fake: FakeRun, kind: type[Event], times: int
) -> None:
    interrupting(fake, kind, times=times)
    two = calls(("bash", {"command": "echo a"}), ("bash", {"command": "echo b"}))
    steps = [two, say("fine"), say("fine")] if kind is CallStarted else [say("fine"), say("fine")]
    model = ToldModel(*steps)

    def person(chat: Chat) -> None:
        with chat.session.interrupts.request():
            assert chat.ask("first") == Interrupted(signal="SIGINT")
        with chat.session.interrupts.request():
            assert chat.ask("second") == Finished(message="fine")

    having(fake, model, person)
    newest = model.requests[-1].messages
    assert takes(newest)
    assert "The person stopped the request before" in said_in(newest[-1])
    assert said_in(newest[-1]).endswith("second")


def test_what_was_broken_off_is_roused_and_the_model_is_told(fake: FakeRun) -> None:
    interrupting(fake, CallStarted, times=2)
    model = ToldModel(call("bash", command="sleep 60"), say("fine"))

    def person(chat: Chat) -> None:
        with chat.session.interrupts.request():
            chat.ask("first")
        with chat.session.interrupts.request():
            chat.ask("second")

    having(fake, model, person)
    assert "was started again" in said_in(model.requests[-1].messages[-1])


def test_a_failure_of_the_service_ends_the_request_and_not_the_chat(fake: FakeRun) -> None:
    model = ToldModel(ModelUnavailable("529"), say("fine"))

    def person(chat: Chat) -> None:
        assert chat.ask("first") == ModelFailed(message="529")
        assert chat.ask("again") == Finished(message="fine")

    having(fake, model, person)
    assert said_in(model.requests[-1].messages[-1]) == "first\nagain"


def test_the_budget_is_the_whole_chats(fake: FakeRun) -> None:
    fake.policy = with_budget(fake.policy, turns=1)
    model = ToldModel(say("fine"))

    def person(chat: Chat) -> None:
        chat.ask("first")
        assert isinstance(chat.ask("second"), LimitReached)

    having(fake, model, person)
    assert len(model.requests) == 1


def test_what_a_model_declined_is_not_said_again(fake: FakeRun) -> None:
    model = ToldModel(say("fine"), WRITE, say("no", StopReason.REFUSAL), say("good"))

    def person(chat: Chat) -> None:
        chat.ask("first")
        assert isinstance(chat.ask("what it declines"), Refused)
        chat.ask("something else")

    having(fake, model, person)
    newest = model.requests[-1].messages
    assert takes(newest)
    assert not any("declines" in said_in(message) for message in newest)
    assert "no longer part of this conversation" in said_in(newest[-1])


def test_a_sandbox_that_is_lost_ends_the_chat_with_its_patch(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files)
    fake.box.failures["run"] = SandboxLost("it is gone")
    model = ToldModel(WRITE, call("bash", command="true"))

    def person(chat: Chat) -> None:
        assert chat.ask("first") == SandboxFailed(message="it is gone")

    summary = having(fake, model, person)
    assert summary.delivery is not None
    assert b"+made" in summary.delivery.patch.data


# -- undo -------------------------------------------------------------------------------------


def test_undo_goes_back_request_by_request_and_the_model_is_told(fake: FakeRun) -> None:
    model = ToldModel(
        WRITE, say("one"), call("bash", command="rm calc.py; echo x >> new.txt"), say("two"),
        say("three"),
    )  # fmt: skip

    def person(chat: Chat) -> None:
        chat.ask("first")
        chat.ask("second")
        undone = chat.undo()
        assert undone is not None
        assert (undone[0], undone[1].back) == (2, (b"calc.py", b"new.txt"))
        assert chat.patch.preview().patch.data.count(b"+made") == 1
        undone = chat.undo()
        assert undone is not None
        assert (undone[0], undone[1].removed) == (1, (b"new.txt",))
        assert chat.undo() is None
        assert chat.patch.preview().patch.data == b""
        chat.ask("third")

    having(fake, model, person)
    words = said_in(model.requests[-1].messages[-1])
    assert "request number 2" in words
    assert "request number 1" in words
    assert words.endswith("third")


def test_a_state_that_was_not_kept_is_not_gone_back_to(fake: FakeRun) -> None:
    model = ToldModel(WRITE, say("one"))

    def person(chat: Chat) -> None:
        chat.ask("first")
        assert fake.box is not None
        fake.box.failures["restore"] = NotKept("too large")
        with pytest.raises(NotKept):
            chat.undo()
        assert chat.patch.preview().patch.data
        assert chat.undo() is not None

    having(fake, model, person)


# -- apply ------------------------------------------------------------------------------------


def test_what_is_applied_on_the_way_is_what_is_new(fake: FakeRun, workspace: Path) -> None:
    model = ToldModel(
        WRITE, say("one"), call("bash", command="echo two > new.txt; echo two >> calc.py"),
        say("two"),
    )  # fmt: skip

    def person(chat: Chat) -> None:
        chat.ask("first")
        assert [change.path for change in chat.patch.apply(chat.patch.to_apply())] == [b"new.txt"]
        assert (workspace / "new.txt").read_bytes() == b"made\n"
        assert chat.patch.apply(chat.patch.to_apply()) == ()
        chat.ask("second")
        chat.patch.apply(chat.patch.to_apply())
        assert (workspace / "new.txt").read_bytes() == b"two\n"
        assert (workspace / "calc.py").read_bytes() == b"one\ntwo\n"
        chat.undo()
        chat.undo()
        chat.patch.apply(chat.patch.to_apply())
        assert sorted(path.name for path in workspace.iterdir()) == ["calc.py"]
        assert (workspace / "calc.py").read_bytes() == b"one\n"

    having(fake, model, person)


def test_a_workspace_that_others_changed_is_not_written_to(fake: FakeRun, workspace: Path) -> None:
    model = ToldModel(WRITE, say("one"))

    def person(chat: Chat) -> None:
        chat.ask("first")
        (workspace / "new.txt").write_bytes(b"mine\n")
        with pytest.raises(PatchError):
            chat.patch.apply(chat.patch.to_apply())
        assert (workspace / "new.txt").read_bytes() == b"mine\n"
        assert AppliedPatch.of(fake.record.directory).patch == b""

    having(fake, model, person)


def test_what_the_gate_refuses_is_not_applied(fake: FakeRun, workspace: Path) -> None:
    model = ToldModel(
        call("bash", command="mkdir -p .github/workflows; echo x > .github/workflows/a.yml"),
        say("one"),
    )

    def person(chat: Chat) -> None:
        chat.ask("first")
        taken = chat.patch.to_apply()
        assert taken.refused
        with pytest.raises(AssertionError):
            chat.patch.apply(taken)

    having(fake, model, person)
    assert sorted(path.name for path in workspace.iterdir()) == ["calc.py"]


def test_where_a_reviewer_must_approve_nothing_is_applied_before_it_did(
    fake: FakeRun, workspace: Path
) -> None:
    fake.policy = asking(fake.policy, require=True)
    fake.reviewer = saying(opinion())

    def person(chat: Chat) -> None:
        chat.ask("first")
        taken = chat.patch.to_apply()
        assert [(it.id, it.refuses) for it in taken.findings] == [("not-approved", True)]
        with pytest.raises(AssertionError):
            chat.patch.apply(taken)

    having(fake, ToldModel(WRITE, say("one")), person)
    assert sorted(path.name for path in workspace.iterdir()) == ["calc.py"]
    given = fake.run.journal.state.opinion
    assert given is not None
    assert given.finding is None, "and at the end it was asked"


# -- the record -------------------------------------------------------------------------------


def lines(record: RunRecord) -> tuple[RecordLine, ...]:
    return read_record(record.directory).require()


def test_killed_at_the_prompt_there_is_nothing_left_to_ask(fake: FakeRun) -> None:
    model = ToldModel(WRITE, say("one"), ModelUnavailable("529"))

    def person(chat: Chat) -> None:
        past = resume_state_of(lines(fake.record))
        assert past.ended == Finished(message="nothing was asked")
        chat.ask("first")
        past = resume_state_of(lines(fake.record))
        assert (past.ended, past.conversation.turn) == (Finished(message="one"), None)
        assert past.conversation.history == chat.session.journal.state.conversation.history
        chat.ask("second")
        past = resume_state_of(lines(fake.record))
        assert past.ended == ModelFailed(message="529")
        assert past.conversation.history == chat.session.journal.state.conversation.history

    having(fake, model, person)


def test_killed_in_a_request_it_goes_on_with_that(fake: FakeRun) -> None:
    seen = []

    def look(event: Event) -> None:
        if isinstance(event, ModelCalled):
            past = resume_state_of(lines(fake.record))
            seen.append((past.ended, said_in(past.conversation.history[-1])))

    fake.also = look
    model = ToldModel(say("one"), say("two"))

    def person(chat: Chat) -> None:
        chat.ask("first")
        chat.ask("second")

    having(fake, model, person)
    assert seen == [(None, "first"), (None, "second")]


def test_the_time_at_the_prompt_is_not_the_agents(fake: FakeRun) -> None:
    model = ToldModel(say("one"))

    def person(chat: Chat) -> None:
        chat.ask("first")
        told = lines(fake.record)
        worked = resume_state_of(told).worked_s
        late = datetime(2099, 1, 1, tzinfo=UTC)
        later = RecordLine(time=late, event=Notice(text="x"))
        assert resume_state_of([*told, later]).worked_s == worked

    having(fake, model, person)
    assert any(isinstance(event, RequestAwaited) for event in fake.log)
