"""What the tests of the models share: a stand-in, a model on it, and a clock that does not wait."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from agent.models.anthropic.client import AnthropicModel
from agent.models.interface import (
    Message,
    Reply,
    Request,
    StreamEvent,
    Text,
    TextDelta,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from agent.models.openai.client import OpenAIModel
from agent.models.service import RequestTiming
from fakes.services import ANTHROPIC, OPENAI, RESPONSES, SERVICES, ProviderService
from standins.anthropic.server import StandIn
from standins.exchange.server import Exchange
from standins.openai.server import StandInOpenAI
from standins.responses.server import StandInResponses

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
"""One pixel."""

TOOL = ToolSpec(
    name="bash",
    description="Run a command.",
    schema={
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
        "additionalProperties": False,
    },
)


AT_ONCE = RequestTiming(sleep=lambda _: None)
"""For a model whose waits between attempts are of no interest."""


@dataclass
class ProviderChat:
    """A model on the stand-in, with all that it did on the way."""

    api: Any
    """The stand-in."""
    model: AnthropicModel | OpenAIModel
    waits: list[float]
    events: list[StreamEvent] = field(default_factory=list)

    def say(self, *messages: Message, system: str = "You are tested.", **fields: Any) -> Reply:
        request = Request(
            system=system,
            tools=fields.pop("tools", (TOOL,)),
            messages=messages or (user("Hello."),),
            max_tokens=fields.pop("max_tokens", 1000),
            server_tools=fields.pop("server_tools", ()),
        )
        return self.model.reply(request, self.events.append)

    @property
    def shown(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))


def user(*texts: str, results: tuple[ToolResult, ...] = ()) -> UserMessage:
    return UserMessage(blocks=(*results, *(Text(text=text) for text in texts)))


def result(tool_use_id: str, text: str = "ok", *, is_error: bool = False) -> ToolResult:
    return ToolResult(tool_use_id=tool_use_id, text=text, is_error=is_error)


def open_on(
    opener: Callable[..., AnthropicModel | OpenAIModel],
    api: Exchange,
    *,
    timing: RequestTiming | None = None,
    **options: Any,
) -> ProviderChat:
    """A model on a stand-in. It does not wait: how long it would have is in ``waits``."""
    waits: list[float] = []
    timing = replace(timing or RequestTiming(), sleep=waits.append)
    return ProviderChat(api=api, model=opener(api, timing=timing, **options), waits=waits)


@contextmanager
def opening(service: ProviderService) -> Iterator[Callable[..., ProviderChat]]:
    """Opens models of a provider, on a stand-in of one's own, and closes them."""
    opened: list[AnthropicModel | OpenAIModel] = []

    def open_(api: Exchange, name: str = service.name, **options: Any) -> ProviderChat:
        conversation = open_on(service.open, api, model=name, **options)
        opened.append(conversation.model)
        return conversation

    yield open_
    for model in opened:
        model.close()


def chat_on(service: ProviderService) -> Callable[..., Iterator[ProviderChat]]:
    """A fixture: a model of a provider, on a stand-in of its own."""

    @pytest.fixture
    def chat() -> Iterator[ProviderChat]:
        with service.stand_in() as api, opening(service) as open_:
            yield open_(api)

    return chat


claude_chat, openai_chat, responses_chat = map(chat_on, SERVICES)


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def open_conversation(api: StandIn) -> Iterator[Callable[..., ProviderChat]]:
    with opening(ANTHROPIC) as open_:
        yield partial(open_, api)


@pytest.fixture
def openai_api() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as standin:
        yield standin


@pytest.fixture
def open_openai() -> Iterator[Callable[..., ProviderChat]]:
    with opening(OPENAI) as open_:
        yield open_


@pytest.fixture
def responses_api() -> Iterator[StandInResponses]:
    with StandInResponses() as standin:
        yield standin


@pytest.fixture
def open_responses() -> Iterator[Callable[..., ProviderChat]]:
    with opening(RESPONSES) as open_:
        yield open_
