"""What compatible services say against a request, each in its own words."""

import json
from typing import Any

import pytest

from agent.errors import ModelRefusedRequest
from agent.models.interface import StopReason
from fakes.providers import ProviderChat
from standins.exchange.replies import Page, answer

GEMINI = {
    "code": 400,
    "message": "The input token count (1200000) exceeds the maximum number of tokens allowed "
    "(1048576).",
    "status": "INVALID_ARGUMENT",
}
TOO_LONG: dict[str, Any] = {
    "Gemini": {"error": GEMINI},
    "Gemini, as a list": [{"error": GEMINI}],
    "xAI": {
        "code": "Client specified an invalid argument",
        "error": "This model's maximum prompt length is 131072 but the request contains 200000 "
        "tokens.",
    },
    "vLLM": {
        "error": {
            "message": "You passed 33000 input tokens and requested 1000 output tokens. However, "
            "the model's context length is only 32768 tokens, resulting in a maximum input length "
            "of 31768 tokens.",
            "type": "BadRequestError",
            "code": 400,
        }
    },
    "DashScope": {
        "error": {
            "message": "Range of input length should be [1, 129024]",
            "code": "invalid_parameter_error",
        }
    },
    "Groq": {"error": {"message": "Please reduce the length of the messages or completion."}},
    "Mistral": {
        "message": "Prompt contains 40960 tokens and 0 draft tokens, too large for model with "
        "32768 maximum context length"
    },
    "by numbers alone": {"message": "got 200,123 tokens, at hand are 131,072"},
}


def refused(body: object, status: int = 400) -> Page:
    return Page(status, json.dumps(body), "application/json")


@pytest.mark.parametrize("service", TOO_LONG)
def test_a_full_window_is_known_in_every_services_words(chat: ProviderChat, service: str) -> None:
    chat.api.queue(refused(TOO_LONG[service]))
    assert chat.say().stop is StopReason.CONTEXT_WINDOW
    assert chat.waits == []


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ("max_new_tokens must be <= 4096", 4096),
        ("Range of max_tokens should be [1, 8192]", 8192),
        ("requested 32000, this model gives up to 8,192 tokens in an answer", 8192),
        ("maxOutputTokens: 32000 is out of the supported range from 1 to 8193", 8193),
    ],
)
def test_a_limit_on_the_answer_is_learnt_in_other_words(
    chat: ProviderChat, said: str, most: int
) -> None:
    chat.api.queue(refused({"error": {"message": said}}), answer("Done."))
    assert chat.say(max_tokens=32_000).attempts == 2
    assert chat.api.requests[-1].body["max_tokens"] == most


@pytest.mark.parametrize(
    ("said", "requests"),
    [
        # A run goes over to calls in text at once: nothing is lost where it might have passed.
        ("tools param requires --jinja flag", 1),
        ("image input is not supported - hint: you may need to provide the mmproj", 2),
    ],
)
def test_a_setting_that_is_told_as_an_inner_error_is_told_soon(
    chat: ProviderChat, said: str, requests: int
) -> None:
    error = {"code": 500, "message": said, "type": "server_error"}
    chat.api.queue(*[refused({"error": error}, 500)] * 8)
    with pytest.raises(ModelRefusedRequest, match=said):
        chat.say()
    assert len(chat.api.requests) == requests


def test_a_full_window_that_is_told_as_an_inner_error_is_one(chat: ProviderChat) -> None:
    said = "the request exceeds the available context size. try increasing the context size"
    chat.api.queue(refused({"error": {"code": 500, "message": said}}, 500))
    assert chat.say().stop is StopReason.CONTEXT_WINDOW
    assert len(chat.api.requests) == 1


def test_an_inner_error_that_says_nothing_of_the_kind_may_pass(chat: ProviderChat) -> None:
    error = {"error": {"code": 500, "message": "Internal server error", "type": "server_error"}}
    chat.api.queue(*[refused(error, 500)] * 3, answer("Better."))
    assert chat.say().attempts == 4
