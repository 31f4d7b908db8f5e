"""The answers of ``GET /v1/models`` as `OfferedModel`. Pure; no gateway is believed.

Owns which fields count and how far a list is followed. Source: the SDK's ``types/model_info.py``
(anthropic 2.11.0).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.models.listing import OfferedModel, models_in
from agent.models.transport import NotTheApiError

PAGE: Final = 1000
"""Models on a page: the most that the API gives."""

MOST_PAGES: Final = 10


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
        answer = answer if isinstance(answer, Mapping) else {}
        models = models_in(
            answer.get("data"), context=("max_input_tokens",), output=("max_tokens",)
        )
        for model in models:
            found.setdefault(model.id, model)
        last = answer.get("last_id")
        if answer.get("has_more") is not True or not isinstance(last, str) or last == after:
            return tuple(found.values())
        after = last
    raise NotTheApiError(f"lists models without end ({len(found)} so far)")
