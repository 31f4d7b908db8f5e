"""How a response ends: whole, incomplete, refused or failed, each as the run must know it."""

from collections.abc import Callable

import pytest

from agent.errors import ModelAuth, ModelError, ModelRefusedRequest
from agent.models.interface import AssistantMessage, Discarded, Retrying, StopReason, Text, ToolUse
from fakes.providers import ProviderChat, user
from standins.exchange.replies import Behaviour, Call, Refuse, Thought, answer
from standins.responses.quirks import ResponsesQuirk
from standins.responses.server import StandInResponses

LS = Call("bash", {"command": "ls"})


def calls_of(message: AssistantMessage) -> list[ToolUse]:
    return [block for block in message.blocks if isinstance(block, ToolUse)]


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("max_output_tokens", StopReason.MAX_TOKENS),
        ("content_filter", StopReason.REFUSAL),
        ("max_messages", StopReason.PAUSE_TURN),
        ("steered", StopReason.PAUSE_TURN),
        ("context_length_exceeded", StopReason.CONTEXT_WINDOW),
        ("something_new", StopReason.MAX_TOKENS),
    ],
)
def test_incomplete_is_never_whole_whatever_the_reason(
    chat: ProviderChat, reason: str, stop: StopReason
) -> None:
    chat.api.queue(answer("I", Call("bash", written='{"command": "rm -rf bui'), stop=reason))
    reply = chat.say()
    (call,) = calls_of(reply.message)
    assert reply.stop is stop
    assert call.problem is not None
    assert (reply.detail != "") is (stop is StopReason.REFUSAL)


def test_what_a_service_calls_complete_though_its_limit_cut_it_is_not_whole(
    open_responses: Callable[..., ProviderChat],
) -> None:
    with StandInResponses(ResponsesQuirk.NEVER_INCOMPLETE) as api:
        torn = Call("bash", written='{"command": "rm"}')
        api.queue(answer("I", torn, stop="max_output_tokens"), answer("I", torn))
        conversation = open_responses(api)
        cut, whole = conversation.say(), conversation.say()
    assert (cut.stop, whole.stop) == (StopReason.MAX_TOKENS, StopReason.TOOL_USE)
    (call,) = calls_of(cut.message)
    assert "cut off" in (call.problem or "")


def test_incomplete_for_a_failure_of_the_service_is_made_again(chat: ProviderChat) -> None:
    chat.api.queue(answer("I", stop="server_overloaded"), answer("Better."))
    assert chat.say().attempts == 2


def test_a_thought_that_the_limit_cut_does_not_come_back_alone(chat: ProviderChat) -> None:
    chat.api.queue(answer(Thought("Hm."), stop="max_output_tokens"), answer("Done."))
    reply = chat.say(user("Go."))
    assert reply.stop is StopReason.MAX_TOKENS
    chat.say(user("Go."), reply.message, user("Go on."))
    assert chat.api.requests[1].fault is None


def test_a_refusal_is_one_with_its_words(chat: ProviderChat) -> None:
    chat.api.queue(answer("Well.", LS, stop_details={"refusal": "I can't."}))
    reply = chat.say()
    assert (reply.stop, reply.detail) == (StopReason.REFUSAL, "I can't.")
    assert Text(text="I can't.") in reply.message.blocks
    (call,) = calls_of(reply.message)
    assert call.problem == "the reply ended in a refusal"
    assert chat.shown == "Well.I can't."


def failed(code: str, message: str = "as the test asked") -> Behaviour:
    return answer("I begin", stop="failed", stop_details={"code": code, "message": message})


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded", "something_new"])
def test_a_response_that_failed_for_a_while_is_made_again_and_counted(
    chat: ProviderChat, code: str
) -> None:
    chat.api.queue(failed(code), answer("Better."))
    assert chat.say().message.blocks == (Text(text="Better."),)
    (void,) = (event for event in chat.events if isinstance(event, Discarded))
    assert void.usage.output_tokens > 0
    assert void.usage.uncounted_replies == 0
    (again,) = (event for event in chat.events if isinstance(event, Retrying))
    assert "as the test asked" in again.reason


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("invalid_prompt", "no", ModelRefusedRequest),
        ("invalid_image", "no", ModelRefusedRequest),
        ("bio_policy", "no", ModelRefusedRequest),
        ("invalid_api_key", "no", ModelAuth),
        ("rate_limit_exceeded", "Request too large for gpt-5.4 on tokens", ModelRefusedRequest),
    ],
)
def test_a_response_that_failed_for_good_ends_the_run(
    chat: ProviderChat, code: str, message: str, kind: type[ModelError]
) -> None:
    chat.api.queue(failed(code, message), answer("Never asked for."))
    with pytest.raises(kind):
        chat.say()
    assert len(chat.api.requests) == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        failed("context_length_exceeded", "Your input exceeds the context window of this model."),
        Refuse(400, message="Your input exceeds the context window of this model."),
        Refuse(400, code="context_length_exceeded"),
    ],
)
def test_a_full_window_is_the_reply_that_stops_for_it(
    chat: ProviderChat, behaviour: Behaviour
) -> None:
    chat.api.queue(behaviour)
    reply = chat.say()
    assert (reply.stop, reply.message.blocks) == (StopReason.CONTEXT_WINDOW, ())
