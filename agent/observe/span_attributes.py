"""What of a run may leave in a span: which attributes, and what may stand in each.

Names, counts, durations, codes and decisions. Every text that passes was written by the operator or
by Moonpool: never a task, a path, an argument, output, an error's words, or anything that a model,
a repository or a service made up. What an SDK starts to record of its own accord is not listed, and
does not leave.

Names follow OpenTelemetry's conventions for generative AI (opentelemetry-semantic-conventions
0.66b2), where they have one; that package calls them unstable, so they stand here as text.

Owns the lists. Refuses to know how a span is made or sent (`agent.observe.spans`).
"""

from collections.abc import Mapping, Sequence

from agent.models.interface import StopReason
from agent.record import outcome as outcomes
from agent.tools import registry
from sandbox.results import Ending

UNKNOWN = "unknown"
"""Stands for a tool that there is not: its name is the model's own word."""

NUMBERS = frozenset(
    {
        "gen_ai.request.max_tokens",
        "gen_ai.request.stream",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "http.response.status_code",
        "server.port",
        "moonpool.turn",
        "moonpool.turns",
        "moonpool.messages",
        "moonpool.attempts",
        "moonpool.retries",
        "moonpool.call",
        "moonpool.exit_code",
        "moonpool.kernel_enforced",
        "moonpool.kernel_refusals",
        "moonpool.patch.bytes",
        "moonpool.patch.files",
        "moonpool.patch.findings",
        "moonpool.patch.refused",
    }
)
"""Attributes that leave with a number or a yes or no in them."""

OPERATORS = frozenset(
    {
        "gen_ai.agent.name",
        "gen_ai.conversation.id",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.tool.type",
        "moonpool.policy",
        "moonpool.version",
        "server.address",
    }
)
"""Attributes whose text is the operator's or a constant of ours or of an SDK."""

WORDS: Mapping[str, frozenset[str]] = {
    "gen_ai.tool.name": frozenset({*registry.ALL, UNKNOWN}),
    "gen_ai.response.finish_reasons": frozenset(StopReason),
    "anthropic.message.stop_reason": frozenset(StopReason),
    "moonpool.kernel_policy": frozenset({"require", "prefer"}),
    "moonpool.decision": frozenset({"allow", "ask", "deny"}),
    "moonpool.approval": frozenset({"approved", "approved before", "declined"}),
    "moonpool.ending": frozenset(Ending),
}
"""Attributes whose text is one of a list. A service may answer with anything: it is asked here."""

_ERRORS = frozenset(
    {
        *("client_timeout_error", "connection_error", "client_error", "api_error"),
        *("invalid_request_error", "authentication_error", "billing_error", "permission_error"),
        *("not_found_error", "request_too_large", "rate_limit_error", "timeout_error"),
        *("overloaded_error", "no reply", "tool error", "killed"),
        *("unknown tool", "malformed", "denied", "not approved", "torn", "stopped"),
    }
)
"""What ``error.type`` may say, beside a status code and the name of an outcome."""


def may_leave(key: str, value: object) -> bool:
    """Is this attribute one that may be sent, with this in it?"""
    if key in NUMBERS:
        return isinstance(value, int | float)
    if key in OPERATORS:
        return isinstance(value, str)
    if key == "error.type":
        return isinstance(value, str) and (
            value in _ERRORS or value in outcomes.names() or (value.isdecimal() and len(value) == 3)
        )
    words = WORDS.get(key)
    if words is None:
        return False
    return value in words if isinstance(value, str) else _all_in(value, words)


def _all_in(value: object, words: frozenset[str]) -> bool:
    return isinstance(value, Sequence) and all(word in words for word in value)
