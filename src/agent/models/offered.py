"""What a service says that it offers, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    id: str
    """What stands after ``PROVIDER:``."""
    context_tokens: int | None = None
    """The largest conversation; None: the service does not say."""
    output_tokens: int | None = None
    """The longest reply; None: the service does not say."""
    name: str | None = None
    """For a person; None: it has only its id."""
