"""A service may say anything of what it used: nothing of it breaks the count, or the record."""

import json
from contextlib import suppress

import pytest

from agent.models.anthropic.stream import AnthropicReplyStream
from agent.models.interface import Usage
from agent.models.retrying import TransientError
from agent.record.events.recorded import plain

LIES = [-1, -(10**18), "12", "many", None, [], {}, 1.5, float("nan"), float("inf"), True]


def used(usage: object, last: object | None = None) -> Usage:
    stream = AnthropicReplyStream()
    stream.feed({"type": "message_start", "message": {"usage": {"input_tokens": 7}}})
    stream.feed({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    if last is not None:
        stream.feed({"type": "message_delta", "delta": {}, "usage": last})
    stream.feed({"type": "message_stop"})
    return stream.reply(attempts=1, request_id="").usage


@pytest.mark.parametrize("lie", LIES)
def test_a_reply_of_which_nothing_was_counted_is_one_that_nobody_counted(lie: object) -> None:
    usage = {"input_tokens": lie, "output_tokens": lie}
    stream = AnthropicReplyStream()
    stream.feed({"type": "message_start", "message": {"usage": usage}})
    stream.feed({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    stream.feed({"type": "message_stop"})
    assert stream.reply(attempts=1, request_id="").usage == Usage(uncounted_replies=1)


@pytest.mark.parametrize("lie", [[1, 2], "many", 7, {"server_tool_use": {}}])
def test_a_stream_that_broke_before_anything_was_counted_is_not_free(lie: object) -> None:
    stream = AnthropicReplyStream()
    with suppress(TransientError):
        stream.feed({"type": "message_start", "message": {"usage": lie}})
    assert stream.usage == Usage(uncounted_replies=1)


@pytest.mark.parametrize("lie", LIES)
def test_what_can_be_no_count_leaves_the_count_that_was(lie: object) -> None:
    assert used({"input_tokens": lie, "output_tokens": lie}) == Usage(input_tokens=7)
    assert used({"cache_read_input_tokens": lie}) == Usage(input_tokens=7)


def test_a_count_beyond_all_reason_is_bounded_and_can_be_written_down() -> None:
    usage = used({"output_tokens": 10**18, "input_tokens": 10**5000})
    assert usage.output_tokens == usage.input_tokens == 10**9
    assert json.dumps(plain(usage))


@pytest.mark.parametrize("lie", [*LIES, [1, "x", None], [{"type": "compaction"}] * 3])
def test_iterations_that_are_none_add_nothing(lie: object) -> None:
    assert used({"iterations": lie, "output_tokens": 3}) == Usage(input_tokens=7, output_tokens=3)


def test_a_summary_is_counted_beside_the_reply_and_once() -> None:
    iterations = [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
        {"type": "message", "input_tokens": 7, "output_tokens": 3},
    ]
    usage = {"output_tokens": 3, "iterations": iterations}
    assert used(usage, usage) == Usage(input_tokens=107, output_tokens=23)
