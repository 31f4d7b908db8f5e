"""Who runs a model: the provider itself, a cloud, or somebody behind another base URL.

Pure. The same name costs and can do different things with each of them; whether a run may go with
what its policy lists under ``server_tools`` is asked before it begins. Refuses to know how any of
them is reached (`agent.models.open_model`), and how such a tool is asked for (a provider's own
module).
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from agent.config.values import Bedrock, Configuration, Vertex
from agent.errors import UsageError
from policies.policy import SERVER_TOOLS, Policy

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

_HAVE: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": SERVER_TOOLS,
    "responses": SERVER_TOOLS,
}
"""By provider, as it stands before the colon of a model's name."""

_ONLY_WITH: Final[Mapping[tuple[str, str], str]] = {("responses", "web_fetch"): "web_search"}
"""A provider's tool that is a part of another: the search of the Responses API opens pages too."""

_PAID_BY_TOKENS: Final = frozenset({"web_fetch"})
"""Source: the API's page on pricing (October 2026): a search costs by the piece, run code by the
hour, a fetched page nothing but its tokens."""


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
    return Host.PROVIDER if url is None or is_of(url, _PUBLIC_HOSTS[provider]) else Host.GATEWAY


def is_of(url: str, domain: str) -> bool:
    """Whether a URL is of that domain, or of a region of it."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host == domain or host.endswith(f".{domain}")


def refuse_what_cannot_be(policy: Policy, model: str, host: Host = Host.PROVIDER) -> None:
    """Before the run: a tool that the service does not have, or whose price nothing bounds.

    Args:
        model: as the operator wrote it, ``PROVIDER:NAME``.
        host: who runs it. Both clouds pass a request on to the model alone: Bedrock has none of
            these tools, Vertex AI an older search (their pages on Claude, seen November 2026).

    Raises:
        UsageError: it says what to take out.
    """
    provider = model.partition(":")[0]
    lacking = [tool for tool in policy.server_tools if tool not in _HAVE.get(provider, ())]
    if policy.server_tools and host.is_cloud:
        raise UsageError(
            f"policy {policy.name} lists server_tools {', '.join(policy.server_tools)}, and models "
            f"on {host.value} have none of these here: take them out, or use Anthropic's own API"
        )
    if lacking:
        raise UsageError(
            f"policy {policy.name} lists server_tools {', '.join(lacking)}, and {provider}: models "
            "have none of these here: take them out, or use an anthropic: or responses: model"
        )
    for tool in policy.server_tools:
        needed = _ONLY_WITH.get((provider, tool))
        if needed is not None and needed not in policy.server_tools:
            raise UsageError(
                f"policy {policy.name} lists server_tools {tool} without {needed}, of which it is "
                f"a part with {provider}: models: list both, or take it out"
            )
    unpriced = [tool for tool in policy.server_tools if tool not in _PAID_BY_TOKENS]
    if unpriced and policy.budget.usd is not None:
        raise UsageError(
            f"policy {policy.name} has budget.usd and lists server_tools {', '.join(unpriced)}, "
            "which cost more than their tokens: take out one or the other"
        )
