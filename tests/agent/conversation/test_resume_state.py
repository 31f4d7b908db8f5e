"""A conversation cut off anywhere is taken up: nothing is done twice, nothing is unanswered."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.conversation.prompts import IN_DOUBT
from agent.conversation.resume_state import ResumeState, resume_state_of
from agent.errors import RecordError
from agent.models.interface import (
    AssistantMessage,
    Message,
    Opaque,
    Reply,
    StopReason,
    Text,
    ToolResult,
    ToolUse,
    Usage,
)
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import ConversationEnded, Notice, SandboxReady
from agent.record.events.recorded import STRING_LIMIT
from agent.record.outcome import Finished, GaveUp
from agent.record.reader import ReadRecord, reopen
from agent.record.store import RunRecord
from fakes.box import SEAL, TmpBox
from fakes.conversation import FakeConversation
from fakes.model import ToldModel, call, calls, say
from fakes.records import lines_from, rows_of, run_started
from policies.policy import Policy
from sandbox.container.mounts import HeldVolume, Overlay, Scratch
from sandbox.container.opening import ContainerState

MOUNTS = (
    Scratch(target="/tmp", size_bytes=1),
    HeldVolume(volume="v", target="/x", copies=True),
    Overlay(target="/w", lower="/l", upper="/u", work="/k", user_attributes=False),
)

Row = dict[str, object]

THINKING = Opaque(provider="anthropic", raw={"type": "thinking", "signature": "q+/=", "n": 1.5})
REPLIES = (
    Reply(
        message=AssistantMessage(
            blocks=(
                THINKING,
                Text(text="I look \u2028 around \ud800"),
                ToolUse(id="a", name="bash", arguments={"command": "echo one >> log"}),
                ToolUse(id="b", name="bash", arguments={"command": "echo two >> log; exit 3"}),
                ToolUse(id="c", name="nothing", arguments={"deep": [{"type": "text"}, None, 1e3]}),
            )
        ),
        stop=StopReason.TOOL_USE,
        usage=Usage(input_tokens=100, output_tokens=7),
    ),
    say("cut of", StopReason.MAX_TOKENS),
    calls(("bash", {"command": "echo torn >> log"}), stop=StopReason.MAX_TOKENS),
    call("bash", command="echo three >> log"),
    say("", StopReason.END_TURN),
    say("Done."),
)
CALLS = 3
"""Of them, those that run a command."""


def recorded(log: list[Event]) -> list[Row]:
    """As they stand in a record, after its beginning, read back."""
    ready = SandboxReady(
        container="c",
        container_state=ContainerState(
            container="c",
            prepared_key="k",
            snapshot_key="s",
            since_ns=1,
            mounts=MOUNTS,
            volumes=("v",),
        ),
        seal=SEAL,
        kernel_enforced=True,
        left_behind=(),
        seconds=0.1,
    )
    return rows_of([run_started(), ready, *log])


def past_of(rows: list[Row]) -> ResumeState:
    return resume_state_of(lines_from(rows))


@pytest.fixture
def whole(policy: Policy) -> Iterator[tuple[list[Row], ToldModel]]:
    """The rows of a conversation that went through, and its model."""
    box = TmpBox()
    conversation = FakeConversation(box=box, policy=policy)
    model = ToldModel(*REPLIES)
    ended = conversation.on(model)
    assert isinstance(ended, Finished)
    yield recorded([*conversation.log, ConversationEnded(outcome=ended)]), model
    box.close()


def go_on(past: ResumeState, policy: Policy, *replies: Reply) -> tuple[ToldModel, TmpBox, object]:
    box = TmpBox()
    model = ToldModel(*replies)
    conversation = FakeConversation(
        box=box, policy=policy, approve=lambda *_: pytest.fail("nobody is asked"), past=past
    )
    ended = conversation.made(model).go_on("mend it", same_container=True)
    box.close()
    return model, box, ended


def commands(rows: list[Row]) -> list[str]:
    """Those that were started."""
    return [
        str(row["arguments"]["command"])  # type: ignore[index]
        for row in rows
        if row["event"] == "call_started"
    ]


def check_answered(messages: tuple[Message, ...]) -> None:
    """What providers insist on: turns alternate, and every call has its result in the next one."""
    for message, tracker in itertools.pairwise(messages):
        assert type(message) is not type(tracker)
        if isinstance(message, AssistantMessage):
            wanted = [block.id for block in message.blocks if isinstance(block, ToolUse)]
            given = [b.tool_use_id for b in tracker.blocks if isinstance(b, ToolResult)]
            assert given == wanted


def test_cut_off_after_any_line_nothing_is_done_twice_and_nothing_is_unanswered(
    whole: tuple[list[Row], ToldModel], policy: Policy
) -> None:
    rows, _ = whole
    assert len(commands(rows)) == CALLS
    for cut in range(2, len(rows)):
        past = past_of(rows[:cut])
        if past.ended is not None:
            continue
        replied = sum(row["event"] == "model_replied" for row in rows[:cut])
        model, box, ended = go_on(past, policy, *REPLIES[replied:])
        assert isinstance(ended, Finished), (cut, ended)
        before = commands(rows[:cut])
        after = [line.removeprefix("run ") for line in box.calls if line.startswith("run ")]
        assert not set(before) & set(after), f"cut before line {cut}: done twice"
        unknown = past.conversation.running is not None
        if not unknown:
            assert sorted(before + after) == sorted(commands(rows)), f"cut before line {cut}"
        for request in model.requests:
            check_answered(request.messages)


def test_a_call_without_an_end_is_answered_with_what_is_known_of_it(
    whole: tuple[list[Row], ToldModel], policy: Policy
) -> None:
    rows, _ = whole
    first = next(n for n, row in enumerate(rows) if row["event"] == "call_started")
    model, box, _ = go_on(past_of(rows[: first + 1]), policy, *REPLIES[1:])
    results = [b for b in model.requests[0].messages[2].blocks if isinstance(b, ToolResult)]
    assert results[0].text == IN_DOUBT
    assert all(result.is_error for result in results)
    assert "run echo one >> log" not in box.calls
    assert "run echo two >> log; exit 3" not in box.calls, "it may rest on the one before"


def test_what_the_model_said_goes_back_to_it_to_the_letter(
    whole: tuple[list[Row], ToldModel], policy: Policy
) -> None:
    rows, told = whole
    asked = [n for n, row in enumerate(rows) if row["event"] == "model_called"]
    for turn, line in enumerate(asked[1:], start=1):
        past = past_of(rows[: line + 1])
        wanted = told.requests[turn].messages
        assert past.conversation.history[1] == AssistantMessage(
            # A lone surrogate has no UTF-8 form, so no provider takes it either.
            blocks=(THINKING, Text(text="I look \u2028 around ?"), *wanted[1].blocks[2:])
        )
        assert past.conversation.history[2:] == wanted[2:]
        assert past.conversation.turn is None
    assert past_of(rows[: asked[1]]).lossy.exact_thinking


def test_the_container_is_the_one_that_was_written_down(
    whole: tuple[list[Row], ToldModel],
) -> None:
    rows, _ = whole
    ready = past_of(rows).state.ready
    assert ready is not None
    assert (ready.container_state.mounts, ready.container_state.volumes) == (MOUNTS, ("v",))


def test_what_was_spent_before_counts_on(whole: tuple[list[Row], ToldModel]) -> None:
    rows, _ = whole
    spent = past_of(rows).state.spent
    assert (spent.turns, spent.used.input_tokens, spent.used.output_tokens) == (6, 100, 7)


def test_the_same_failing_call_ends_the_run_across_a_resume(policy: Policy) -> None:
    box = TmpBox()
    conversation = FakeConversation(box=box, policy=policy)
    fail = call("bash", command="exit 1")
    with pytest.raises(KeyError):
        conversation.on(ToldModel(*[fail] * 4, KeyError("killed here")))
    box.close()
    _, _, ended = go_on(past_of(recorded(conversation.log)), policy, fail, fail)
    assert isinstance(ended, GaveUp)


def test_thinking_that_was_redacted_is_not_sent_back_as_if_it_were_whole(
    whole: tuple[list[Row], ToldModel],
) -> None:
    rows, _ = whole
    text = json.dumps(rows).replace("q+/=", "[redacted]")
    assert not past_of(json.loads(text)).lossy.exact_thinking


def test_a_call_whose_arguments_were_not_recorded_whole_is_not_made(policy: Policy) -> None:
    long = "x" * (STRING_LIMIT + 1)
    asked = calls(
        ("bash", {"command": "echo one >> log"}),
        ("write_file", {"path": "long", "content": long}),
        ("write_file", {"path": "key", "content": "sk-ant-" + "a1" * 20}),
    )
    conversation = FakeConversation(box=(box := TmpBox()), policy=policy)
    conversation.on(ToldModel(asked, say("x")))
    box.close()
    rows = json.loads(
        json.dumps(recorded(conversation.log)).replace("sk-ant-" + "a1" * 20, "[redacted]")
    )
    first = next(at for at, row in enumerate(rows) if row["event"] == "call_ended")
    model, box, _ = go_on(past_of(rows[: first + 1]), policy, say("Done."))
    assert box.calls == ["close"]
    results = [
        block for block in model.requests[0].messages[-1].blocks if "Make it again" in str(block)
    ]
    assert [type(block) for block in results] == [ToolResult, ToolResult]


@pytest.mark.parametrize(
    "arguments",
    [
        {"head": "a", "characters": 3, "sha256": "x"},
        {"head": "a", "characters": 3, "sha256": "x", "command": "true"},
        {"command": {"head": "a", "characters": 3, "sha256": "x"}},
        {"x": {"type": "opaque", "provider": "p", "raw": "[redacted]"}},
        {"type": "text", "text": "[redacted]"},
    ],
)
def test_what_a_call_says_is_never_read_as_what_we_wrote(
    policy: Policy, arguments: dict[str, object]
) -> None:
    """The model, or who speaks through it, forges the marks of cut text and of thinking."""
    conversation = FakeConversation(box=(box := TmpBox()), policy=policy)
    with pytest.raises(KeyError):
        conversation.on(ToldModel(calls(("bash", arguments)), KeyError("killed here")))
    box.close()
    past = past_of(recorded(conversation.log))
    assert past.lossy.exact_thinking
    assert all(
        isinstance(block.arguments, dict)
        for message in past.conversation.history
        for block in message.blocks
        if isinstance(block, ToolUse)
    )
    _, _, ended = go_on(past, policy, say("Done."))
    assert isinstance(ended, Finished)


def test_a_line_of_another_shape_is_a_clear_error(whole: tuple[list[Row], ToldModel]) -> None:
    rows, _ = whole
    (first, *_) = [row for row in rows if row["event"] == "call_ended"]
    del first["text"]
    with pytest.raises(RecordError, match="call_ended has no `text`"):
        past_of(rows)


def test_a_last_line_that_was_torn_is_cut_off_and_the_chain_goes_on(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path, run_id="r")
    record.append(Notice(text="one").json_object())
    whole = (record.directory / "events.jsonl").read_bytes()
    record.append(Notice(text="two").json_object())
    record.close()
    both = (record.directory / "events.jsonl").read_bytes()
    for torn in range(len(whole), len(both)):
        (record.directory / "events.jsonl").write_bytes(both[:torn])
        again, read = reopen(tmp_path, "r")
        again.append(Notice(text="three").json_object())
        again.close()
        assert (len(read.lines), read.torn_bytes) == (1, torn - len(whole))
        read = reopened(tmp_path)
        told = [line.event for line in read.lines]
        assert (told, read.torn_bytes) == ([Notice(text="one"), Notice(text="three")], 0)


def reopened(home: Path) -> ReadRecord:
    record, read = reopen(home, "r")
    record.close()
    return read


@pytest.mark.parametrize(
    ("old", "new"), [(b'"one"', b'"0ne"'), (b'"seq": 1', b'"seq": 2'), (b"\n{", b"\n[{")]
)
def test_a_line_that_somebody_changed_is_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    record = RunRecord.create(tmp_path, run_id="r")
    for kind in ("one", "two", "three"):
        record.append(Notice(text=kind).json_object())
    record.close()
    file = record.directory / "events.jsonl"
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    with pytest.raises(RecordError, match="changed since"):
        reopen(tmp_path, "r")


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path, run_id="r")
    with pytest.raises(Exception, match="still being worked on"):
        reopen(tmp_path, "r")
    record.close()
    reopened(tmp_path)
