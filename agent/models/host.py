"""Who runs a model: the provider itself, a cloud, or somebody behind another base URL.

Pure. The same name costs and can do different things with each of them. Refuses to know how any of
them is reached (`agent.models.open_model`).
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from agent.config.values import Bedrock, Configuration, Vertex

_PUBLIC_HOSTS: Final = {
    "anthropic": "api.anthropic.com",
    "openai": "api.openai.com",
    "responses": "api.openai.com",
}
_URL_VARIABLES: Final = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "responses": "OPENAI_BASE_URL",
}


class Host(Enum):
    PROVIDER = "the provider"
    BEDROCK = "Bedrock"
    VERTEX = "Vertex AI"
    GATEWAY = "another base URL"
    """Whoever stands there may bill as it likes."""

    @property
    def is_cloud(self) -> bool:
        return self in {Host.BEDROCK, Host.VERTEX}


def host_of(model: str, *, environ: Mapping[str, str], configuration: Configuration) -> Host:
    """Who runs the model ``PROVIDER:NAME``."""
    provider = model.partition(":")[0]
    if provider not in _PUBLIC_HOSTS:
        return Host.PROVIDER
    service = configuration.anthropic if provider == "anthropic" else configuration.openai
    match service:
        case Bedrock():
            return Host.BEDROCK
        case Vertex():
            return Host.VERTEX
    url = environ.get(_URL_VARIABLES[provider]) or service.base_url
    return Host.PROVIDER if url is None or _is_of(url, _PUBLIC_HOSTS[provider]) else Host.GATEWAY


def _is_of(url: str, domain: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host == domain or host.endswith(f".{domain}")
