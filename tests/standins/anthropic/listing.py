"""What ``GET /v1/models`` answers: the SDK's own type, in pages as the API makes them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from anthropic.types import ModelInfo

from standins.exchange.faults import FaultError

PATH = "/v1/models"
_PAGE = 20
_LARGEST_PAGE = 1000


def model(identifier: str, name: str = "A model", **more: Any) -> dict[str, Any]:
    """A model with every field that the API gives, checked against the SDK's type."""
    info = ModelInfo.model_validate(
        {
            "id": identifier,
            "display_name": name,
            "type": "model",
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            "lifecycle": "active",
            **more,
        }
    )
    # Without warnings: capabilities may be given in part.
    return info.model_dump(mode="json", warnings=False)


def page(models: Sequence[dict[str, Any]], path: str) -> dict[str, Any]:
    """One page, or the fault that the API would answer."""
    query = parse_qs(urlsplit(path).query)
    unknown = query.keys() - {"limit", "after_id", "before_id", "lifecycle"}
    if unknown:
        raise FaultError(f"{min(unknown)}: Extra inputs are not permitted")
    limit = int(query.get("limit", [str(_PAGE)])[0])
    if not 1 <= limit <= _LARGEST_PAGE:
        raise FaultError(f"limit: Input should be between 1 and {_LARGEST_PAGE}")
    start = 0
    if "after_id" in query:
        ids = [one["id"] for one in models]
        if query["after_id"][0] not in ids:
            raise FaultError("after_id: not found", 404)
        start = ids.index(query["after_id"][0]) + 1
    kept = list(models[start : start + limit])
    return {
        "data": kept,
        "has_more": start + limit < len(models),
        "first_id": kept[0]["id"] if kept else None,
        "last_id": kept[-1]["id"] if kept else None,
    }
