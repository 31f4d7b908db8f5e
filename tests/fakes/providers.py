"""What the tests of the models share: a stand-in, a model on it, and a clock that does not wait."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
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
from agent.models.openai.responses.api import RESPONSES
from agent.models.service import RequestTiming
from standins.anthropic.server import StandIn
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
class ProviderConversation:
    """A model on the stand-in, with all that it did on the way."""

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
    kind: type[AnthropicModel] | type[OpenAIModel],
    name: str,
    service: StandIn | StandInOpenAI | StandInResponses,
    *,
    timing: RequestTiming | None = None,
    **options: Any,
) -> ProviderConversation:
    """A model on a stand-in. It does not wait: how long it would have is in ``waits``."""
    waits: list[float] = []
    timing = replace(timing or RequestTiming(), sleep=waits.append)
    options = {"api_key": service.key, "base_url": service.url, **options}
    return ProviderConversation(model=kind.open(name, timing=timing, **options), waits=waits)


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def open_conversation(api: StandIn) -> Iterator[Callable[..., ProviderConversation]]:
    opened: list[AnthropicModel | OpenAIModel] = []

    def open_(name: str = "claude-opus-5-5", **options: Any) -> ProviderConversation:
        conversation = open_on(AnthropicModel, name, api, **options)
        opened.append(conversation.model)
        return conversation

    yield open_
    for model in opened:
        model.close()


@pytest.fixture
def conversation(open_conversation: Callable[..., ProviderConversation]) -> ProviderConversation:
    return open_conversation()


OPENAI_MODEL = "gpt-4o"


@pytest.fixture
def openai_api() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as standin:
        yield standin


@pytest.fixture
def open_openai() -> Iterator[Callable[..., ProviderConversation]]:
    """On a stand-in of one's own."""
    opened: list[AnthropicModel | OpenAIModel] = []

    def open_(api: StandInOpenAI, name: str = OPENAI_MODEL, **options: Any) -> ProviderConversation:
        conversation = open_on(OpenAIModel, name, api, **options)
        opened.append(conversation.model)
        return conversation

    yield open_
    for model in opened:
        model.close()


@pytest.fixture
def openai_conversation(
    openai_api: StandInOpenAI, open_openai: Callable[..., ProviderConversation]
) -> ProviderConversation:
    return open_openai(openai_api)


RESPONSES_MODEL = "gpt-5.4"


@pytest.fixture
def responses_api() -> Iterator[StandInResponses]:
    with StandInResponses() as standin:
        yield standin


@pytest.fixture
def open_responses() -> Iterator[Callable[..., ProviderConversation]]:
    """On a stand-in of one's own."""
    opened: list[AnthropicModel | OpenAIModel] = []

    def open_(
        api: StandInResponses, name: str = RESPONSES_MODEL, **options: Any
    ) -> ProviderConversation:
        conversation = open_on(OpenAIModel, name, api, api=RESPONSES, **options)
        opened.append(conversation.model)
        return conversation

    yield open_
    for model in opened:
        model.close()


@pytest.fixture
def responses_conversation(
    responses_api: StandInResponses, open_responses: Callable[..., ProviderConversation]
) -> ProviderConversation:
    return open_responses(responses_api)
