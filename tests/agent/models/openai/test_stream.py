"""Chunks become one reply however they are cut, and chunks that do not fit never become one."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.models.interface import (
    Delta,
    Discarded,
    Opaque,
    Reply,
    StopReason,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolUse,
    Usage,
)
from agent.models.openai.stream import OpenAIReplyStream
from agent.models.retrying import TransientError

Chunk = dict[str, Any]


def chunk(delta: Chunk | None = None, reason: str | None = None, **more: Any) -> Chunk:
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": reason}], **more}


def call(arguments: object = None, **fields: Any) -> Chunk:
    function = {"name": fields.pop("name", None), "arguments": arguments}
    return chunk({"tool_calls": [{"function": function, **fields}]})


def counted(prompt: int = 9, output: int = 3, **details: int) -> Chunk:
    usage = {"prompt_tokens": prompt, "completion_tokens": output}
    return {"choices": [], "usage": {**usage, "prompt_tokens_details": details}}


STOP = chunk(reason="stop")
WHOLE = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hi."}),
    call("", index=0, id="c1", name="bash"),
    call('{"command": "ls"}', index=0),
    chunk(reason="tool_calls"),
    counted(cached_tokens=4),
]


def read(*chunks: Any) -> Reply:
    return heard(*chunks)[0]


def heard(*chunks: Any) -> tuple[Reply, list[Delta]]:
    stream = OpenAIReplyStream(token="abc123")
    events = [event for one in chunks for event in stream.feed(one)]
    return stream.reply(attempts=1, request_id="r"), events


def calls(reply: Reply) -> list[ToolUse]:
    return [block for block in reply.message.blocks if isinstance(block, ToolUse)]


def test_the_whole_is_a_reply() -> None:
    reply = read(*WHOLE)
    assert reply.message.blocks == (
        Text(text="Hi."),
        ToolUse(id="c1", name="bash", arguments={"command": "ls"}),
    )
    assert reply.stop is StopReason.TOOL_USE
    assert reply.usage == Usage(input_tokens=5, output_tokens=3, cache_read_tokens=4)


@pytest.mark.parametrize("length", range(len(WHOLE) - 1))
def test_without_a_reason_to_stop_it_is_none(length: int) -> None:
    with pytest.raises(TransientError, match="its end is missing"):
        read(*WHOLE[:length])


def test_what_comes_after_the_reason_takes_it_back() -> None:
    for more in (chunk({"content": "x"}), call("{}", index=1, name="rm"), chunk({"refusal": "n"})):
        with pytest.raises(TransientError, match="its end is missing"):
            read(*WHOLE, more)
        assert read(*WHOLE, more, STOP).stop in {StopReason.TOOL_USE, StopReason.REFUSAL}


def test_empty_deltas_after_the_reason_change_nothing() -> None:
    idle = chunk({"role": "assistant", "content": "", "tool_calls": []})
    assert read(*WHOLE, idle, chunk(None), {"choices": []}, {}) == read(*WHOLE)


# -- any split ----------------------------------------------------------------------------------

whole_characters = st.characters(exclude_categories=["Cs"])
texts = st.text(alphabet=whole_characters | st.sampled_from("😀𝄞\u2028"), max_size=12)


@st.composite
def splits(draw: st.DrawFn, whole: Sequence[int]) -> list[list[int]]:
    cuts = draw(st.sets(st.integers(0, len(whole))))
    places = [0, *sorted(cuts), len(whole)]
    return [list(whole[a:b]) for a, b in pairwise(places)]


def utf16(text: str) -> list[int]:
    data = text.encode("utf-16-le", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]


@given(st.data(), texts, texts, st.dictionaries(texts, texts, max_size=3))
def test_any_split_of_the_chunks_gives_the_same_reply(
    data: st.DataObject, said: str, thought: str, arguments: dict[str, str]
) -> None:
    # In halves of characters: services that count in UTF-16 cut there.
    def pieces(text: str) -> list[str]:
        return ["".join(map(chr, part)) for part in data.draw(splits(utf16(text)))]

    written = json.dumps(arguments, ensure_ascii=False)
    chunks = [chunk({"reasoning_content": piece}) for piece in pieces(thought)]
    chunks += [chunk({"content": piece}) for piece in pieces(said)]
    chunks += [call("", index=0, id="c1", name="bash")]
    chunks += [call(piece, index=0) for piece in pieces(written)]
    reply, events = heard(*chunks, STOP)
    whole = [
        chunk({"reasoning_content": thought}),
        chunk({"content": said}),
        call(written, index=0, id="c1", name="bash"),
        STOP,
    ]
    assert reply == read(*whole)
    assert calls(reply)[0].arguments == arguments
    shown = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(shown) == said
    for text in shown:
        text.encode()


def test_half_a_character_at_the_end_is_no_crash() -> None:
    reply, events = heard(chunk({"content": "a\ud83d"}), chunk({"content": "b"}), STOP)
    assert reply.message.blocks == (Text(text="a\ufffdb"),)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "\ufffdb"]


# -- calls, as services tell them apart ---------------------------------------------------------

LS, RM = '{"command": "ls"}', '{"command": "rm"}'


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [
                call(LS[:5], index=0, id="a", name="bash"),
                call(RM[:7], index=1, id="b", name="bash"),
                call(LS[5:], index=0),
                call(RM[7:], index=1),
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                call(LS[:5], index=0, id="a", name="bash"),
                call(LS[5:], index=0),
                call(RM[:7], index=0, id="b", name="bash"),
                call(RM[7:], index=0),
            ],
            id="index always 0",
        ),
        pytest.param(
            [
                call(LS[:5], id="a", name="bash"),
                call(LS[5:]),
                call(RM[:7], id="b", name="bash"),
                call(RM[7:]),
            ],
            id="no index",
        ),
        pytest.param(
            [
                call(LS[:5], id="a", name="bash"),
                call(RM[:7], id="b", name="bash"),
                call(LS[5:], id="a"),
                call(RM[7:], id="b"),
            ],
            id="no index, by id",
        ),
        pytest.param([call(LS, name="bash"), call(RM, name="bash")], id="no index and no id"),
        pytest.param(
            [
                call(LS, index=0, name="bash"),
                call(RM[:7], index=0, name="bash"),
                call(RM[7:], index=0),
            ],
            id="one index and no id",
        ),
        pytest.param(
            [call(LS, index=1, id="", name="bash"), call(RM, index=2, id="", name="bash")],
            id="empty ids, from 1",
        ),
        pytest.param(
            [call(LS, index=10**9, id="x", name="bash"), call(RM, index=-7, id="x", name="bash")],
            id="one id, odd indexes",
        ),
        pytest.param(
            [call(LS, index="0", id="a", name="bash"), call(RM, index=[], id="b", name="bash")],
            id="indexes that are none",
        ),
        pytest.param(
            [
                call(LS[:5], index=0, id="a", name="bash"),
                call(LS[5:], index=0, id="a", name="bash"),
                call({"command": "rm"}, index=1, id="b", name="bash"),
            ],
            id="id and name in each, an object",
        ),
    ],
)
def test_two_calls_are_told_apart(deltas: list[Chunk]) -> None:
    made = calls(read(*deltas, STOP))
    assert [use.arguments for use in made] == [{"command": "ls"}, {"command": "rm"}]
    assert [use.problem for use in made] == [None, None]
    assert len({use.id for use in made}) == 2
    assert all(use.id for use in made)


def test_what_cannot_be_told_apart_carries_a_problem() -> None:
    same = [call(LS[:5], index=0, name="bash"), call(RM, index=0, name="bash")]
    (use,) = calls(read(*same, STOP))
    assert "not valid JSON" in (use.problem or "")


def test_an_id_of_our_own_is_one_that_every_service_takes() -> None:
    (use,) = calls(read(call(LS, name="bash"), STOP))
    assert use.id == "abc123000"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    empty: tuple[object, ...] = ("", None, "  ", {})
    for nothing in empty:
        (use,) = calls(read(call(nothing, index=0, id="a", name="plan"), STOP))
        assert (use.arguments, use.problem) == ({}, None)


@pytest.mark.parametrize("given_", [[1], 5, True])
def test_arguments_that_are_no_text_and_no_object_carry_a_problem(given_: object) -> None:
    (use,) = calls(read(call(given_, index=0, id="a", name="plan"), STOP))
    assert use.problem == "the arguments are not a JSON object"


@pytest.mark.parametrize("name", [None, "", 5, {}])
def test_a_call_without_a_name_is_a_broken_stream(name: object) -> None:
    with pytest.raises(TransientError, match="no name"):
        read(call(LS, index=0, id="a", name=name), STOP)


def test_more_calls_than_any_model_makes_end_it() -> None:
    many = [{"function": {"name": "bash", "arguments": "{}"}, "index": n} for n in range(1001)]
    with pytest.raises(ModelError, match="more than 1000 tool calls"):
        read(chunk({"tool_calls": many}), STOP)


def test_a_signature_beside_a_call_is_kept_for_its_service() -> None:
    extra = {"google": {"thought_signature": "c2ln"}}
    (use,) = calls(read(call(LS, index=0, id="a", name="bash", extra_content=extra), STOP))
    assert use.extra == {"extra_content": extra}


# -- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("stop", StopReason.END_TURN),
        ("STOP", StopReason.END_TURN),
        ("length", StopReason.MAX_TOKENS),
        ("content_filter", StopReason.REFUSAL),
        ("tool_calls", StopReason.TOOL_USE),
        ("model_length", StopReason.CONTEXT_WINDOW),
    ],
)
def test_reasons_to_stop(reason: str, stop: StopReason) -> None:
    assert read(chunk({"content": "So far."}, reason)).stop is stop


@pytest.mark.parametrize(
    "reason",
    [
        *("error", "abort", "insufficient_system_resource", "network_error", "user_cancel"),
        *("malformed_function_call", "function_call_filter: malformed_function_call", "timeout"),
    ],
)
def test_a_service_that_broke_off_is_asked_again(reason: str) -> None:
    with pytest.raises(TransientError, match=reason):
        read(chunk({"content": "So far."}, reason))


@pytest.mark.parametrize("reason", ["COMPLETE", "coffee_break", {"a": 1}, 5])
def test_an_unknown_reason_is_read_by_what_came_with_it(reason: Any) -> None:
    assert read(chunk({"content": "So far."}, reason)).stop is StopReason.END_TURN
    called = read(call(LS, index=0, id="a", name="bash"), chunk(reason=reason))
    assert called.stop is StopReason.TOOL_USE


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("PROHIBITED_CONTENT", StopReason.REFUSAL),
        ("IMAGE_SAFETY", StopReason.REFUSAL),
        ("ERROR_TOXIC", StopReason.REFUSAL),
        ("max_output_tokens", StopReason.MAX_TOKENS),
        ("context_length_exceeded", StopReason.CONTEXT_WINDOW),
    ],
)
def test_a_reason_is_read_by_what_is_in_it(reason: str, stop: StopReason) -> None:
    assert read(chunk({"content": "So far."}, reason)).stop is stop


@pytest.mark.parametrize("reason", ["length", "content_filter", "model_length"])
def test_a_call_of_an_answer_that_was_cut_does_not_run(reason: str) -> None:
    reply = read(call(LS, index=0, id="a", name="bash"), chunk(reason=reason))
    assert calls(reply)[0].problem is not None
    assert reply.stop is not StopReason.TOOL_USE


def test_a_refusal_is_one_whatever_the_reason_and_runs_nothing() -> None:
    reply = read(call(LS, index=0, id="a", name="bash"), chunk({"refusal": "I won't."}), STOP)
    assert (reply.stop, reply.detail) == (StopReason.REFUSAL, "I won't.")
    assert calls(reply)[0].problem == "the reply ended in a refusal"
    assert Text(text="I won't.") in reply.message.blocks


def test_a_filter_that_says_nothing_is_named() -> None:
    assert "content filter" in read(chunk(reason="content_filter")).detail


def test_an_empty_answer_has_no_blocks() -> None:
    assert read(chunk({"content": " \n"}), STOP).message.blocks == ()


def test_thinking_under_either_name_is_shown_once_and_kept() -> None:
    both = {"reasoning": "Hm.", "reasoning_content": "Hm."}
    reply, events = heard(chunk(both), chunk({"content": "Yes."}), STOP)
    assert [e.text for e in events if isinstance(e, ThinkingDelta)] == ["Hm."]
    kept = Opaque(provider="openai", raw={"reasoning_content": "Hm."})
    assert reply.message.blocks == (kept, Text(text="Yes."))


def test_another_choice_than_the_one_asked_for_is_passed_over() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "No."}, "finish_reason": "length"}]}
    assert read(*WHOLE[:4], other, *WHOLE[4:]) == read(*WHOLE)


# -- counts -------------------------------------------------------------------------------------


def test_a_stream_that_does_not_say_what_it_used_is_not_guessed_at() -> None:
    assert read(*WHOLE[:-1]).usage == Usage(uncounted_replies=1)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 10**12, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": "5", "completion_tokens": 1},
        [5],
        "5",
        5,
    ],
)
def test_a_count_that_is_none_is_not_one(usage: Any) -> None:
    assert read(STOP, {"choices": [], "usage": usage}).usage == Usage(uncounted_replies=1)


def test_the_last_of_running_counts_is_the_one() -> None:
    reply = read(counted(9, 1), STOP, counted(9, 7))
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (9, 7)


def test_cached_and_written_tokens_are_part_of_the_prompt() -> None:
    usage = read(STOP, counted(100, 1, cached_tokens=60, cache_write_tokens=30)).usage
    assert usage == Usage(
        input_tokens=10, output_tokens=1, cache_read_tokens=60, cache_write_tokens=30
    )


def test_more_cached_than_sent_is_nothing_negative() -> None:
    usage = read(STOP, counted(10, 1, cached_tokens=50, cache_write_tokens=50)).usage
    assert usage == Usage(output_tokens=1, cache_read_tokens=10)


def test_deepseeks_name_for_cached_tokens_is_known() -> None:
    raw = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 6}
    assert read(STOP, {"usage": raw}).usage.cache_read_tokens == 6


def test_nothing_was_used_where_nothing_began() -> None:
    assert OpenAIReplyStream(token="t").usage == Usage()
    assert Discarded().usage == Usage()


# -- what is no stream --------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
fields = st.sampled_from(["index", "id", "function", "name", "arguments", "content", "tool_calls"])
deltas = st.dictionaries(fields, json_values | st.lists(st.dictionaries(fields, json_values)))


@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage"]), json_values), max_size=4))
def test_no_chunk_at_all_is_a_traceback(chunks: list[Chunk]) -> None:
    with pytest.raises((TransientError, ModelError)):
        read(*chunks)


@pytest.mark.slow
@given(st.lists(deltas, max_size=4))
def test_no_delta_at_all_is_a_traceback(given_: list[Chunk]) -> None:
    try:
        reply = read(*(chunk(delta) for delta in given_), STOP)
    except (TransientError, ModelError):
        return
    for use in calls(reply):
        json.dumps(use.arguments)


@given(st.lists(st.sampled_from(range(len(WHOLE))), max_size=12))
def test_no_order_of_the_chunks_makes_another_call(order: list[int]) -> None:
    try:
        reply = read(*(WHOLE[index] for index in order))
    except TransientError:
        return
    for use in calls(reply):
        assert (use.problem is not None) or use.arguments in ({"command": "ls"}, {})
