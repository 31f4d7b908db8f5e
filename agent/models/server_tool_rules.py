"""What a policy lists under ``server_tools``, before the run: whether the model's service has it.

Pure. Refuses to know how such a tool is asked for (a provider's own module).
"""

from collections.abc import Mapping
from typing import Final

from agent.errors import UsageError
from agent.models.open_model import Host
from policies.policy import SERVER_TOOLS, Policy

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
