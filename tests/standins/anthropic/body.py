"""The form of a Messages API request, by the SDK's own parameter types."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pydantic
from anthropic.types import message_create_params as params
from anthropic.types.beta import message_create_params as beta_params

from standins.exchange.faults import FaultError
from standins.exchange.fields import complaint, form

_IN_HEADERS = {"user_profile_id", "workspace_id", "betas"}
"""Parameters of the SDK's method that do not stand in the body."""


def check(body: object) -> None:
    """Raise the fault that the Messages API would answer to a body of the wrong form."""
    if not isinstance(body, dict):
        raise FaultError("Input should be a valid dictionary")
    error = complaint(body, _form(streaming=body.get("stream") is True, beta=uses_compaction(body)))
    if error is not None:
        place = ".".join(str(step) for step in error.steps)
        raise FaultError(f"{place}: {error.message}")


def uses_compaction(body: Mapping[str, Any]) -> bool:
    """Asks for a summary, or carries one: only the beta part of the API knows these."""
    return "compaction" in body or '"type": "compaction"' in json.dumps(body.get("messages"))


@cache
def _form(*, streaming: bool, beta: bool) -> pydantic.TypeAdapter[Any]:
    module = beta_params if beta else params
    source = (
        module.MessageCreateParamsStreaming if streaming else module.MessageCreateParamsNonStreaming
    )
    return form(source, _IN_HEADERS)
