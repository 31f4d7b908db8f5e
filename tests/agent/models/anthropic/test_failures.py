"""How the Messages API fails in ways of its own, through the real SDK: its error events and codes,
what it says of a wait, its credentials. What every provider does is in `test_providers`."""

import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from agent.errors import (
    ModelAuth,
    ModelRefusedRequest,
    ModelUnavailable,
    UsageError,
)
from agent.models.anthropic.client import AnthropicModel
from agent.models.interface import Discarded, ToolUse
from agent.models.retrying import RetryLimits
from agent.models.service import RequestTiming
from fakes.providers import ProviderChat
from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, Call, How, Page, Refuse, answer

Open = Callable[..., ProviderChat]

CALL = answer("I will.", Call("bash", {"command": "rm -rf build"}))
ITS_OWN = ("content_block_start", "message_delta")
"""Kinds of events that no other provider's answer has; for the rest see `test_providers`."""
ENDING = [
    How.DROP,
    How.RESET,
    How.END,
    How.ERROR,
    How.GARBAGE,
    How.NO_OBJECT,
    How.MID_EVENT,
]


@pytest.mark.parametrize("how", ENDING)
@pytest.mark.parametrize("before", ITS_OWN)
def test_torn_tool_call_is_never_returned(chat: ProviderChat, how: How, before: str) -> None:
    chat.api.queue(Break(how, before=before, answer=CALL), answer("Safe."))
    reply = chat.say()
    assert reply.attempts == 2
    assert not [block for block in reply.message.blocks if isinstance(block, ToolUse)]


@pytest.mark.parametrize("how", [How.END, How.DROP, How.ERROR])
def test_what_a_broken_stream_used_is_told(chat: ProviderChat, how: How) -> None:
    chat.api.queue(Break(how, before="message_stop"), answer("Better."))
    chat.say()
    (void,) = (event for event in chat.events if isinstance(event, Discarded))
    assert void.usage.input_tokens == chat.api.requests[0].usage["input_tokens"]
    assert void.usage.output_tokens > 1


def test_nothing_is_void_where_nothing_had_begun(chat: ProviderChat) -> None:
    chat.api.queue(Refuse(529), Break(How.DROP, before="message_start"), answer("Better."))
    chat.say()
    assert not [event for event in chat.events if isinstance(event, Discarded)]


@pytest.mark.parametrize(("ahead_s", "least_s", "most_s"), [(250, 100, 275), (-100, 0, 0)])
def test_retry_after_may_be_a_date(
    chat: ProviderChat, ahead_s: int, least_s: float, most_s: float
) -> None:
    date = formatdate(time.time() + ahead_s, usegmt=True)
    chat.api.queue(Refuse(429, {"retry-after": date}), answer("Better."))
    chat.say()
    (waited_s,) = chat.waits
    assert least_s <= waited_s <= most_s


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-5e", "Fri, 99 Foo 99999 00:00:00 GMT"])
def test_a_retry_after_that_says_nothing_is_passed_over(chat: ProviderChat, text: str) -> None:
    chat.api.queue(Refuse(429, {"retry-after": text}), answer("Better."))
    chat.say()
    assert 0.5 <= chat.waits[0] <= 1.0


@pytest.mark.parametrize("asked", ["7200", "1e300"])
def test_a_wait_longer_than_the_limit_is_not_waited_for(chat: ProviderChat, asked: str) -> None:
    chat.api.queue(Refuse(429, {"retry-after": asked}))
    with pytest.raises(ModelUnavailable, match=r"asks to wait .* h\b"):
        chat.say()
    assert chat.waits == []


def test_a_service_that_says_not_to_retry_is_believed(chat: ProviderChat) -> None:
    chat.api.queue(Refuse(500, {"x-should-retry": "false"}))
    with pytest.raises(ModelUnavailable):
        chat.say()
    assert len(chat.api.requests) == 1


def test_a_proxys_error_page_is_made_again_and_not_shown(
    api: StandIn, open_conversation: Open
) -> None:
    api.queue(Page(502), Page(502))
    with pytest.raises(ModelUnavailable) as caught:
        open_conversation(timing=RequestTiming(limits=RetryLimits(attempts=2))).say()
    assert "502" in str(caught.value)
    assert "<" not in str(caught.value)


def test_an_event_stream_without_events_is_made_again(chat: ProviderChat) -> None:
    chat.api.queue(Page(200, "", "text/event-stream"), answer("Better."))
    assert chat.say().attempts == 2


def test_an_interrupt_while_it_waits_leaves_at_once(api: StandIn) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    api.queue(Refuse(529), answer("Never asked for."))
    model = AnthropicModel.open(
        "claude-opus-5-5",
        api_key=api.key,
        base_url=api.url,
        timing=RequestTiming(sleep=interrupted),
    )
    with pytest.raises(KeyboardInterrupt):
        ProviderChat(api=api, model=model, waits=[]).say()
    model.close()
    assert len(api.requests) == 1


def test_an_auth_token_serves_as_well(api: StandIn, open_conversation: Open) -> None:
    api.queue(answer("Hello."))
    assert open_conversation(api_key=None, auth_token=api.key).say().attempts == 1


def test_without_a_credential_it_says_what_to_set() -> None:
    with pytest.raises(ModelAuth, match=r"ANTHROPIC_API_KEY.*script:FILE"):
        AnthropicModel.open("claude-opus-5-5", api_key="")


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "kéy", "tab\t", "\x1b[0m"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ModelAuth, match="ANTHROPIC_API_KEY holds") as caught:
        AnthropicModel.open("claude-opus-5-5", api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "http://", "/path", "http://[::1"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="base URL"):
        AnthropicModel.open("claude-opus-5-5", api_key="k", base_url=url)


def test_a_base_url_may_have_a_path(api: StandIn, open_conversation: Open) -> None:
    with pytest.raises(ModelRefusedRequest):
        open_conversation(base_url=f"{api.url}/gateway").say()
    assert api.requests[0].path == "/gateway/v1/messages"


def test_the_environment_is_not_looked_into(api: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", api.key)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
    with pytest.raises(ModelAuth):
        AnthropicModel.open("claude-opus-5-5")
    model = AnthropicModel.open("claude-opus-5-5", api_key="given")
    assert str(model._client.base_url).rstrip("/") == "https://api.anthropic.com"
    model.close()
