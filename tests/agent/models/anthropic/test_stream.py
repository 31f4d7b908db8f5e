"""Events that do not fit together never become a reply."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.models.anthropic.stream import AnthropicReplyStream
from agent.models.interface import Reply, StopReason, Text, ToolUse, Usage
from agent.models.retrying import TransientError

Event = dict[str, Any]

START: Event = {"type": "message_start", "message": {"usage": {"input_tokens": 5}}}
TEXT: Event = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "text", "text": ""},
}
WORDS: Event = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "Hi."},
}
CALL: Event = {
    "type": "content_block_start",
    "index": 1,
    "content_block": {"type": "tool_use", "id": "t1", "name": "bash", "input": {}},
}
ARGUMENTS: Event = {
    "type": "content_block_delta",
    "index": 1,
    "delta": {"type": "input_json_delta", "partial_json": '{"command": "ls"}'},
}
WHY: Event = {
    "type": "message_delta",
    "delta": {"stop_reason": "tool_use"},
    "usage": {"output_tokens": 7, "input_tokens": None},
}
STOP: Event = {"type": "message_stop"}


def end(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}


WHOLE = [START, TEXT, WORDS, end(0), CALL, ARGUMENTS, end(1), WHY, STOP]


def read(*events: Event) -> Reply:
    stream = AnthropicReplyStream()
    for event in events:
        stream.feed(event)
    return stream.reply(attempts=1, request_id="r")


def test_the_whole_is_a_reply() -> None:
    reply = read(*WHOLE)
    assert reply.message.blocks == (
        Text(text="Hi."),
        ToolUse(id="t1", name="bash", arguments={"command": "ls"}),
    )
    assert reply.stop is StopReason.TOOL_USE
    assert reply.usage == Usage(input_tokens=5, output_tokens=7)


@pytest.mark.parametrize("missing", [0, 1, 3, 4, 6, 7, 8])
def test_without_any_one_frame_it_is_none(missing: int) -> None:
    with pytest.raises(TransientError):
        read(*WHOLE[:missing], *WHOLE[missing + 1 :])


@pytest.mark.parametrize(
    "events",
    [
        [START, *WHOLE],
        [START, TEXT, TEXT],
        [START, WORDS],
        [START, TEXT, end(0), WORDS],
        [START, end(0)],
        [START, {"type": "message_delta"}],
        [START, {"type": "content_block_start", "index": 0}],
        [START, {"type": "content_block_start", "index": 0, "content_block": {}}],
        [START, {"type": "content_block_start", "index": 0, "content_block": "text"}],
        [START, TEXT, {"type": "content_block_delta", "index": 0, "delta": {}}],
        [START, TEXT, {"type": "content_block_delta", "index": -1, "delta": WORDS["delta"]}],
        [START, TEXT, {"type": "content_block_delta", "index": "0", "delta": WORDS["delta"]}],
        [{"type": "message_start"}],
        [{"no": "type"}],
        [START, WHY | {"usage": 5}],
    ],
)
def test_events_that_do_not_fit_are_a_broken_stream(events: list[Event]) -> None:
    with pytest.raises(TransientError, match="the stream broke"):
        read(*events)


@pytest.mark.parametrize("block", [{}, {"id": ""}, {"id": 5}, {"name": None}])
def test_a_call_without_id_or_name_is_a_broken_stream(block: dict[str, object]) -> None:
    whole = {"type": "tool_use", "id": "t", "name": "n", "input": {}} | (block or {"id": None})
    start = {"type": "content_block_start", "index": 0, "content_block": whole}
    with pytest.raises(TransientError):
        read(START, start, end(0), WHY, STOP)


def test_arguments_may_come_whole_in_the_first_event() -> None:
    block = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    (call,) = read(START, start, end(0), WHY, STOP).message.blocks
    assert isinstance(call, ToolUse)
    assert call.arguments == {"a": 1}


def test_arguments_that_come_whole_and_are_no_object_carry_a_problem() -> None:
    block = {"type": "tool_use", "id": "t", "name": "n", "input": [1]}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    (call,) = read(START, start, end(0), WHY, STOP).message.blocks
    assert isinstance(call, ToolUse)
    assert call.problem == "the arguments are not a JSON object"


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), [[]]])
@pytest.mark.parametrize("kind", ["text", "tool_use", "hologram"])
def test_what_no_request_could_carry_back_is_a_broken_stream(kind: str, value: Any) -> None:
    """The SDK makes null of what is no number, and the reader does not rest on that."""
    for _ in range(101 if value == [[]] else 0):
        value = [value]
    block = {"type": kind, "id": "t", "name": "n", "text": "Hi.", "input": {}, "beside": value}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    with pytest.raises(TransientError, match="a part of the answer"):
        read(START, start, end(0), WHY, STOP)


def test_what_comes_after_the_end_changes_nothing() -> None:
    assert read(*WHOLE, *WHOLE, {"type": "message_delta"}) == read(*WHOLE)


@given(st.lists(st.sampled_from(range(len(WHOLE))), max_size=14))
def test_no_order_of_the_events_makes_another_call(order: list[int]) -> None:
    try:
        reply = read(*(WHOLE[index] for index in order))
    except TransientError:
        return
    for block in reply.message.blocks:
        if isinstance(block, ToolUse):
            assert (block.problem is not None) or block.arguments in ({"command": "ls"}, {})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
kinds = st.sampled_from([event["type"] for event in WHOLE])
keys = st.sampled_from(["type", "index", "delta", "content_block", "message", "usage"])


@given(st.lists(st.dictionaries(keys, json | kinds, max_size=5), max_size=4))
def test_no_event_at_all_is_a_traceback(events: list[Event]) -> None:
    with pytest.raises((TransientError, ModelError)):
        read(START, TEXT, *events)
