"""From a compatible service's ``/models`` to `OfferedModel`s.

Pure. OpenAI's own list holds ids only; others add what they know, each under a name of its own.
"""

from collections.abc import Mapping
from typing import Final

from agent.models.listing import OfferedModel, models_in

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
    models = models_in(rows, context=_CONTEXT, output=_OUTPUT)
    return tuple(sorted(models, key=lambda model: model.id))
