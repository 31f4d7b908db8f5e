"""Values that JSON in UTF-8 can carry, whatever a model or a file put into them."""

from collections.abc import Mapping
from typing import Any


def encodable(text: str) -> str:
    """Text that UTF-8 can carry: a lone surrogate (from JSON, or bytes that were no text) can't."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean(value: Any) -> Any:
    """A value of JSON with every text in it made `encodable`."""
    match value:
        case str():
            return encodable(value)
        case Mapping():
            return {encodable(str(key)): clean(item) for key, item in value.items()}
        case list() | tuple():
            return [clean(item) for item in value]
        case _:
            return value
