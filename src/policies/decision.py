"""What a policy says of one tool call, before it runs.

The answer explains; enforcement is the kernel's (`kernel`). No match means deny.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call as the model made it, its arguments already valid for the tool's schema."""

    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    rules: tuple[str, ...]
    """The rules that allowed it, as ``FILE:LINE commands[2] (git)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    rule: str
    reason: str
    digest: str
    """sha256 (hex) over tool and arguments: an approval counts for this exact call only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    rule: str
    """``FILE:LINE KEY``, or ``no match``."""
    reason: str
    """What was not allowed, and what is allowed instead: the model reads it."""


Decision = Allow | Ask | Deny
