"""Each provider's service as a value: its stand-in, models on it, and its words for what all do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import anthropic

from agent.models.anthropic.client import AnthropicModel
from agent.models.openai.chat import CHAT
from agent.models.openai.client import OpenAIModel
from agent.models.openai.responses.api import RESPONSES as RESPONSES_API
from standins.anthropic import dialects, listing
from standins.anthropic.dialects import CloudStandIn
from standins.anthropic.server import StandIn
from standins.exchange.replies import Behaviour, Raw, Refuse, answer
from standins.exchange.server import Exchange
from standins.openai.server import StandInOpenAI
from standins.responses.server import StandInResponses


@dataclass(frozen=True, kw_only=True)
class ProviderService:
    provider: str
    """Before the colon of a model's name."""
    stand_in: Callable[..., Exchange]
    name: str
    """Of a model that the stand-in knows."""
    open_model: Callable[..., AnthropicModel | OpenAIModel]
    key_name: str
    """The environment variable of the key; its like for the base URL ends in ``BASE_URL``."""
    kinds: tuple[str, ...]
    """Of the events of words and a call, each of which an answer can break before: the first, one
    within the words, one before which the call is not whole, and the one that ends the answer."""
    before_call: tuple[str, ...]
    """Kinds before each of which a call is not whole, or not the answer."""
    length: str
    """The stop reason of an answer that was cut off."""
    refused: Behaviour
    full: Behaviour
    """The conversation fills the window."""
    kept: Callable[[object], Raw]
    """What goes back as it came, with this value somewhere in it."""
    section: str
    """Of config.yaml: where the service is named."""
    listed: Callable[[str], Mapping[str, Any]]
    """A row of the service's list, of a model's name."""

    @property
    def model(self) -> str:
        """For ``-m``."""
        return f"{self.provider}:{self.name}"

    @property
    def url_name(self) -> str:
        return self.key_name.replace("API_KEY", "BASE_URL")

    def environ(self, api: Exchange) -> dict[str, str]:
        return {self.url_name: api.url, self.key_name: api.key}

    def configuration(self, api: Exchange, key_name: str) -> str:
        """A config.yaml that says the same, with the key in a variable of another name."""
        return (
            f"version: 1\nmodel: {self.model}\nproviders:\n"
            f"  {self.section}: {{base_url: '{api.url}', api_key_env: {key_name}}}\n"
        )

    def open(self, api: Exchange, **options: Any) -> AnthropicModel | OpenAIModel:
        """A model on a stand-in; to be closed."""
        return self.open_model(
            **{"model": self.name, "api_key": api.key, "base_url": api.url, **options}
        )


def _chat(**options: Any) -> OpenAIModel:
    return OpenAIModel.open(api=CHAT, **options)


def _responses(**options: Any) -> OpenAIModel:
    return OpenAIModel.open(api=RESPONSES_API, **options)


SERVICES = (
    ProviderService(
        provider="anthropic",
        stand_in=StandIn,
        name="claude-opus-5-5",
        open_model=AnthropicModel.open,
        key_name="ANTHROPIC_API_KEY",
        kinds=("message_start", "content_block_delta", "content_block_stop", "message_stop"),
        before_call=("content_block_stop", "message_delta"),
        length="max_tokens",
        refused=answer("I can't help with that.", stop="refusal"),
        full=answer("hm", stop="model_context_window_exceeded"),
        kept=lambda value: Raw({"type": "hologram", "light": value}),
        section="anthropic",
        listed=lambda name: listing.model(name, name),
    ),
    ProviderService(
        provider="openai",
        stand_in=StandInOpenAI,
        name="gpt-4o",
        open_model=_chat,
        key_name="OPENAI_API_KEY",
        kinds=("role", "content", "call", "finish"),
        before_call=("call", "finish"),
        length="length",
        refused=answer(stop_details={"refusal": "I can't help with that."}),
        full=Refuse(400, code="context_length_exceeded"),
        kept=lambda value: Raw(
            {"choices": [{"index": 0, "delta": {"reasoning_details": [{"signature": value}]}}]}
        ),
        section="openai",
        listed=lambda name: {"id": name, "object": "model", "owned_by": "team"},
    ),
    ProviderService(
        provider="responses",
        stand_in=StandInResponses,
        name="gpt-5.4",
        open_model=_responses,
        key_name="OPENAI_API_KEY",
        kinds=(
            "response.created",
            "response.output_text.delta",
            "response.output_item.done",
            "response.completed",
        ),
        before_call=("response.output_item.done", "response.completed"),
        length="max_output_tokens",
        refused=answer(stop_details={"refusal": "I can't help with that."}),
        full=Refuse(400, code="context_length_exceeded"),
        kept=lambda value: Raw(
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x", "n": value}
        ),
        section="openai",
        listed=lambda name: {"id": name, "object": "model", "owned_by": "team"},
    ),
)

ANTHROPIC, OPENAI, RESPONSES = SERVICES


class BedrockStandIn(CloudStandIn):
    """Bedrock with a key of its own in place of signatures."""

    def __init__(self, *, key: str = "bedrock-key-1234") -> None:
        super().__init__(dialects.Bedrock(bearer=key))
        self.key = key


def _bedrock(*, model: str, **options: Any) -> AnthropicModel:
    return AnthropicModel.open_bedrock(model, region="eu-central-1", **options)


BEDROCK = replace(
    ANTHROPIC,
    provider="bedrock",
    stand_in=BedrockStandIn,
    name="eu.anthropic.claude-opus-5-5-v1:0",
    open_model=_bedrock,
    key_name="AWS_BEARER_TOKEN_BEDROCK",
)


class VertexStandIn(CloudStandIn):
    """Vertex AI, to which the token of an account is what a key is elsewhere."""

    def __init__(self, *, key: str = "ya29-example-token") -> None:
        super().__init__(dialects.Vertex(token=key))
        self.key = key


def _vertex(*, model: str, api_key: str, base_url: str, **options: Any) -> AnthropicModel:
    where = dialects.Vertex()
    opened = AnthropicModel.open_vertex(
        model,
        project=where.project,
        region=where.region,
        base_url=f"{base_url}/v1",
        **options,
    )
    client = opened._client
    assert isinstance(client, anthropic.AnthropicVertex)
    # As it is once Google's library was at the account's server: `test_clouds` has the way there.
    client.access_token = api_key
    return opened


VERTEX = replace(
    ANTHROPIC,
    provider="vertex",
    stand_in=VertexStandIn,
    open_model=_vertex,
    key_name="Google credentials",
)
CLOUDS = (BEDROCK, VERTEX)
