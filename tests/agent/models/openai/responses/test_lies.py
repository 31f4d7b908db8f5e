"""A service that lies in its stream: each lie is an error or set right, no torn call is whole."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from agent.errors import ModelError
from agent.models.interface import Opaque, Reply, StopReason, Text, ToolUse, Usage
from agent.models.openai.responses.stream import ResponsesReplyStream, failure_in
from agent.models.retrying import TransientError

Event = dict[str, Any]

CREATED: Event = {"type": "response.created", "response": {"status": "in_progress"}}
LS = '{"command": "ls"}'


def call(written: object = LS, **more: Any) -> Event:
    item = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "bash"}
    return {**item, "arguments": written, "status": "completed", **more}


def message(text: str = "Hi.", **more: Any) -> Event:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content, **more}


def added(item: Event, index: Any = 0) -> Event:
    begun = {**item, "status": "in_progress"}
    begun["arguments" if "arguments" in item else "content"] = ""
    return {"type": "response.output_item.added", "output_index": index, "item": begun}


def done(item: Event, index: Any = 0) -> Event:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def piece(text: object, index: Any = 0, item_id: str = "fc_1") -> Event:
    kind = "response.function_call_arguments.delta"
    return {"type": kind, "output_index": index, "item_id": item_id, "delta": text}


def whole(text: object) -> Event:
    kind = "response.function_call_arguments.done"
    return {"type": kind, "output_index": 0, "item_id": "fc_1", "arguments": text}


def words(text: str, index: Any = 0, part: Any = 0) -> Event:
    kind = "response.output_text.delta"
    return {"type": kind, "output_index": index, "content_index": part, "delta": text}


def end(*output: Event, status: str = "completed", **more: Any) -> Event:
    response = {"status": status, "output": list(output), "usage": None, **more}
    return {"type": f"response.{status}", "response": response}


def nested(levels: int) -> object:
    value: object = "x"
    for _ in range(levels):
        value = [value]
    return value


def read(*events: Any) -> Reply:
    stream = ResponsesReplyStream(token="abcdef")
    for event in events:
        stream.feed(event)
    return stream.reply(attempts=1, request_id="")


def calls_in(reply: Reply) -> list[ToolUse]:
    return [block for block in reply.message.blocks if isinstance(block, ToolUse)]


BROKEN: dict[str, tuple[Iterable[Any], str]] = {
    "no end": ([CREATED, added(call()), done(call())], "its end is missing"),
    "nothing at all": ([], "its end is missing"),
    "an item without its end": (
        [CREATED, added(call()), piece(LS), end()],
        "an item was not ended",
    ),
    "a piece after the end of its item": (
        [added(call()), piece(LS), done(call()), piece(" "), end()],
        "goes on after its end",
    ),
    "events that go back": (
        [{**added(call()), "sequence_number": 9}, {**piece(LS), "sequence_number": 3}],
        "out of order",
    ),
    "arguments in two versions": (
        [added(call()), piece('{"command": "ls"}'), done(call('{"command": "rm"}')), end()],
        "two versions",
    ),
    "arguments in two versions, of which one is no text": (
        [added(call()), piece('{"command": "ls"}'), done(call({"command": "rm"})), end()],
        "two versions",
    ),
    "arguments that are others when they are said whole": (
        [added(call()), whole('{"command": "rm"}'), done(call()), end()],
        "two versions",
    ),
    "arguments that are others at the end of all": (
        [added(call()), piece(LS), done(call("")), end(call('{"command": "rm"}'))],
        "two versions",
    ),
    "a name that is another at the end of all": (
        [added(call()), done(call()), end(call(name="write_file"))],
        "two names",
    ),
    "pieces in another order": (
        [added(call()), piece('"ls"}'), piece('{"command": '), done(call()), end()],
        "two versions",
    ),
    "an end with another number of calls": (
        [added(call()), piece(LS), done(call()), end(call(), call(call_id="c2", id="fc_2"))],
        "does not have the calls that came",
    ),
    "an end without the calls that came": (
        [added(call()), done(call()), end(message())],
        "does not have the calls that came",
    ),
    "a call without a name": ([added(call(name=None)), done(call(name=None)), end()], "no name"),
    "an item without a type": ([done({"id": "x"}), end()], "no type"),
    "pieces of what nothing ever named": (
        [piece(LS), end(status="incomplete")],
        "no type",
    ),
    "an item that ends as another": (
        [added(message()), words("Hi."), done(call()), end()],
        "an item was not ended",
    ),
    "a delta that is no text": ([added(call()), piece({"a": 1})], "does not have the form"),
    "a delta that is missing": (
        [{"type": "response.output_text.delta", "output_index": 0}],
        "does not have the form",
    ),
    "an event without a type": ([{"output_index": 0}], "does not have the form"),
    "an item without a bottom": (
        [done({**call(), "type": "reasoning", "summary": nested(101)}), end()],
        "nested too deeply",
    ),
    "an item with what is no number": (
        [
            done({"type": "reasoning", "id": "r", "encrypted_content": "x", "n": float("nan")}),
            end(),
        ],
        "no number in JSON",
    ),
    "an item that is a text": ([{**done(call()), "item": "x"}], "does not have the form"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_stream_that_does_not_fit_together_is_a_broken_one(what: str) -> None:
    events, said = BROKEN[what]
    with pytest.raises(TransientError, match=said):
        read(*events)


@pytest.mark.parametrize("gap", [0, 3, 10**9, -4])
def test_places_may_have_gaps_and_say_the_order(gap: int) -> None:
    second = call(call_id="c2", id="fc_2", name="list_dir")
    reply = read(
        done(second, gap + 5), added(call(), gap), piece(LS, gap), done(call(), gap), end()
    )
    assert [made.name for made in calls_in(reply)] == ["bash", "list_dir"]


def test_one_place_for_all_is_a_place_for_each() -> None:
    second = call(call_id="c2", id="fc_2", name="list_dir")
    events = [added(call()), piece(LS), done(call()), added(second), piece(LS), done(second)]
    assert [made.id for made in calls_in(read(*events, end()))] == ["c1", "c2"]


def test_an_end_told_twice_makes_its_call_once() -> None:
    reply = read(added(call()), piece(LS), done(call()), done(call()), end(call()), end(call()))
    assert len(calls_in(reply)) == 1


def test_an_announcement_told_twice_makes_its_call_once() -> None:
    reply = read(added(call()), added(call()), piece(LS), done(call()), end(call()))
    assert len(calls_in(reply)) == 1


@pytest.mark.parametrize("odd", ["", None, 7, [], {}])
def test_two_calls_never_have_one_id(odd: object) -> None:
    twice = [done(call(), 0), done(call(id="fc_2"), 1)]
    ids = [made.id for made in calls_in(read(*twice, end()))]
    assert len(set(ids)) == 2
    nameless = [done(call(call_id=odd, id=odd), 0), done(call(call_id=odd, id=odd), 1)]
    ids = [made.id for made in calls_in(read(*nameless, end()))]
    assert len({*ids, ""}) == 3


@pytest.mark.parametrize("status", ["incomplete", "in_progress"])
def test_a_call_that_the_service_calls_unfinished_is_not_whole_whatever_the_end_says(
    status: str,
) -> None:
    cut = call('{"command": "rm"}', status="incomplete")
    reply = read(added(cut), done(cut), done(call(id="fc_2", call_id="c2"), 1), end())
    first, second = calls_in(reply)
    assert "cut off" in (first.problem or "")
    assert second.problem is None


def test_a_call_that_never_ended_is_not_whole_where_the_answer_is_incomplete() -> None:
    events = [added(call()), piece('{"command": "rm"}'), end(status="incomplete")]
    reply = read(*events)
    (made,) = calls_in(reply)
    assert reply.stop is StopReason.MAX_TOKENS
    assert "cut off" in (made.problem or "")


@pytest.mark.parametrize("kind", ["completed", "incomplete"])
def test_the_worse_of_kind_and_status_counts(kind: str) -> None:
    status = {"completed": "incomplete", "incomplete": "completed"}[kind]
    event = {"type": f"response.{kind}", "response": {"status": status, "output": []}}
    assert read(done(message()), event).stop is StopReason.MAX_TOKENS


@pytest.mark.parametrize(("used", "stop"), [(63, StopReason.TOOL_USE), (64, StopReason.MAX_TOKENS)])
def test_an_answer_as_long_as_it_may_be_was_cut_whatever_the_service_calls_it(
    used: int, stop: StopReason
) -> None:
    stream = ResponsesReplyStream(token="abcdef", most_tokens=64)
    stream.feed(done(call()))
    stream.feed(end(usage={"input_tokens": 9, "output_tokens": used}))
    reply = stream.reply(attempts=1, request_id="")
    (made,) = calls_in(reply)
    assert (reply.stop, made.problem is None) == (stop, stop is StopReason.TOOL_USE)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@pytest.mark.parametrize("kind", ["response.completed", "response.failed", "response.cancelled"])
def test_a_response_that_failed_is_no_reply(kind: str, status: str) -> None:
    event = {"type": kind, "response": {"status": status, "error": {"code": "x"}}}
    assert failure_in(event) == {"code": "x"}
    with pytest.raises(TransientError, match="its end is missing"):
        read(done(message()), event)


@pytest.mark.parametrize("error", [None, [], "text", 7, {}])
def test_a_failure_without_an_error_is_one(error: object) -> None:
    found = failure_in({"type": "response.failed", "response": {"error": error}})
    assert found is not None
    assert "failed" in found["message"]


@pytest.mark.parametrize("event", [CREATED, end(), {"type": 7}, {}, {"type": "response.completed"}])
def test_what_is_no_failure_is_none(event: Event) -> None:
    assert failure_in(event) is None


def test_events_after_the_end_change_nothing() -> None:
    assert calls_in(read(done(message()), end(), done(call(), 1), end(call()))) == []


@pytest.mark.parametrize("kind", ["response.weather", "weather", "response.audio.delta", ""])
def test_events_of_an_unknown_kind_are_passed_over(kind: str) -> None:
    event = {"type": kind, "output_index": 0, "item": {"type": "x"}, "delta": "x", "response": 7}
    assert read(event, done(message()), event, end()).message.blocks == (Text(text="Hi."),)


def test_a_giant_call_is_read_in_the_time_that_its_size_takes() -> None:
    written = json.dumps({"command": "x" * 5_000_000})
    pieces = [piece(written[at : at + 1000]) for at in range(0, len(written), 1000)]
    (made,) = calls_in(read(added(call()), *pieces, done(call(written)), end()))
    assert len(str(made.arguments["command"])) == 5_000_000


def test_items_without_end_are_an_error_and_not_a_wait() -> None:
    stream = ResponsesReplyStream(token="abcdef")
    many = [done(call(id=f"fc_{number}", call_id=f"c{number}"), number) for number in range(1001)]
    for event in many[:1000]:
        stream.feed(event)
    with pytest.raises(ModelError, match="more than 1000 items"):
        stream.feed(many[1000])


LIES = [-1, -(10**18), "12", None, [], {}, 1.5, float("nan"), True, 10**18]


@pytest.mark.parametrize("lie", LIES)
def test_what_can_be_no_count_is_none(lie: object) -> None:
    used = {"input_tokens": lie, "output_tokens": 3, "total_tokens": 10}
    assert read(done(message()), end(usage=used)).usage == Usage(uncounted_replies=1)
    good: dict[str, object] = {"input_tokens": 7, "output_tokens": 3, "total_tokens": lie}
    good["input_tokens_details"] = {"cached_tokens": lie, "cache_write_tokens": lie}
    usage = read(done(message()), end(usage=good, tool_usage=lie)).usage
    assert (usage.all_input, usage.output_tokens, usage.uncounted_replies) == (7, 3, 0)


def test_more_cached_than_there_was_is_not_believed() -> None:
    used = {"input_tokens": 7, "output_tokens": 3}
    used |= {"input_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 900}}  # type: ignore[dict-item]
    usage = read(done(message()), end(usage=used)).usage
    assert (usage.all_input, usage.cache_read_tokens, usage.input_tokens) == (7, 7, 0)


def test_a_broken_stream_counts_as_one_that_did_not_say() -> None:
    stream = ResponsesReplyStream(token="abcdef")
    assert stream.usage == Usage()
    stream.feed(CREATED)
    assert stream.usage == Usage(uncounted_replies=1)


def test_half_of_a_character_waits_for_the_other_half() -> None:
    stream = ResponsesReplyStream(token="abcdef")
    shown = [stream.feed(each) for each in (added(message()), words("\ud834"), words("\udd1e"))]
    assert shown[1] == []
    stream.feed(done(message("\U0001d11e")))
    stream.feed(end())
    assert stream.reply(attempts=1, request_id="").message.blocks == (Text(text="\U0001d11e"),)


@pytest.mark.parametrize("odd", [None, [], "x", 7, [7], [None], [{"type": "x"}], [{"type": []}]])
def test_content_that_is_none_leaves_the_words_that_came(odd: object) -> None:
    events = [added(message()), words("Hi."), done({**message(), "content": odd})]
    assert read(*events, end()).message.blocks == (Text(text="Hi."),)


@pytest.mark.parametrize("odd", [None, "", [7], [None], [[]]])
def test_an_output_that_is_none_at_the_end_changes_nothing(odd: object) -> None:
    event = {"type": "response.completed", "response": {"status": "completed", "output": odd}}
    assert len(calls_in(read(done(call()), event))) == 1


@pytest.mark.parametrize("odd", [None, [], "x", 7, [["x"]], {"type": []}])
def test_a_status_that_is_none_ends_no_work_of_the_services_own(odd: object) -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": odd, "action": odd}
    blocks = read(done(search), done(message(), 1), end()).message.blocks
    assert len(blocks) == (2 if odd is None else 1)


@pytest.mark.parametrize("thought", [{}, {"encrypted_content": None}, {"content": []}])
def test_a_thought_that_could_not_go_back_is_not_kept(thought: Event) -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], **thought}
    assert read(done(item), done(message(), 1), end()).message.blocks == (Text(text="Hi."),)


def test_a_thought_goes_back_without_what_only_some_services_take() -> None:
    item = {"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "status": "completed"}
    thought, _ = read(done({**item, "content": []}), done(message(), 1), end()).message.blocks
    assert isinstance(thought, Opaque)
    assert thought.raw == {
        "type": "reasoning",
        "id": "rs_1",
        "encrypted_content": "x",
        "summary": [],
    }
