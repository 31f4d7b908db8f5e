"""What holds of every provider: one scenario, through each real SDK and its own strict stand-in."""

import contextlib
import gzip
import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from agent.errors import (
    ModelAuth,
    ModelBilling,
    ModelError,
    ModelRefusedRequest,
    ModelUnavailable,
    UsageError,
)
from agent.models.interface import (
    AssistantMessage,
    Discarded,
    Message,
    Opaque,
    Request,
    Retrying,
    StopReason,
    Text,
    ThinkingDelta,
    ToolUse,
)
from agent.models.retrying import RetryLimits
from agent.models.service import RequestTiming
from fakes.providers import ProviderChat, opening, result, user
from fakes.services import ANTHROPIC, CLOUDS, OPENAI, RESPONSES, SERVICES, ProviderService
from standins.anthropic import listing
from standins.anthropic.server import StandIn
from standins.exchange.replies import (
    THE_END,
    Behaviour,
    Break,
    Call,
    Framing,
    How,
    Page,
    Raw,
    Refuse,
    Thought,
    answer,
)
from standins.exchange.server import Exchange

CALL = answer("I will.", Call("bash", {"command": "rm -rf build"}))


PHASED = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "phase": "commentary",
    "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
}
"""A message with what only the Responses API gives."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A stand-in, and how models on it are opened."""

    api: Exchange
    open: Callable[..., ProviderChat]
    kinds: tuple[str, ...]
    """Of the events of `CALL`, each of which an answer can break before."""
    length: str
    """The stop reason of an answer that was cut off."""
    key_name: str
    kept: Callable[[object], Raw]
    model: str
    """As the operator writes it."""


@pytest.fixture(params=SERVICES, ids=lambda service: service.provider)
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    service: ProviderService = request.param
    with service.stand_in() as api, opening(service) as open_:
        yield Provider(
            api=api,
            open=partial(open_, api),
            kinds=service.kinds,
            length=service.length,
            key_name=service.key_name,
            kept=service.kept,
            model=service.model,
        )


on_a_cloud_too = pytest.mark.parametrize(
    "provider", [*SERVICES, *CLOUDS], indirect=True, ids=lambda service: service.provider
)
"""For what rests on nothing that a cloud lacks: a list of models, pings."""


def calls_of(message: AssistantMessage) -> list[ToolUse]:
    return [block for block in message.blocks if isinstance(block, ToolUse)]


@pytest.mark.parametrize("framing", Framing)
def test_a_reply_is_the_same_however_its_bytes_are_cut(
    provider: Provider, framing: Framing
) -> None:
    text = "é \u2028 \x85 𝄞 \r\n\t end"
    provider.api.queue(answer(text, Call("bash", {"command": text}), framing=framing))
    conversation = provider.open()
    reply = conversation.say()
    said, call = reply.message.blocks
    assert said == Text(text=text)
    assert isinstance(call, ToolUse)
    assert (call.name, call.arguments, call.problem) == ("bash", {"command": text}, None)
    assert conversation.shown == text
    assert len(conversation.events) > 1
    assert (reply.stop, reply.attempts, reply.request_id) == (StopReason.TOOL_USE, 1, "req_0001")


@on_a_cloud_too
def test_a_conversation_with_parallel_calls_goes_back_in_the_form_the_api_takes(
    provider: Provider,
) -> None:
    provider.api.queue(
        answer("Looking.", *(Call("bash", {"command": f"echo {n}"}) for n in range(5))),
        answer(Call("bash", {"command": "ls"})),
        answer("Done."),
    )
    conversation = provider.open()
    history: list[Message] = [user("Go.")]
    for _ in range(2):
        reply = conversation.say(*history)
        results = tuple(
            result(call.id, "\ud800 no", is_error=True) for call in calls_of(reply.message)
        )
        history += [reply.message, user("By the way.", results=results)]
    reply = conversation.say(*history)
    assert reply.message.blocks == (Text(text="Done."),)
    assert reply.stop is StopReason.END_TURN
    assert [request.fault for request in provider.api.requests] == [None, None, None]
    first = history[1]
    assert isinstance(first, AssistantMessage)
    assert [(call.arguments["command"], call.problem) for call in calls_of(first)] == [
        (f"echo {n}", None) for n in range(5)
    ]


@pytest.mark.parametrize("first", ["anthropic", "openai", "responses"])
def test_a_history_of_one_provider_goes_on_with_the_others(
    first: str, request: pytest.FixtureRequest
) -> None:
    call = Call("bash", {"command": "ls"})
    thought = answer(Thought("Hm."), "Looking.", call)
    said: dict[str, tuple[str, list[Behaviour]]] = {
        "anthropic": ("claude_chat", [thought]),
        # This API's own service never shows what it thinks.
        "openai": ("openai_chat", [answer("And", call)]),
        "responses": ("responses_chat", [thought, answer(Raw(PHASED), call)]),
    }
    order = [first, *(name for name in said if name != first), first]
    history: list[Message] = [user("Go.")]
    for name in order:
        one: ProviderChat = request.getfixturevalue(said[name][0])
        for behaviour in said[name][1]:
            one.api.queue(behaviour)
            reply = one.say(*history)
            results = tuple(result(call.id) for call in calls_of(reply.message))
            history += [reply.message, user(results=results)]
        assert [taken.fault for taken in one.api.requests] == [None] * len(one.api.requests)


@on_a_cloud_too
def test_thinking_is_shown_and_kept_as_its_providers_own(provider: Provider) -> None:
    provider.api.queue(answer(Thought("I weigh it."), "Done."))
    conversation = provider.open()
    thought, text = conversation.say().message.blocks
    assert isinstance(thought, Opaque)
    assert text == Text(text="Done.")
    shown = [event.text for event in conversation.events if isinstance(event, ThinkingDelta)]
    assert "".join(shown) == "I weigh it."


@on_a_cloud_too
@pytest.mark.parametrize(
    "written",
    [
        "{not json",
        '["a", "list"]',
        '"text"',
        "0",
        '{"n": NaN}',
        '{"n": 1e999}',
        '{"a":' * 500 + "1" + "}" * 500,
        '{"a":' * 20_000,
        '{"n": ' + "9" * 5000 + "}",
    ],
)
def test_arguments_that_are_no_object_carry_a_problem_and_may_go_back(
    provider: Provider, written: str
) -> None:
    provider.api.queue(answer(Call("bash", written=written)), answer("I see."))
    conversation = provider.open()
    reply = conversation.say(user("Go."))
    (call,) = calls_of(reply.message)
    assert "arguments" in (call.problem or "")
    conversation.say(
        user("Go."), reply.message, user(results=(result(call.id, "no", is_error=True),))
    )
    assert provider.api.requests[1].fault is None


@on_a_cloud_too
@pytest.mark.parametrize("written", ["null", "[]", '""', " null\n", None])
def test_what_holds_nothing_is_no_arguments(provider: Provider, written: str | None) -> None:
    provider.api.queue(answer(Call("list_dir", written=written)))
    (call,) = calls_of(provider.open().say().message)
    assert (call.arguments, call.problem) == ({}, None)


@on_a_cloud_too
@pytest.mark.parametrize(
    "written", ['{"command": "echo a\necho\tb"}', '"{\\"command\\": \\"echo a\\\\necho\\\\tb\\"}"']
)
def test_arguments_are_read_that_are_only_written_carelessly(
    provider: Provider, written: str
) -> None:
    provider.api.queue(answer(Call("bash", written=written)))
    (call,) = calls_of(provider.open().say().message)
    assert (call.arguments, call.problem) == ({"command": "echo a\necho\tb"}, None)


@on_a_cloud_too
@pytest.mark.parametrize("written", ['{"command": "rm -rf bui', '{"command": "rm"}', ""])
def test_a_call_that_the_token_limit_cut_carries_a_problem(
    provider: Provider, written: str
) -> None:
    whole = Call("bash", {"command": "ls"})
    provider.api.queue(answer(whole, Call("bash", written=written), stop=provider.length))
    reply = provider.open().say()
    first, last = calls_of(reply.message)
    assert reply.stop is StopReason.MAX_TOKENS
    assert first.problem is None
    assert "cut off" in (last.problem or "")


@on_a_cloud_too
@pytest.mark.parametrize(
    "how", [How.DROP, How.RESET, How.END, How.ERROR, How.GARBAGE, How.NO_OBJECT, How.MID_EVENT]
)
@pytest.mark.parametrize("place", range(4))
def test_torn_tool_call_is_never_returned(provider: Provider, how: How, place: int) -> None:
    torn = Break(how, before=provider.kinds[place], answer=CALL)
    provider.api.queue(torn, answer("Safe."))
    reply = provider.open().say()
    assert reply.attempts == 2
    assert reply.message.blocks == (Text(text="Safe."),)


@pytest.mark.parametrize("how", [How.HANG, How.PING])
@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_hanging_stream_is_found(provider: Provider, how: How, place: int) -> None:
    conversation = provider.open(timing=RequestTiming(read_timeout_s=0.6, reply_timeout_s=1.0))
    # On a busy machine an answer may come too late that does come.
    safe = [answer("Safe.")] * 4
    provider.api.queue(Break(how, before=provider.kinds[place], answer=CALL), *safe)
    assert conversation.say().message.blocks == (Text(text="Safe."),)
    retrying = [event for event in conversation.events if isinstance(event, Retrying)]
    assert "did not answer in time" in retrying[0].reason


@on_a_cloud_too
@pytest.mark.parametrize("how", [How.DROP, How.RESET, How.HANG])
def test_a_connection_that_ends_before_the_headers_is_made_again(
    provider: Provider, how: How
) -> None:
    provider.api.queue(Break(how), *[answer("Better.")] * 4)
    timing = RequestTiming(read_timeout_s=0.7) if how is How.HANG else RequestTiming()
    attempts = provider.open(timing=timing).say().attempts
    assert attempts == 2 or (how is How.HANG and attempts > 2)


@on_a_cloud_too
@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), json.loads("[" * 200 + "]" * 200)],
    ids=["not a number", "infinite", "deep"],
)
def test_what_no_request_could_carry_never_goes_into_a_later_one(
    provider: Provider, value: object
) -> None:
    provider.api.queue(answer(provider.kept(value), "Old."), answer("New."), answer("Done."))
    conversation = provider.open()
    reply = conversation.say(user("Go."))
    with contextlib.suppress(ModelRefusedRequest):  # not every such block is one that there is
        conversation.say(user("Go."), reply.message, user("And?"))
    assert len(provider.api.requests) == reply.attempts + 1
    assert json.dumps(provider.api.requests[-1].body, allow_nan=False)


@on_a_cloud_too
@pytest.mark.parametrize("how", [How.DROP, How.HANG, How.GARBAGE, How.ERROR])
def test_a_failure_after_the_last_event_costs_nothing(provider: Provider, how: How) -> None:
    provider.api.queue(Break(how, before=THE_END, answer=answer("Whole.")))
    timing = RequestTiming(read_timeout_s=1.5) if how is How.HANG else RequestTiming()
    assert provider.open(timing=timing).say().attempts == 1


@on_a_cloud_too
def test_the_text_of_a_broken_answer_is_void(provider: Provider) -> None:
    broken = Break(How.DROP, before=provider.kinds[-1], answer=answer("Old."))
    provider.api.queue(broken, answer("New."))
    conversation = provider.open()
    assert conversation.say().message.blocks == (Text(text="New."),)
    assert conversation.shown == "Old.New."
    assert len([event for event in conversation.events if isinstance(event, Discarded)]) == 1


@on_a_cloud_too
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_passing_failure_is_made_again(provider: Provider, status: int) -> None:
    provider.api.queue(Refuse(status), answer("Better."))
    conversation = provider.open()
    assert conversation.say().attempts == 2
    (retrying,) = (event for event in conversation.events if isinstance(event, Retrying))
    assert (retrying.attempt, retrying.wait_s) == (1, conversation.waits[0])
    assert str(status) in retrying.reason
    assert provider.api.requests[0].body == provider.api.requests[1].body


@on_a_cloud_too
@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, ModelRefusedRequest, "as the test asked"),
        (401, ModelAuth, None),
        (402, ModelBilling, "balance"),
        (403, ModelAuth, "another key or model"),
        (404, ModelRefusedRequest, "a model of"),
        (413, ModelRefusedRequest, "smaller parts"),
        (422, ModelRefusedRequest, "as the test asked"),
        (501, ModelRefusedRequest, "as the test asked"),
    ],
)
def test_a_lasting_failure_ends_the_run_with_one_line(
    provider: Provider, status: int, kind: type[ModelError], hint: str | None
) -> None:
    provider.api.queue(Refuse(status), answer("Never asked for."))
    conversation = provider.open()
    with pytest.raises(kind) as caught:
        conversation.say()
    message = str(caught.value)
    assert (hint or provider.key_name) in message
    assert str(status) in message
    assert "request req_0001" in message
    assert "\n" not in message
    assert provider.api.key not in message
    assert (len(provider.api.requests), conversation.waits) == (1, [])


def named(value: object) -> str | None:
    """For the ids of tests of single providers."""
    return getattr(value, "provider", None)


@pytest.mark.parametrize(
    ("provider", "error", "kind"),
    [
        (ANTHROPIC, "invalid_request_error", ModelRefusedRequest),
        (ANTHROPIC, "authentication_error", ModelAuth),
        (ANTHROPIC, "billing_error", ModelBilling),
        (ANTHROPIC, "permission_error", ModelAuth),
        (OPENAI, "invalid_request_error", ModelRefusedRequest),
        (OPENAI, "authentication_error", ModelAuth),
        (OPENAI, "insufficient_quota", ModelBilling),
        (RESPONSES, "insufficient_quota", ModelBilling),
    ],
    indirect=["provider"],
    ids=named,
)
def test_an_error_event_that_no_retry_mends_ends_the_run(
    provider: Provider, error: str, kind: type[ModelError]
) -> None:
    provider.api.queue(Break(How.ERROR, before=provider.kinds[-1], error=error))
    conversation = provider.open()
    with pytest.raises(kind, match="as the test asked"):
        conversation.say()
    assert len(provider.api.requests) == 1
    # What came of the answer is billed, though nothing of it counts.
    assert len([event for event in conversation.events if isinstance(event, Discarded)]) == 1


@pytest.mark.parametrize(
    ("provider", "error"),
    [
        *((ANTHROPIC, error) for error in ("api_error", "rate_limit_error")),
        *((OPENAI, error) for error in ("server_error", "rate_limit_exceeded")),
        *((RESPONSES, error) for error in ("server_error", "rate_limit_exceeded")),
        *((service, error) for service in SERVICES for error in ("overloaded_error", "new_one")),
    ],
    indirect=["provider"],
    ids=named,
)
def test_an_error_event_that_may_pass_is_made_again(provider: Provider, error: str) -> None:
    broken = Break(How.ERROR, before=provider.kinds[-1], error=error)
    provider.api.queue(broken, answer("Better."))
    assert provider.open().say().attempts == 2


@pytest.mark.parametrize(
    ("provider", "status", "code", "kind"),
    [
        (ANTHROPIC, 429, "enforced_spend_limit_reached", ModelBilling),
        (ANTHROPIC, 429, "contract_spend_limit_reached", ModelBilling),
        (ANTHROPIC, 400, "organization_on_hold", ModelAuth),
        (OPENAI, 429, "insufficient_quota", ModelBilling),
        (OPENAI, 429, "billing_hard_limit_reached", ModelBilling),
        (OPENAI, 400, "billing_not_active", ModelBilling),
        (OPENAI, 429, "account_deactivated", ModelAuth),
        (OPENAI, 400, "content_policy_violation", ModelRefusedRequest),
    ],
    indirect=["provider"],
    ids=named,
)
def test_a_code_that_names_a_lasting_cause_beats_the_status(
    provider: Provider, status: int, code: str, kind: type[ModelError]
) -> None:
    provider.api.queue(Refuse(status, {"retry-after": "1"}, code=code))
    conversation = provider.open()
    with pytest.raises(kind):
        conversation.say()
    assert (conversation.waits, len(provider.api.requests)) == ([], 1)


@on_a_cloud_too
@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [
        ({"retry-after": "7"}, 7.0, 7.7),
        ({"retry-after": "0"}, 0.0, 0.0),
        ({"retry-after": "0.5"}, 0.5, 0.55),
        ({"retry-after-ms": "1500", "retry-after": "60"}, 1.5, 1.65),
    ],
)
def test_retry_after_is_honoured(
    provider: Provider, headers: dict[str, str], least_s: float, most_s: float
) -> None:
    provider.api.queue(Refuse(429, headers), answer("Better."))
    conversation = provider.open()
    conversation.say()
    (waited_s,) = conversation.waits
    assert least_s <= waited_s <= most_s


@on_a_cloud_too
def test_it_gives_up_after_the_stated_number_of_attempts(provider: Provider) -> None:
    conversation = provider.open(timing=RequestTiming(limits=RetryLimits(attempts=4)))
    provider.api.queue(*[Refuse(503)] * 5)
    with pytest.raises(ModelUnavailable, match=r"503 .*gave up after 4 attempts"):
        conversation.say()
    assert (len(provider.api.requests), len(conversation.waits)) == (4, 3)


@on_a_cloud_too
def test_the_wrong_key_is_an_error_of_the_key(provider: Provider) -> None:
    with pytest.raises(ModelAuth, match=provider.key_name) as caught:
        provider.open(api_key="another-key").say()
    assert "another-key" not in str(caught.value)


def test_a_list_of_models_is_asked_for_as_a_reply_is(provider: Provider) -> None:
    provider.api.models = [listing.model("m1", "M")]
    provider.api.queue(Refuse(503))
    conversation = provider.open()
    assert [one.id for one in conversation.model.offered(conversation.events.append)] == ["m1"]
    assert [type(event) for event in conversation.events] == [Retrying]
    assert (len(conversation.waits), conversation.model.name) == (1, provider.model)
    with pytest.raises(ModelAuth, match=provider.key_name):
        provider.open(api_key="another-key").model.offered()


@on_a_cloud_too
def test_an_unreachable_service_is_named(provider: Provider) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        conversation = provider.open(
            base_url=url, timing=RequestTiming(limits=RetryLimits(attempts=2))
        )
        with pytest.raises(ModelUnavailable, match=re.escape(url)):
            conversation.say()


def test_loopback_is_reached_whatever_proxies_the_environment_names(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    provider.api.queue(answer("Hello."))
    assert provider.open().say().attempts == 1


@pytest.mark.parametrize(
    "url", ["http://me:pass-word-1@localhost/v1", "http://localhost/?key=pass-word-1"]
)
def test_a_base_url_with_a_secret_in_it_is_refused_and_not_shown(
    provider: Provider, url: str
) -> None:
    with pytest.raises(UsageError, match="base URL holds") as caught:
        provider.open(base_url=url)
    assert "pass-word" not in str(caught.value)


# -- a hostile service --------------------------------------------------------------------------


@on_a_cloud_too
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_carries_neither_key_nor_conversation_to_another_host(
    provider: Provider, status: int
) -> None:
    with StandIn() as thief:
        provider.api.queue(Refuse(status, {"location": f"{thief.url}/v1/messages"}))
        with pytest.raises(ModelRefusedRequest, match=r"redirects to http://127\.0\.0\.1"):
            provider.open().say()
        assert thief.requests == []


@on_a_cloud_too
@pytest.mark.parametrize("status", [200, 500])
def test_a_compressed_answer_is_not_unfolded(provider: Provider, status: int) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    provider.api.queue(Page(status, bomb, "text/event-stream", {"content-encoding": "gzip"}))
    with pytest.raises(ModelRefusedRequest, match="answered compressed"):
        provider.open().say()
    assert provider.api.requests[0].headers["accept-encoding"] == "identity"


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(f'{{"type": {DEEP}, "choices": {DEEP}}}'.encode(), id="deep"),
        pytest.param(b'{"choices": [{"delta": {"content": "\xff\xfe"}}]}', id="not UTF-8"),
        pytest.param(b'{"type": NaN, "choices": NaN}', id="not a number"),
        pytest.param(b'{"n": ' + b"9" * 10_000 + b"}", id="a long number"),
        pytest.param(b'{"type": "message_start", "choices": "text"}', id="text for a list"),
        pytest.param(b"\x00\x01\x1b[2J", id="control characters"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_data_that_is_no_event_is_no_traceback(provider: Provider, data: bytes) -> None:
    page = Page(200, b"data: " + data + b"\n\n", "text/event-stream")
    provider.api.queue(page, answer("Better."))
    assert provider.open().say().attempts == 2


@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500])
@pytest.mark.parametrize("body", [DEEP, '{"error": ' * 50_000, '"text"', "[1]", "\xff", "null"])
def test_an_error_of_any_form_is_one_line(provider: Provider, status: int, body: str) -> None:
    provider.api.queue(Page(status, body.encode("latin-1"), "application/json"))
    with pytest.raises(ModelError) as caught:
        provider.open(timing=RequestTiming(limits=RetryLimits(attempts=1))).say()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(DEEP.encode(), id="deep"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b'{"data": [{"id": "a"', id="torn"),
        pytest.param(b'{"data": {"id": "a"}}', id="no list"),
        pytest.param(b'{"data": [{"id": ' + b"9" * 10_000 + b"}]}", id="a long number"),
        pytest.param(b"<html>", id="a page"),
        pytest.param(b" " * 70_000, id="too large"),
    ],
)
def test_a_list_of_models_that_is_none_is_one_line_and_not_asked_for_again(
    provider: Provider, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(body) == 70_000:
        monkeypatch.setattr("agent.models.transport.LARGEST_REPLY_BYTES", 60_000)
    provider.api.queue(Page(200, body, "application/json"))
    conversation = provider.open()
    with pytest.raises(ModelError) as caught:
        conversation.model.offered(conversation.events.append)
    assert str(caught.value).isprintable()
    assert provider.api.url in str(caught.value)
    assert (len(provider.api.requests), conversation.waits) == (1, [])


@pytest.mark.parametrize(("rows", "kind"), [(10_000, None), (10_001, ModelRefusedRequest)])
def test_a_list_of_models_has_an_end_and_is_never_cut(
    provider: Provider, rows: int, kind: type[ModelError] | None
) -> None:
    provider.api.models = [listing.model(f"m{number:05}", "M") for number in range(rows)]
    conversation = provider.open()
    if kind is None:
        assert len(conversation.model.offered(conversation.events.append)) == rows
        return
    with pytest.raises(kind, match="lists models without end"):
        conversation.model.offered(conversation.events.append)


def test_the_services_words_cannot_steer_the_terminal(provider: Provider) -> None:
    provider.api.queue(Refuse(400, message="\x1b[2Jcleared\r\n\x07" + "long " * 1000 + "\u202e"))
    with pytest.raises(ModelRefusedRequest) as caught:
        provider.open().say()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500])
@pytest.mark.parametrize("padding", ["", "long " * 58])
def test_a_key_that_the_service_says_back_is_not_shown(
    provider: Provider, status: int, padding: str
) -> None:
    key = provider.api.key = 'sk-"team\\key"-1234567890'
    said = f"{padding}no account for {key}, {json.dumps(key)}"
    headers = {"request-id": key, "x-request-id": key}
    provider.api.queue(Refuse(status, headers, message=said, code=key))
    with pytest.raises(ModelError) as caught:
        provider.open(api_key=key, timing=RequestTiming(limits=RetryLimits(attempts=1))).say()
    message = str(caught.value)
    assert str(status) in message
    assert "team" not in message
    assert "1234567" not in message


@on_a_cloud_too
def test_a_reply_without_end_is_cut_off(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.models.transport.LARGEST_REPLY_BYTES", 2000)
    provider.api.queue(answer("x" * 30_000))
    with pytest.raises(ModelUnavailable, match="more than 2000 bytes"):
        provider.open().say()
    assert len(provider.api.requests) == 1


@pytest.mark.parametrize(
    "page", [Page(200), Page(200, "", ""), Page(200, "{}", "application/json")]
)
def test_an_answer_that_is_no_event_stream_points_at_the_base_url(
    provider: Provider, page: Page
) -> None:
    provider.api.queue(page)
    with pytest.raises(ModelRefusedRequest, match="check the base URL"):
        provider.open().say()
    assert len(provider.api.requests) == 1


@on_a_cloud_too
def test_an_interrupt_leaves_at_once_and_the_model_can_be_used_again(provider: Provider) -> None:
    def show(event: object) -> None:
        raise KeyboardInterrupt

    conversation = provider.open()
    provider.api.queue(answer("Hello."), answer("Again."))
    with pytest.raises(KeyboardInterrupt):
        conversation.model.reply(_request(), show)
    assert conversation.say().message.blocks == (Text(text="Again."),)


@on_a_cloud_too
def test_an_error_in_what_shows_events_is_not_taken_for_the_services(provider: Provider) -> None:
    class DisplayError(ValueError):
        pass

    def show(event: object) -> None:
        raise DisplayError

    conversation = provider.open()
    provider.api.queue(answer("Hello."))
    with pytest.raises(DisplayError):
        conversation.model.reply(_request(), show)
    assert (len(provider.api.requests), conversation.waits) == (1, [])


LIMITED = {"message": "Rate limit exceeded: free-models-per-min", "code": 429}


@pytest.mark.parametrize("body", [{"error": LIMITED}, [{"error": LIMITED}]])
def test_an_error_in_an_answer_with_status_200_is_the_services(
    provider: Provider, body: object
) -> None:
    page = Page(200, json.dumps(body), "application/json")
    provider.api.queue(page, answer("Better."))
    conversation = provider.open()
    assert conversation.say().attempts == 2
    (retrying,) = (event for event in conversation.events if isinstance(event, Retrying))
    assert "Rate limit exceeded" in retrying.reason


def test_a_lasting_error_in_an_answer_with_status_200_ends_the_run(provider: Provider) -> None:
    error = {"type": "authentication_error", "message": "who are you"}
    provider.api.queue(Page(200, json.dumps({"error": error}), "application/json"))
    with pytest.raises(ModelAuth, match="who are you"):
        provider.open().say()
    assert len(provider.api.requests) == 1


def _request() -> Request:
    return Request(system="s", tools=(), messages=(user("Go."),), max_tokens=100)
