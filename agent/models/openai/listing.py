"""From a service's ``/models`` to `OfferedModel`s.

Pure. OpenAI's own list holds ids only; others add what they know, each under a name of its own.
What is no model is passed over: a list is shown to a person, and one bad row does not cost them the
rest.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.models.listing import OfferedModel
from agent.models.transport import NotTheApiError

_MOST_MODELS: Final = 10_000
_LONGEST_ID: Final = 200
_MOST_TOKENS: Final = 1_000_000_000

_CONTEXT: Final = ("context_length", "context_window", "max_model_len", "max_context_length")
"""OpenRouter and Together; Groq; vLLM; Mistral and LM Studio."""

_OUTPUT: Final = ("max_completion_tokens", "max_output_tokens", "max_output_length")


def listed(answer: object) -> tuple[OfferedModel, ...]:
    """The models, by id.

    Raises:
        NotTheApiError: the answer has no list, or one without end.
    """
    # Together's answer is the list itself.
    rows = answer.get("data") if isinstance(answer, Mapping) else answer
    if not isinstance(rows, list):
        raise NotTheApiError("answered without a list of models")
    if len(rows) > _MOST_MODELS:
        raise NotTheApiError(f"lists models without end ({len(rows)} so far)")
    found = {model.id: model for model in _models(rows)}
    return tuple(found[key] for key in sorted(found))


def _models(rows: list[Any]) -> Iterator[OfferedModel]:
    for row in rows:
        if not isinstance(row, Mapping) or not _is_id(row.get("id")):
            continue
        top = row.get("top_provider")
        places = [row, top] if isinstance(top, Mapping) else [row]
        yield OfferedModel(
            id=row["id"],
            context_tokens=_first(places, _CONTEXT),
            output_tokens=_first(places, _OUTPUT),
            name=_name(row),
        )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable()


def _name(row: Mapping[str, Any]) -> str | None:
    for key in ("display_name", "name"):
        value = row.get(key)
        if _is_id(value) and value != row["id"]:
            return str(value)
    return None


def _first(places: list[Mapping[str, Any]], keys: tuple[str, ...]) -> int | None:
    for place in places:
        for key in keys:
            value = place.get(key)
            if type(value) is int and 0 < value <= _MOST_TOKENS:
                return value
    return None
