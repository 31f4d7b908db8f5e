"""Streams mangled at random: an error, or a reply of which no call is torn, new, or made twice, and
which the API takes back."""

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.models.interface import (
    AssistantMessage,
    Message,
    Reply,
    Request,
    ToolResult,
    ToolUse,
    UserMessage,
)
from agent.models.openai.dialect import PUBLIC_RESPONSES, Complaint, Dialect
from agent.models.openai.responses.request import body
from agent.models.openai.responses.stream import ResponsesReplyStream, failure_in
from agent.models.retrying import TransientError
from fakes.providers import TOOL, user
from standins.exchange.replies import Call, Search, Thought, answer
from standins.exchange.server import Context
from standins.openai.faults import OpenAIFaultError
from standins.responses import events, rules
from standins.responses.quirks import STREAMS, ResponsesQuirk

Event = dict[str, Any]

ASKED: Event = {"model": "gpt-5.4", "include": ["reasoning.encrypted_content"]}
COUNTED = {"prompt_tokens": 90, "cached_tokens": 10}
MADE = [("bash", {"command": "rm -rf build"}), ("list_dir", {"path": "."}), ("bash", {})]
ANSWER = answer(
    Thought("Hm."),
    "I look.",
    *(Call(name, arguments) for name, arguments in MADE),
    Search("landlock"),
)


def stream_of(quirk: ResponsesQuirk | None) -> list[Event]:
    context = Context(request=ASKED, usage=COUNTED, number=1)
    quirks = frozenset({quirk} if quirk else ())
    data = [data for _, data in events.events(ANSWER, context, quirks)]
    return [json.loads(each.partition(b"data: ")[2]) for each in data]


def read(stream: list[Any]) -> Reply | None:
    """None: it is an error of those that a lying service may cause."""
    reader = ResponsesReplyStream(token="abcdef")
    try:
        for event in stream:
            reader.feed(event)
            if failure_in(event) is not None:
                return None
        reply = reader.reply(attempts=1, request_id="")
    except (TransientError, ModelError):
        assert reader.usage.output_tokens >= 0
        return None
    assert any(event.get("type") == "response.completed" for event in stream)
    return reply


def runnable(reply: Reply) -> list[ToolUse]:
    uses = [block for block in reply.message.blocks if isinstance(block, ToolUse)]
    assert len({use.id for use in uses}) == len(uses)
    return [use for use in uses if use.problem is None]


def goes_back(message: AssistantMessage) -> None:
    """The API takes it again, with what was answered to it: as it came, or else without what the
    service itself signed or ran."""
    uses = [block for block in message.blocks if isinstance(block, ToolUse)]
    results = [ToolResult(tool_use_id=use.id, text="no", is_error=True) for use in uses]
    history: tuple[Message, ...] = (user("Go."), message, UserMessage(blocks=tuple(results)))
    request = Request(system="s", tools=(TOOL,), messages=history, max_tokens=1000)
    try:
        check(request, PUBLIC_RESPONSES)
    except OpenAIFaultError as fault:
        said = Complaint(message=fault.message, code=fault.code or "", param=fault.param or "")
        check(request, PUBLIC_RESPONSES.learnt(said, wanted=1000) or PUBLIC_RESPONSES)


def check(request: Request, dialect: Dialect) -> None:
    written = body(request, model="gpt-5.4", dialect=dialect)
    sent = json.loads(json.dumps(written, allow_nan=False).encode())
    rules.check_body({**sent, "stream": True})


steps = st.lists(
    st.tuples(st.sampled_from(["drop", "twice", "swap", "cut"]), st.integers(0, 200)), max_size=4
)


quirks = st.sampled_from([None, *STREAMS])


@given(quirk=quirks, steps=steps, number=st.sampled_from([{}, {"sequence_number": 0}]))
def test_events_lost_doubled_or_in_another_order_make_no_call_that_was_not_made(
    quirk: ResponsesQuirk | None, steps: list[tuple[str, int]], number: Event
) -> None:
    stream = [event | number for event in stream_of(quirk)]
    for how, where in steps:
        at = where % max(len(stream), 1)
        match how:
            case "drop":
                del stream[at : at + 1]
            case "twice":
                stream[at:at] = copy.deepcopy(stream[at : at + 1])
            case "swap":
                stream[at : at + 2] = stream[at : at + 2][::-1]
            case "cut":
                del stream[at:]
    reply = read(stream)
    if reply is None:
        return
    left: list[tuple[str, object]] = list(MADE)
    for use in runnable(reply):
        left.remove((use.name, use.arguments))
    goes_back(reply.message)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
nonsense = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        found += [each for key in value for each in places(value[key], (*path, key))]
    elif isinstance(value, list):
        found += [each for n, item in enumerate(value) for each in places(item, (*path, n))]
    return found


@given(
    quirk=quirks,
    changes=st.lists(st.tuples(st.integers(0, 10**6), nonsense), min_size=1, max_size=3),
)
def test_nonsense_in_the_place_of_any_value_is_an_error_or_goes_back(
    quirk: ResponsesQuirk | None, changes: list[tuple[int, Any]]
) -> None:
    stream: Any = stream_of(quirk)
    for where, value in changes:
        found = [path for path in places(stream) if len(path) > 1]
        *way, last = found[where % len(found)]
        holder = stream
        for step in way:
            holder = holder[step]
        holder[last] = value
    reply = read(stream)
    if reply is None:
        return
    runnable(reply)
    goes_back(reply.message)
