"""The services that every scenario is played on: each by its stand-in, SDK and variables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from standins.anthropic import listing
from standins.anthropic.server import StandIn
from standins.exchange.server import Exchange, Recorded
from standins.openai.server import StandInOpenAI
from standins.responses.server import StandInResponses


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    name: str
    model: str
    """For ``-m``."""
    open: Callable[[], Exchange]
    section: str
    """Of config.yaml."""
    url_variable: str
    key_variable: str

    listed: Callable[[str], Mapping[str, Any]]
    """A row of the service's list, of a model's name."""

    @property
    def model_name(self) -> str:
        """As the service calls it."""
        return self.model.partition(":")[2]

    def environ(self, service: Exchange) -> Mapping[str, str]:
        return {self.url_variable: service.url, self.key_variable: service.key}

    def configuration(self, service: Exchange, key: str) -> str:
        """A config.yaml that says the same, with the key in a variable of another name."""
        return (
            f"version: 1\nmodel: {self.model}\nproviders:\n"
            f"  {self.section}: {{base_url: '{service.url}', api_key_env: {key}}}\n"
        )


PROVIDERS = (
    Provider(
        name="anthropic",
        model="anthropic:claude-opus-5-5",
        open=StandIn,
        section="anthropic",
        url_variable="ANTHROPIC_BASE_URL",
        key_variable="ANTHROPIC_API_KEY",
        listed=lambda name: listing.model(name, name),
    ),
    Provider(
        name="openai",
        model="openai:gpt-4",
        open=StandInOpenAI,
        section="openai",
        url_variable="OPENAI_BASE_URL",
        key_variable="OPENAI_API_KEY",
        listed=lambda name: {"id": name, "object": "model", "owned_by": "team"},
    ),
    Provider(
        name="responses",
        model="responses:gpt-5.4",
        open=StandInResponses,
        section="openai",
        url_variable="OPENAI_BASE_URL",
        key_variable="OPENAI_API_KEY",
        listed=lambda name: {"id": name, "object": "model", "owned_by": "team"},
    ),
)


def new_words(requests: Sequence[Recorded]) -> list[str]:
    """For each request, every text in it that the one before did not have, whatever its shape."""
    words: list[str] = []
    known: set[str] = set()
    for request in requests:
        texts = list(_texts(request.body.get("messages") or request.body["input"]))
        words.append("\n".join(text for text in texts if text not in known))
        known.update(texts)
    return words


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
