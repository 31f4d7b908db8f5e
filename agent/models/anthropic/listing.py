"""The answers of ``GET /v1/models`` as `OfferedModel`. Pure; no gateway is believed.

Owns which fields count and how far a list is followed. Source: the SDK's ``types/model_info.py``
(anthropic 2.11.0).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.models.listing import OfferedModel
from agent.models.transport import NotTheApiError

PAGE: Final = 1000
"""Models on a page: the most that the API gives."""

MOST_PAGES: Final = 10
_MOST_TOKENS: Final = 1_000_000_000


def offered(page: Callable[[str | None], Any]) -> tuple[OfferedModel, ...]:
    """Every model there is.

    Args:
        page: asks for the page after that model; None: for the first.

    Raises:
        NotTheApiError: that is no list of models, or one without end.
    """
    found: dict[str, OfferedModel] = {}
    after: str | None = None
    for _ in range(MOST_PAGES):
        answer = page(after)
        models = answer.get("data") if isinstance(answer, Mapping) else None
        if not isinstance(models, list):
            raise NotTheApiError("answered with something else than a list of models")
        for model in models[:PAGE]:
            if isinstance(model, Mapping) and isinstance(model.get("id"), str):
                found.setdefault(model["id"], _one(model))
        last = answer.get("last_id")
        if answer.get("has_more") is not True or not isinstance(last, str) or last == after:
            return tuple(found.values())
        after = last
    raise NotTheApiError(f"lists models without end ({len(found)} so far)")


def _one(model: Mapping[str, Any]) -> OfferedModel:
    capabilities = model.get("capabilities")
    name = model.get("display_name")
    lifecycle = model.get("lifecycle")
    return OfferedModel(
        id=model["id"],
        name=name if isinstance(name, str) else None,
        context_tokens=_count(model.get("max_input_tokens")),
        output_tokens=_count(model.get("max_tokens")),
        capabilities=tuple(
            str(key)
            for key, value in (capabilities.items() if isinstance(capabilities, Mapping) else ())
            if isinstance(value, Mapping) and value.get("supported") is True
        ),
        lifecycle=lifecycle if isinstance(lifecycle, str) else "",
    )


def _count(value: object) -> int | None:
    """A bool is an int to Python, and no count."""
    return value if type(value) is int and 0 < value <= _MOST_TOKENS else None
