"""Compatible services through the real SDK: how they differ, and what a model learns of them."""

from collections.abc import Callable, Iterator

import pytest

from agent.errors import ModelAuth, ModelRefusedRequest
from agent.models.interface import (
    Discarded,
    Image,
    Opaque,
    Retrying,
    StopReason,
    Text,
    ThinkingDelta,
    ToolResult,
    ToolUse,
    UserMessage,
)
from agent.models.openai.chat import CHAT
from agent.models.openai.client import Key, OpenAIModel
from agent.models.service import RequestTiming
from fakes.providers import ProviderChat, result, user
from standins.exchange.replies import Break, Call, How, Refuse, Thought, answer
from standins.openai.quirks import CALLS, Quirk
from standins.openai.rules import SMALL_OUTPUT_TOKENS, SMALL_WINDOW_TOKENS
from standins.openai.server import StandInOpenAI

Open = Callable[..., ProviderChat]

TWO = answer(
    "Looking.", Call("bash", {"command": "ls"}), Call("list_dir", {"path": "."}), Call("plan")
)
PNG = Image(media_type="image/png", data=b"\x89PNG\r\n\x1a\n" + bytes(9))


@pytest.fixture
def on(open_openai: Open) -> Iterator[Callable[..., tuple[StandInOpenAI, ProviderChat]]]:
    """A stand-in with these quirks, and a model on it."""
    opened: list[StandInOpenAI] = []

    def on_(*quirks: Quirk, name: str = "gpt-4o") -> tuple[StandInOpenAI, ProviderChat]:
        api = StandInOpenAI(*quirks)
        opened.append(api.__enter__())
        return api, open_openai(api, name)

    yield on_
    for api in opened:
        api.__exit__(None, None, None)


On = Callable[..., tuple[StandInOpenAI, ProviderChat]]


def calls(blocks: object) -> list[ToolUse]:
    assert isinstance(blocks, tuple)
    return [block for block in blocks if isinstance(block, ToolUse)]


# -- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("quirk", CALLS)
def test_calls_are_the_same_however_a_gateway_streams_them(on: On, quirk: Quirk) -> None:
    api, conversation = on(quirk)
    api.queue(TWO, answer("Done."))
    reply = conversation.say(user("Go."))
    assert reply.stop is StopReason.TOOL_USE
    made = calls(reply.message.blocks)
    assert [(use.name, use.arguments, use.problem) for use in made] == [
        ("bash", {"command": "ls"}, None),
        ("list_dir", {"path": "."}, None),
        ("plan", {}, None),
    ]
    results = tuple(result(use.id) for use in made)
    assert (
        conversation.say(user("Go."), reply.message, user(results=results)).stop
        is StopReason.END_TURN
    )
    assert [request.fault for request in api.requests] == [None, None]


def test_ids_made_up_for_one_turn_are_not_those_of_another(on: On) -> None:
    api, conversation = on(Quirk.NO_ID)
    api.queue(TWO, TWO)
    made = [use.id for _ in range(2) for use in calls(conversation.say().message.blocks)]
    assert len(set(made)) == 6


def test_a_function_call_as_of_old_is_a_call(on: On) -> None:
    api, conversation = on(Quirk.FUNCTION_CALL)
    api.queue(answer(Call("bash", {"command": "ls"})))
    reply = conversation.say()
    assert reply.stop is StopReason.TOOL_USE
    assert calls(reply.message.blocks)[0].arguments == {"command": "ls"}


@pytest.mark.parametrize("quirk", [Quirk.REASONING_NAMED_SHORT, Quirk.REASONING_TWICE])
def test_thinking_is_shown_under_any_name(on: On, quirk: Quirk) -> None:
    api, conversation = on(quirk)
    api.queue(answer(Thought("I weigh it."), "Done."))
    conversation.say()
    shown = [event.text for event in conversation.events if isinstance(event, ThinkingDelta)]
    assert "".join(shown) == "I weigh it."


def test_a_refusal_is_shown_and_is_the_detail(on: On) -> None:
    api, conversation = on()
    api.queue(answer(stop_details={"refusal": "I can't help with that."}))
    reply = conversation.say()
    assert (reply.stop, reply.detail) == (StopReason.REFUSAL, "I can't help with that.")
    assert conversation.shown == "I can't help with that."


def test_a_count_in_each_chunk_is_counted_once(on: On) -> None:
    api, conversation = on(Quirk.USAGE_IN_EACH_CHUNK)
    api.queue(answer("Hello."))
    assert conversation.say().usage.input_tokens == api.requests[0].usage["prompt_tokens"]


def test_a_service_that_counts_nothing_is_said_to_count_nothing(on: On) -> None:
    api, conversation = on(Quirk.NO_USAGE)
    api.queue(answer("Hello."))
    usage = conversation.say().usage
    assert (usage.uncounted_replies, usage.input_tokens, usage.output_tokens) == (1, 0, 0)


def test_an_end_without_the_closing_word_is_one(on: On) -> None:
    api, conversation = on(Quirk.NO_DONE)
    api.queue(answer("Hello."))
    assert conversation.say().attempts == 1


@pytest.mark.parametrize("how", [How.DROP, How.HANG, How.GARBAGE, How.ERROR])
def test_a_count_that_does_not_come_is_not_worth_another_answer(
    open_openai: Open, openai_api: StandInOpenAI, how: How
) -> None:
    timing = RequestTiming(read_timeout_s=1.5) if how is How.HANG else RequestTiming()
    conversation = open_openai(openai_api, timing=timing)
    openai_api.queue(Break(how, before="usage", answer=answer("Whole.")))
    reply = conversation.say()
    assert (reply.attempts, reply.usage.uncounted_replies) == (1, 1)
    assert reply.message.blocks == (Text(text="Whole."),)


def test_a_broken_answer_is_void_and_its_use_unknown(on: On) -> None:
    api, conversation = on()
    api.queue(Break(How.DROP, before="finish"), answer("Better."))
    conversation.say()
    (void,) = (event for event in conversation.events if isinstance(event, Discarded))
    assert void.usage.uncounted_replies == 1


def test_cached_tokens_are_counted_apart(on: On) -> None:
    api, conversation = on()
    api.queue(answer("One."), answer("Two."))
    long = "x" * 8000
    first = conversation.say(user("Go."), system=long).usage
    second = conversation.say(user("Go."), system=long).usage
    assert first.cache_read_tokens == 0
    assert second.cache_read_tokens > 1024
    assert second.input_tokens + second.cache_read_tokens == first.input_tokens


# -- requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quirks", "name", "field"),
    [
        ((), "gpt-5.4", "max_tokens"),
        ((Quirk.NO_STREAM_OPTIONS,), "gpt-4o", "stream_options"),
    ],
)
def test_a_field_that_is_refused_is_refused_once(
    on: On, quirks: tuple[Quirk, ...], name: str, field: str
) -> None:
    api, conversation = on(*quirks, name=name)
    api.queue(answer("One."), answer("Two."))
    first, second = conversation.say(), conversation.say()
    assert (first.attempts, second.attempts) == (2, 1)
    assert conversation.waits == []
    assert [field in request.body for request in api.requests] == [True, False, False]
    (told,) = (event for event in conversation.events if isinstance(event, Retrying))
    assert (told.wait_s, told.attempt) == (0.0, 1)
    assert field in told.reason


def test_everything_at_once_is_learnt_and_nothing_waited_for(on: On) -> None:
    api, conversation = on(Quirk.NO_STREAM_OPTIONS, Quirk.SMALL_OUTPUT, name="gpt-5.4")
    api.queue(answer("Hello."), answer("Again."))
    assert conversation.say(max_tokens=32_000).attempts == 4
    assert conversation.say(max_tokens=32_000).attempts == 1
    body = api.requests[-1].body
    assert body["max_completion_tokens"] == SMALL_OUTPUT_TOKENS
    assert not {"max_tokens", "stream_options"} & body.keys()


def test_a_smaller_answer_is_asked_for_where_the_window_is_small(on: On) -> None:
    api, conversation = on(Quirk.SMALL_WINDOW)
    api.queue(answer("Hello."))
    reply = conversation.say(user("x" * 4 * 6000), max_tokens=32_000)
    assert reply.stop is StopReason.END_TURN
    assert 256 <= api.requests[-1].body["max_tokens"] <= SMALL_WINDOW_TOKENS - 6000
    assert len(api.requests) <= 4


def test_a_full_window_is_a_reply_that_stops_for_it(on: On) -> None:
    _, conversation = on(Quirk.SMALL_WINDOW)
    reply = conversation.say(user("x" * 4 * 20_000))
    assert (reply.stop, reply.message.blocks) == (StopReason.CONTEXT_WINDOW, ())
    assert "maximum context length" in reply.detail
    assert conversation.waits == []


@pytest.mark.parametrize("code", ["context_length_exceeded", None])
def test_a_full_window_is_known_by_name_or_words(chat: ProviderChat, code: str | None) -> None:
    words = "Input exceeds the available context size." if code is None else "too long"
    chat.api.queue(Refuse(400, message=words, code=code))
    assert chat.say().stop is StopReason.CONTEXT_WINDOW


def test_a_service_that_teaches_in_circles_is_left(chat: ProviderChat) -> None:
    def no(field: str) -> Refuse:
        return Refuse(
            400, message=f"Unsupported parameter: '{field}'", code="unsupported_parameter"
        )

    chat.api.queue(*[no("max_tokens"), no("max_completion_tokens")] * 10)
    with pytest.raises(ModelRefusedRequest, match="Unsupported parameter"):
        chat.say()
    assert len(chat.api.requests) == 2
    assert chat.waits == []


def test_a_service_that_asks_for_ever_less_is_left(chat: ProviderChat) -> None:
    numbers = range(990, 900, -1)
    chat.api.queue(*[Refuse(400, message=f"max_tokens: at most {n}") for n in numbers])
    with pytest.raises(ModelRefusedRequest):
        chat.say()
    assert len(chat.api.requests) < 12


def test_a_refused_field_is_no_reason_to_make_a_call_twice(on: On) -> None:
    api, conversation = on(name="gpt-5.4")
    api.queue(answer(Call("bash", {"command": "rm -rf build"})))
    assert len(calls(conversation.say().message.blocks)) == 1
    assert api.left == ()


def test_thinking_goes_back_where_it_is_asked_for(on: On) -> None:
    api, conversation = on(Quirk.KEEPS_REASONING)
    api.queue(answer(Thought("I look."), Call("bash", {"command": "ls"})), answer("Done."))
    reply = conversation.say(user("Go."))
    (use,) = calls(reply.message.blocks)
    conversation.say(user("Go."), reply.message, user(results=(result(use.id),)))
    assert api.requests[1].body["messages"][2]["reasoning_content"] == "I look."
    assert api.requests[1].fault is None


def test_thinking_stays_behind_where_it_is_refused(on: On) -> None:
    api, conversation = on()
    api.queue(answer(Thought("I look."), "Looking."), answer("Done."))
    reply = conversation.say(user("Go."))
    assert any(isinstance(block, Opaque) for block in reply.message.blocks)
    assert conversation.say(user("Go."), reply.message, user("And?")).attempts == 2
    assert "reasoning_content" not in str(api.requests[-1].body)


def shown() -> UserMessage:
    return UserMessage(
        blocks=(ToolResult(tool_use_id="c1", text="A plot.", is_error=False, images=(PNG,)),)
    )


def test_an_image_of_a_result_follows_it_as_the_users(on: On) -> None:
    api, conversation = on()
    api.queue(answer(Call("read_file", {"path": "a.png"}, id="c1")), answer("A plot."))
    reply = conversation.say(user("Go."))
    conversation.say(user("Go."), reply.message, shown())
    roles = [message["role"] for message in api.requests[1].body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert api.requests[1].fault is None


def test_an_image_is_left_out_and_said_to_be_where_none_is_taken(on: On) -> None:
    api, conversation = on(Quirk.NO_IMAGES)
    api.queue(answer(Call("read_file", {"path": "a.png"}, id="c1")), answer("I can't see it."))
    reply = conversation.say(user("Go."))
    assert conversation.say(user("Go."), reply.message, shown()).attempts == 2
    assert "left out" in api.requests[-1].body["messages"][-1]["content"]


# -- keys and places ----------------------------------------------------------------------------


def test_a_service_on_this_machine_needs_no_key(
    open_openai: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "sk-from-the-environment")
    with StandInOpenAI(Quirk.NO_KEY, Quirk.ANY_MODEL) as api:
        api.queue(answer("Hello."))
        conversation = open_openai(api, "llama3.2:3b", api_key=None)
        assert conversation.say().attempts == 1
        assert isinstance(conversation.model, OpenAIModel)
        assert conversation.model.offered()
        assert not [r for r in api.requests if "authorization" in r.headers]


@pytest.mark.parametrize(
    "url", ["http://localhost:11434/v1", "http://127.8.9.1/v1", "http://[::1]:80/v1"]
)
def test_what_is_on_this_machine(url: str) -> None:
    OpenAIModel.open("llama3", api=CHAT, base_url=url).close()


@pytest.mark.parametrize(
    "url",
    [
        None,
        "https://gateway.example.org/v1",
        "http://localhost.example.org/v1",
        "http://127.0.0.1.example.org/v1",
        "http://10.0.0.1/v1",
    ],
)
def test_elsewhere_a_key_is_needed_unless_the_operator_says_otherwise(url: str | None) -> None:
    with pytest.raises(ModelAuth, match=r"OPENAI_API_KEY.*script:FILE"):
        OpenAIModel.open("gpt-5.4", api=CHAT, base_url=url, api_key="")
    OpenAIModel.open("gpt-5.4", api=CHAT, base_url=url, api_key=Key.NONE).close()


def test_who_the_operator_is_at_openai_is_not_for_others(
    openai_api: StandInOpenAI, open_openai: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    openai_api.queue(answer("Hello."))
    open_openai(openai_api).say()
    sent = openai_api.requests[0].headers
    assert not {"openai-organization", "openai-project"} & sent.keys()


def test_the_environment_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example.org/v1")
    with pytest.raises(ModelAuth):
        OpenAIModel.open("gpt-5.4", api=CHAT)
    model = OpenAIModel.open("gpt-5.4", api=CHAT, api_key="given")
    assert str(model._client.base_url).rstrip("/") == "https://api.openai.com/v1"
    assert model._client.api_key == "given"
    model.close()


@pytest.mark.parametrize("name", ["gpt-5.4", "gpt-4o"])
def test_openais_own_service_is_asked_as_it_wants_to_be(name: str) -> None:
    model = OpenAIModel.open(name, api=CHAT, api_key="k", base_url="https://eu.api.openai.com/v1")
    assert str(model._dialect.limit) == "max_completion_tokens"
    model.close()


# -- what is offered ----------------------------------------------------------------------------
