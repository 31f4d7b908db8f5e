"""What a service says that it offers, as values.

Pure. Owns what counts as a model in a service's own list. A row that is none is left out, so that
one bad row does not cost a person the others.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from agent.models.transport import NotTheApiError
from policies.frozen import dataclass

_MOST_MODELS: Final = 10_000
_LONGEST_ID: Final = 200
_MOST_TOKENS: Final = 1_000_000_000


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


def models_in(rows: object, *, context: Iterable[str], output: Iterable[str]) -> list[OfferedModel]:
    """The models of a list, each once, in its order.

    Args:
        context: keys under which a row may say how large a conversation may be.
        output: keys under which it may say how long a reply may be.

    Raises:
        NotTheApiError: the answer has no list, or one without end.
    """
    if not isinstance(rows, list):
        raise NotTheApiError("answered without a list of models")
    if len(rows) > _MOST_MODELS:
        raise NotTheApiError(f"lists models without end ({len(rows)} so far)")
    found: dict[str, OfferedModel] = {}
    for row in rows:
        if isinstance(row, Mapping) and _is_id(row.get("id")):
            found.setdefault(row["id"], _model(row, context, output))
    return list(found.values())


def _model(row: Mapping[str, Any], context: Iterable[str], output: Iterable[str]) -> OfferedModel:
    top = row.get("top_provider")
    places = [row, top] if isinstance(top, Mapping) else [row]
    names = [row.get("display_name"), row.get("name")]
    capabilities, lifecycle = row.get("capabilities"), row.get("lifecycle")
    return OfferedModel(
        id=row["id"],
        name=next((name for name in names if _is_id(name) and name != row["id"]), None),
        context_tokens=next(_counts(places, context), None),
        output_tokens=next(_counts(places, output), None),
        capabilities=tuple(
            str(key)
            for key, value in (capabilities.items() if isinstance(capabilities, Mapping) else ())
            if isinstance(value, Mapping) and value.get("supported") is True
        ),
        lifecycle=lifecycle if isinstance(lifecycle, str) else "",
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable()


def _counts(places: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> Iterator[int]:
    for place in places:
        for value in map(place.get, keys):
            # A bool is an int to Python, and no count.
            if type(value) is int and 0 < value <= _MOST_TOKENS:
                yield value
