"""What a service says that it offers: its bytes as JSON, and each model as a value."""

import json
from dataclasses import dataclass
from typing import Any

from agent.models.transport import NotTheApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """One line of a service's own list: its word, and hostile text until made visible."""

    id: str
    """What stands after ``PROVIDER:``."""
    context_tokens: int | None = None
    """The largest conversation; None: the service does not say."""
    output_tokens: int | None = None
    """The longest reply; None: the service does not say."""
    name: str | None = None
    """For a person; None: it has only its id."""
    capabilities: tuple[str, ...] = ()
    """What it can do, in the service's words; empty: the service does not say."""
    lifecycle: str = ""
    """``active``, ``deprecated`` …; empty: the service does not say."""


def decoded(answer: bytes) -> Any:
    """Raises NotTheApiError where it is no JSON, such as a proxy's page."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise NotTheApiError("answered with something else than JSON") from error
