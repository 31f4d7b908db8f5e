"""What a service says that it offers, as a value."""

from dataclasses import dataclass


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
