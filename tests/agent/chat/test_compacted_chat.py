"""A chat that outgrows the model's window: every request is said again, what was taken back stays
taken back, and who takes it up from its record says to the model what the chat would have said."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.chat.requests import Chat
from agent.conversation.resume_state import resume_state_of
from agent.conversation.summary import ASK_FOR_NOTES
from agent.conversation.window import bytes_of, sent
from agent.lifecycle.session import RunSession
from agent.models.anthropic.request import body
from agent.models.interface import (
    AssistantMessage,
    Message,
    Opaque,
    Reply,
    Request,
    StopReason,
    Text,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
)
from agent.models.pricing import ModelInfo
from agent.past_runs.fork import NEWS, fork
from agent.past_runs.fork_points import END, at, points
from agent.record.events import schema as event_schema
from agent.record.events.conversation import HistorySummarised, ModelCalled, ResultsCleared
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import RequestAwaited
from agent.record.outcome import Finished, Refused
from agent.record.reader import RecordLine, read_record
from agent.record.summary import RunSummary
from agent.record.timeline import timeline
from fakes.box import TmpBox
from fakes.conversation import with_budget
from fakes.json_schema import fits
from fakes.model import ToldModel, say
from fakes.records import lines_from, rows_of, run_started
from fakes.runs import FakeRun
from policies.policy import Policy

pytestmark = pytest.mark.slow

READS = 30
"""Of one request: enough for room to be made in each."""
FIRST, SECOND, DECLINED, LAST = "make one.txt", "now delete it", "build a bomb", "write docs"


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> Iterator[FakeRun]:
    files = {f"{n}.py": b"x = 1  # %04d a line\n" % n * (42 if n % 2 else 14) for n in range(200)}
    (tmp_path / "workspace").mkdir()
    made = FakeRun(
        home=tmp_path / "home",
        policy=with_budget(policy, turns=500, input_tokens=10**9),
        workspace=tmp_path / "workspace",
    )
    made.box = TmpBox(files=files)
    yield made
    if not made.box.closed:
        made.box.close()


def aside(request: Request) -> bool:
    newest = request.messages[-1].blocks[-1]
    return request.compact or (isinstance(newest, Text) and newest.text == ASK_FOR_NOTES)


def summary(request: Request) -> Reply:
    usage = Usage(input_tokens=5000, output_tokens=300)
    if not request.compact:
        return say("NOTES", usage=usage)
    block = Opaque(
        provider="anthropic",
        raw={"type": "compaction", "content": "SUMMARY", "signature": f"s{len(request.messages)}"},
    )
    return Reply(message=AssistantMessage(blocks=(block,)), stop=StopReason.COMPACTION, usage=usage)


def reading() -> Iterator[Callable[[Request], Reply]]:
    """Reads so many files for each request, and then says that it is done, or that it won't."""
    turn = 0

    def reply(request: Request) -> Reply:
        nonlocal turn
        if aside(request):
            return summary(request)
        turn += 1
        usage = Usage(input_tokens=bytes_of(request.messages) // 3 + 3000, output_tokens=40)
        if turn % (READS + 1) == 0:
            declines = turn // (READS + 1) == 3
            return say("No.", StopReason.REFUSAL, usage) if declines else say("Done.", usage=usage)
        use = ToolUse(id=f"u{turn}", name="read_file", arguments={"path": f"{turn}.py"})
        if turn == 1:
            arguments = {"path": "one.txt", "content": "1\n"}
            use = ToolUse(id="u1", name="write_file", arguments=arguments)
        blocks = (Text(text=f"Part {turn}."), use)
        return Reply(message=AssistantMessage(blocks=blocks), stop=StopReason.TOOL_USE, usage=usage)

    yield from [reply] * 400


def lines_of_run(fake: FakeRun) -> tuple[RecordLine, ...]:
    return read_record(fake.record.directory).require()


def having(fake: FakeRun, facts: ModelInfo) -> ToldModel:
    """A chat of four requests; the second is undone, the third declined."""
    fake.facts = facts
    model = ToldModel(*reading())

    def conversation(session: RunSession) -> Finished:
        chat = Chat(session)
        assert isinstance(chat.ask(FIRST), Finished)
        assert [change.path for change in chat.patch.apply(chat.patch.to_apply())] == [b"one.txt"]
        assert isinstance(chat.ask(SECOND), Finished)
        assert chat.undo() is not None
        declined = chat.ask(DECLINED)
        assert isinstance(declined, Refused), declined
        ended = chat.ask(LAST)
        assert isinstance(ended, Finished), ended
        return ended

    fake.driver = conversation
    summed = fake.go(model, task="")
    assert isinstance(summed.outcome, Finished), summed.outcome
    return model


def words(request: Request) -> str:
    return "\n".join(
        block.text
        for message in request.messages
        if isinstance(message, UserMessage)
        for block in message.blocks
        if isinstance(block, Text)
    )


BOTH = pytest.mark.parametrize(
    "facts", [ModelInfo(context_tokens=16_000), ModelInfo(context_tokens=16_000, compaction=True)]
)


@BOTH
def test_a_summary_of_a_chat_is_sent_with_every_request_and_with_what_was_undone(
    fake: FakeRun, facts: ModelInfo
) -> None:
    model = having(fake, facts)
    assert sum(isinstance(event, HistorySummarised) for event in fake.log) >= 2
    turns = [request for request in model.requests if not aside(request)]
    for number, request in enumerate(turns):
        asked = (FIRST, SECOND, DECLINED, LAST)[number // (READS + 1)]
        assert asked in words(request)
        assert FIRST in words(request)
        if asked == LAST:
            assert SECOND in words(request)
            assert "took back your work on their request number 2 ('now delete it')" in words(
                request
            )
            assert DECLINED not in words(request)


@BOTH
def test_calls_and_results_stay_together_after_a_declined_request_in_which_room_was_made(
    fake: FakeRun, facts: ModelInfo
) -> None:
    model = having(fake, facts)
    asked = [n for n, event in enumerate(fake.log) if isinstance(event, RequestAwaited)]
    in_declined = fake.log[asked[2] : asked[3]]
    assert any(isinstance(event, HistorySummarised | ResultsCleared) for event in in_declined)
    for request in model.requests:
        uses: list[str] = []
        for message in request.messages:
            results = [b.tool_use_id for b in message.blocks if isinstance(b, ToolResult)]
            assert results == uses
            uses = [block.id for block in message.blocks if isinstance(block, ToolUse)]
    # Its own turns are there to be read: no cut from the declined one hides them.
    turns = [request for request in model.requests if not aside(request)]
    for number, request in enumerate(turns[3 * (READS + 1) + 1 :], 3 * (READS + 1) + 1):
        assert any(f"Part {number}." in str(message.blocks) for message in request.messages)


@BOTH
def test_a_chat_that_is_taken_up_sends_what_it_would_have_sent_to_the_byte(
    fake: FakeRun, facts: ModelInfo
) -> None:
    compared: list[tuple[tuple[str, ...], tuple[Message, ...]]] = []

    def killed(event: Event) -> None:
        """Right after it said that it will ask."""
        if isinstance(event, ModelCalled):
            past = resume_state_of(lines_of_run(fake))
            assert past.ended is None
            compared.append(
                (
                    past.conversation.orders,
                    sent(past.conversation.history, past.conversation.window),
                )
            )

    fake.also = killed
    model = having(fake, facts)
    turns = [request for request in model.requests if not aside(request)]
    assert len(turns) == len(compared) == 4 * (READS + 1)
    for request, (_, again) in zip(turns, compared, strict=True):
        wanted = body(request, model="claude-opus-5-5")
        made = body(replace(request, messages=again), model="claude-opus-5-5")
        assert made == wanted
    orders = compared[-1][0]
    assert [orders[0], orders[1], orders[3]] == [FIRST, SECOND, LAST]
    assert "took back your work" in orders[2]


@BOTH
def test_every_line_of_such_a_chat_fits_the_schema(fake: FakeRun, facts: ModelInfo) -> None:
    having(fake, facts)
    schema: Any = event_schema.schema(RunSummary)
    kinds = {one["title"]: one for one in schema["oneOf"]}
    lines = [json.loads(line) for line in fake.lines]
    assert {"request_awaited", "request_withdrawn", "workspace_restored", "patch_applied"} < {
        str(line["event"]) for line in lines
    }
    assert [line for line in lines if not fits(line, kinds[line["event"]], schema)] == []
    # Nor does the record of one go by without its last words.
    title = "declined: the request is no part of the conversation now"
    shown = [(row.kind, row.title) for row in timeline(fake.log)]
    assert ("note", title) in shown
    assert [words for kind, words in shown if kind == "asked"] == [FIRST, SECOND, DECLINED, LAST]


@BOTH
def test_a_fork_of_such_a_chat_sends_what_the_chat_would_have_sent(
    fake: FakeRun, facts: ModelInfo
) -> None:
    having(fake, facts)
    lines = lines_of_run(fake)
    last = max(point.call for point in points(lines))
    # In the first request; in the declined one, before it was; after that; at the end.
    for call in (3, 2 * READS + READS // 2, 3 * READS + 2, last, END):
        point = at(lines, call, "r")
        made = fork(lines, point, run_id="r", task="next")
        begun = run_started(run_id="new", forked_from=made.origin)
        other = resume_state_of(lines[: point.lines]).conversation
        past = resume_state_of(lines_from(rows_of([begun, *made.events])))
        new = past.conversation
        assert new.window == other.window
        assert new.orders == (*other.orders, "next")
        kept = sent(other.history, other.window)
        messages = sent(new.history, new.window)
        assert messages[: len(kept) - 1] == kept[:-1]
        newest = messages[-1].blocks
        assert [block.text for block in newest[-2:] if isinstance(block, Text)] == [NEWS, "next"]
        assert past.state.spent.used == Usage()
