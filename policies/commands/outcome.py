"""What the check says of one part of a command: allowed, asked about or denied, and by what rule.

Owns the values, and how a rule is named in them.
"""

from enum import StrEnum

from policies.frozen import dataclass
from policies.policy import CommandRule, Policy

NO_MATCH = "no match"


class CommandOutcome(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class DecidingLayer(StrEnum):
    """Who decides: the check before it runs, or the kernel while it does."""

    CHECK = "check"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDecision:
    outcome: CommandOutcome
    rule: str
    """``FILE:LINE KEY``, or ``no match``."""
    reason: str = ""
    layer: DecidingLayer = DecidingLayer.CHECK


def allowed(rule: str) -> CommandDecision:
    return CommandDecision(outcome=CommandOutcome.ALLOW, rule=rule)


def denied(reason: str, rule: str = NO_MATCH) -> CommandDecision:
    return CommandDecision(outcome=CommandOutcome.DENY, rule=rule, reason=reason)


def left_to_kernel(reason: str) -> CommandDecision:
    return CommandDecision(
        outcome=CommandOutcome.ALLOW, rule="kernel", reason=reason, layer=DecidingLayer.KERNEL
    )


def rule_name(rule: CommandRule) -> str:
    return f"{rule.where} {rule.key or 'commands'} ({rule.program})"


def key_name(policy: Policy, key: str) -> str:
    """``FILE:LINE KEY`` of where the policy says something."""
    return f"{policy.places.get(key, policy.where)} {key}"
