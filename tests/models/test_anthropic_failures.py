"""Each way the service can fail, through the real SDK: what is made again, what ends the run."""

import re
import socket
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from agent.errors import (
    ModelAuth,
    ModelBilling,
    ModelError,
    ModelRefusedRequest,
    ModelUnavailable,
    UsageError,
)
from agent.messages import Discarded, Retrying, ToolUse
from agent.models.anthropic import AnthropicModel
from agent.models.retrying import RetryLimits
from models.conftest import Talk
from standin import THE_END, Break, Call, How, Page, Refuse, StandIn, answer

Open = Callable[..., Talk]

CALL = answer("I will.", Call("bash", {"command": "rm -rf build"}))
EVERY_EVENT = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
)
ENDING = [
    How.DROP,
    How.RESET,
    How.END,
    How.ERROR,
    How.GARBAGE,
    How.NO_OBJECT,
    How.MID_EVENT,
]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_passing_failure_is_made_again(api: StandIn, talk: Talk, status: int) -> None:
    api.queue(Refuse(status), answer("Better."))
    reply = talk.say()
    assert reply.attempts == 2
    (retrying,) = (event for event in talk.events if isinstance(event, Retrying))
    assert (retrying.attempt, retrying.wait_s) == (1, talk.waits[0])
    assert str(status) in retrying.reason
    assert api.requests[0].body == api.requests[1].body


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, ModelRefusedRequest, "as the test asked"),
        (401, ModelAuth, "check ANTHROPIC_API_KEY"),
        (402, ModelBilling, "balance"),
        (403, ModelAuth, "another key or model"),
        (404, ModelRefusedRequest, "is 'claude-opus-5-5' a model of"),
        (413, ModelRefusedRequest, "smaller parts"),
        (422, ModelRefusedRequest, "as the test asked"),
        (501, ModelRefusedRequest, "as the test asked"),
    ],
)
def test_a_lasting_failure_ends_the_run_with_one_line(
    api: StandIn, talk: Talk, status: int, kind: type[ModelError], hint: str
) -> None:
    api.queue(Refuse(status), answer("Never asked for."))
    with pytest.raises(kind) as caught:
        talk.say()
    message = str(caught.value)
    assert hint in message
    assert str(status) in message
    assert "request req_0001" in message
    assert "\n" not in message
    assert api.key not in message
    assert (len(api.requests), talk.waits) == (1, [])


@pytest.mark.parametrize("how", ENDING)
@pytest.mark.parametrize("before", EVERY_EVENT)
def test_torn_tool_call_is_never_returned(api: StandIn, talk: Talk, how: How, before: str) -> None:
    api.queue(Break(how, before=before, answer=CALL), answer("Safe."))
    reply = talk.say()
    assert reply.attempts == 2
    assert not [block for block in reply.message.blocks if isinstance(block, ToolUse)]


@pytest.mark.parametrize("how", [How.HANG, How.PING])
@pytest.mark.parametrize("before", ["message_start", "content_block_stop", "message_stop"])
def test_a_hanging_stream_is_found(api: StandIn, open_talk: Open, how: How, before: str) -> None:
    talk = open_talk(read_timeout_s=0.6, reply_timeout_s=1.0)
    api.queue(Break(how, before=before, answer=CALL), answer("Safe."))
    assert talk.say().attempts == 2
    (retrying,) = (event for event in talk.events if isinstance(event, Retrying))
    assert "did not answer in time" in retrying.reason


@pytest.mark.parametrize("how", [How.DROP, How.RESET, How.HANG])
def test_a_connection_that_ends_before_the_headers_is_made_again(
    api: StandIn, open_talk: Open, how: How
) -> None:
    api.queue(Break(how), answer("Better."))
    assert open_talk(read_timeout_s=0.7).say().attempts == 2


@pytest.mark.parametrize("how", [How.END, How.DROP, How.ERROR])
def test_what_a_broken_stream_used_is_told(api: StandIn, talk: Talk, how: How) -> None:
    api.queue(Break(how, before="message_stop"), answer("Better."))
    talk.say()
    (void,) = (event for event in talk.events if isinstance(event, Discarded))
    assert void.usage.input_tokens == api.requests[0].usage["input_tokens"]
    assert void.usage.output_tokens > 1


def test_nothing_is_void_where_nothing_had_begun(api: StandIn, talk: Talk) -> None:
    api.queue(Refuse(529), Break(How.DROP, before="message_start"), answer("Better."))
    talk.say()
    assert not [event for event in talk.events if isinstance(event, Discarded)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("invalid_request_error", ModelRefusedRequest),
        ("authentication_error", ModelAuth),
        ("billing_error", ModelBilling),
        ("permission_error", ModelAuth),
    ],
)
def test_an_error_event_that_no_retry_mends_ends_the_run(
    api: StandIn, talk: Talk, error: str, kind: type[ModelError]
) -> None:
    api.queue(Break(How.ERROR, before="content_block_stop", error=error))
    with pytest.raises(kind, match="as the test asked"):
        talk.say()
    assert len(api.requests) == 1


@pytest.mark.parametrize("error", ["overloaded_error", "api_error", "rate_limit_error", "new_one"])
def test_an_error_event_that_may_pass_is_made_again(api: StandIn, talk: Talk, error: str) -> None:
    api.queue(Break(How.ERROR, before="content_block_stop", error=error), answer("Better."))
    assert talk.say().attempts == 2


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
    api: StandIn, talk: Talk, headers: dict[str, str], least_s: float, most_s: float
) -> None:
    api.queue(Refuse(429, headers), answer("Better."))
    talk.say()
    (waited_s,) = talk.waits
    assert least_s <= waited_s <= most_s


@pytest.mark.parametrize(("ahead_s", "least_s", "most_s"), [(250, 100, 275), (-100, 0, 0)])
def test_retry_after_may_be_a_date(
    api: StandIn, talk: Talk, ahead_s: int, least_s: float, most_s: float
) -> None:
    date = formatdate(time.time() + ahead_s, usegmt=True)
    api.queue(Refuse(429, {"retry-after": date}), answer("Better."))
    talk.say()
    (waited_s,) = talk.waits
    assert least_s <= waited_s <= most_s


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-5e", "Fri, 99 Foo 99999 00:00:00 GMT"])
def test_a_retry_after_that_says_nothing_is_passed_over(
    api: StandIn, talk: Talk, text: str
) -> None:
    api.queue(Refuse(429, {"retry-after": text}), answer("Better."))
    talk.say()
    assert 0.5 <= talk.waits[0] <= 1.0


@pytest.mark.parametrize("asked", ["7200", "1e300"])
def test_a_wait_longer_than_the_limit_is_not_waited_for(
    api: StandIn, talk: Talk, asked: str
) -> None:
    api.queue(Refuse(429, {"retry-after": asked}))
    with pytest.raises(ModelUnavailable, match=r"asks to wait .* hours"):
        talk.say()
    assert talk.waits == []


def test_it_gives_up_after_the_stated_number_of_attempts(api: StandIn, open_talk: Open) -> None:
    talk = open_talk(limits=RetryLimits(attempts=4))
    api.queue(*[Refuse(529)] * 5)
    with pytest.raises(ModelUnavailable, match=r"529 overloaded_error.*gave up after 4 attempts"):
        talk.say()
    assert (len(api.requests), len(talk.waits)) == (4, 3)


def test_the_sdk_makes_no_retries_of_its_own(api: StandIn, open_talk: Open) -> None:
    api.queue(Refuse(500), answer("Never asked for."))
    with pytest.raises(ModelUnavailable):
        open_talk(limits=RetryLimits(attempts=1)).say()
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "enforced_spend_limit_reached", ModelBilling),
        (429, "contract_spend_limit_reached", ModelBilling),
        (400, "organization_on_hold", ModelAuth),
    ],
)
def test_a_code_that_names_a_lasting_cause_beats_the_status(
    api: StandIn, talk: Talk, status: int, code: str, kind: type[ModelError]
) -> None:
    api.queue(Refuse(status, code=code))
    with pytest.raises(kind):
        talk.say()
    assert talk.waits == []


def test_a_service_that_says_not_to_retry_is_believed(api: StandIn, talk: Talk) -> None:
    api.queue(Refuse(500, {"x-should-retry": "false"}))
    with pytest.raises(ModelUnavailable):
        talk.say()
    assert len(api.requests) == 1


def test_a_proxys_error_page_is_made_again_and_not_shown(api: StandIn, open_talk: Open) -> None:
    api.queue(Page(502), Page(502))
    with pytest.raises(ModelUnavailable) as caught:
        open_talk(limits=RetryLimits(attempts=2)).say()
    assert "502" in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.parametrize("page", [Page(200), Page(200, "", "")])
def test_an_answer_that_is_no_event_stream_points_at_the_base_url(
    api: StandIn, talk: Talk, page: Page
) -> None:
    api.queue(page)
    with pytest.raises(ModelRefusedRequest, match="check the base URL"):
        talk.say()
    assert len(api.requests) == 1


def test_an_event_stream_without_events_is_made_again(api: StandIn, talk: Talk) -> None:
    api.queue(Page(200, "", "text/event-stream"), answer("Better."))
    assert talk.say().attempts == 2


def test_the_services_words_cannot_steer_the_terminal(api: StandIn, talk: Talk) -> None:
    api.queue(Refuse(400, message="\x1b[2Jcleared\r\n\x07" + "long " * 1000 + "\u202e"))
    with pytest.raises(ModelRefusedRequest) as caught:
        talk.say()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500


def test_a_reply_without_end_is_cut_off(
    api: StandIn, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.models.transport.LARGEST_REPLY_BYTES", 2000)
    api.queue(answer("x" * 3000))
    with pytest.raises(ModelUnavailable, match="more than 2000 bytes"):
        talk.say()
    assert len(api.requests) == 1


def test_an_interrupt_while_it_waits_leaves_at_once(api: StandIn) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    api.queue(Refuse(529), answer("Never asked for."))
    model = AnthropicModel.open(
        "claude-opus-5-5", api_key=api.key, base_url=api.url, sleep=interrupted
    )
    with pytest.raises(KeyboardInterrupt):
        Talk(model=model, waits=[]).say()
    model.close()
    assert len(api.requests) == 1


@pytest.mark.parametrize("how", [How.DROP, How.HANG, How.GARBAGE, How.ERROR])
def test_a_failure_after_the_last_event_costs_nothing(
    api: StandIn, open_talk: Open, how: How
) -> None:
    api.queue(Break(how, before=THE_END, answer=answer("Whole.")))
    assert open_talk(read_timeout_s=1.5).say().attempts == 1


def test_an_unreachable_service_is_named(open_talk: Open) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        talk = open_talk(base_url=url, limits=RetryLimits(attempts=2))
        with pytest.raises(ModelUnavailable, match=re.escape(url)):
            talk.say()


def test_the_wrong_key_is_an_error_of_the_key(api: StandIn, open_talk: Open) -> None:
    with pytest.raises(ModelAuth, match="check ANTHROPIC_API_KEY") as caught:
        open_talk(api_key="another-key").say()
    assert "another-key" not in str(caught.value)


def test_an_auth_token_serves_as_well(api: StandIn, open_talk: Open) -> None:
    api.queue(answer("Hello."))
    assert open_talk(api_key=None, auth_token=api.key).say().attempts == 1


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


def test_a_base_url_may_have_a_path(api: StandIn, open_talk: Open) -> None:
    with pytest.raises(ModelRefusedRequest):
        open_talk(base_url=f"{api.url}/gateway").say()
    assert api.requests[0].path == "/gateway/v1/messages"


def test_loopback_is_reached_whatever_proxies_the_environment_names(
    api: StandIn, open_talk: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    api.queue(answer("Hello."))
    assert open_talk().say().attempts == 1


def test_the_environment_is_not_looked_into(api: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", api.key)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
    with pytest.raises(ModelAuth):
        AnthropicModel.open("claude-opus-5-5")
    model = AnthropicModel.open("claude-opus-5-5", api_key="given")
    assert str(model._client.base_url).rstrip("/") == "https://api.anthropic.com"
    model.close()
