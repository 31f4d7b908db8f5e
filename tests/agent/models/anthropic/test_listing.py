"""What Anthropic's API, or a gateway that says it is one, lists."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import ModelAuth, ModelError, ModelRefusedRequest, ModelUnavailable
from agent.models.anthropic import listing as anthropic_listing
from agent.models.transport import NotTheApiError
from fakes.providers import ProviderChat
from standins.anthropic import listing
from standins.anthropic.server import StandIn
from standins.exchange.replies import Page, Refuse

YES = {"supported": True}
NO = {"supported": False}


def test_limits_and_capabilities_come_from_the_service(chat: ProviderChat) -> None:
    chat.api.models = [
        listing.model(
            "claude-opus-5-5",
            "Claude Opus 5.5",
            max_input_tokens=1_000_000,
            max_tokens=128_000,
        ),
        listing.model("claude-old", "Claude Old", lifecycle="deprecated"),
    ]
    chat.api.models[0]["capabilities"] = {"image_input": YES, "batch": NO, "new_thing": YES}
    first, second = chat.model.offered(chat.events.append)
    assert (first.id, first.name) == ("claude-opus-5-5", "Claude Opus 5.5")
    assert (first.context_tokens, first.output_tokens) == (1_000_000, 128_000)
    assert first.capabilities == ("image_input", "new_thing")
    assert (second.context_tokens, second.lifecycle) == (None, "deprecated")
    assert chat.api.requests[0].path == f"{listing.PATH}?limit=1000"


def test_every_page_is_asked_for_once(chat: ProviderChat) -> None:
    chat.api.models = [listing.model(f"m{number}") for number in range(2500)]
    assert [model.id for model in chat.model.offered(chat.events.append)] == [
        f"m{number}" for number in range(2500)
    ]
    assert len(chat.api.requests) == 3


def test_a_list_without_end_has_one(chat: ProviderChat) -> None:
    for number in range(50):
        page = {"data": [{"id": f"m{number}"}], "has_more": True, "last_id": f"m{number}"}
        chat.api.queue(Page(200, json.dumps(page), content_type="application/json"))
    with pytest.raises(ModelRefusedRequest, match="without end"):
        chat.model.offered(chat.events.append)
    assert len(chat.api.requests) == anthropic_listing.MOST_PAGES


def test_a_page_that_leads_to_itself_is_the_last() -> None:
    page = {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}
    asked: list[str | None] = []

    def answer(after: str | None) -> Any:
        asked.append(after)
        return page

    assert [model.id for model in anthropic_listing.offered(answer)] == ["a"]
    assert asked == [None, "a"]


@pytest.mark.parametrize(
    "answer", [None, [], "text", 7, {}, {"data": {}}, {"data": "abc"}, {"models": []}]
)
def test_what_is_no_list_of_models_is_told_so(answer: Any) -> None:
    with pytest.raises(NotTheApiError):
        anthropic_listing.offered(lambda _: answer)


@pytest.mark.parametrize("count", [True, -1, 0, "200000", 1.5, None, [], {}])
def test_a_limit_that_is_no_count_is_not_known(count: Any) -> None:
    page = {"data": [{"id": "a", "max_input_tokens": count, "max_tokens": count}]}
    (model,) = anthropic_listing.offered(lambda _: page)
    assert (model.context_tokens, model.output_tokens) == (None, None)


def test_entries_that_are_none_are_left_out() -> None:
    page: Any = {
        "data": [7, None, {}, {"id": 7}, [], {"id": "a", "capabilities": 7, "lifecycle": []}]
    }
    assert [model.id for model in anthropic_listing.offered(lambda _: page)] == ["a"]


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Refuse(401), ModelAuth),
        (Refuse(404), ModelRefusedRequest),
        (Refuse(500, headers={"x-should-retry": "false"}), ModelUnavailable),
        (Page(200), ModelError),
        (Page(200, "[" * 100_000, content_type="application/json"), ModelError),
        (Page(200, b"\xff\xfe", content_type="application/json"), ModelError),
        (Page(302, headers={"location": "http://127.0.0.1:1/v1/models"}), ModelRefusedRequest),
    ],
)
def test_failures_are_told_as_for_a_run(
    api: StandIn,
    open_conversation: Callable[..., ProviderChat],
    behaviour: Refuse | Page,
    error: type[ModelError],
) -> None:
    api.queue(*[behaviour] * 8)
    with pytest.raises(error):
        open_conversation().model.offered(lambda _: None)
