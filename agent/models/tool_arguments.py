"""The arguments of a tool call, from the JSON text a model wrote.

Owns what counts as arguments at all: one JSON object, of strict JSON, not too deep to walk over.
Refuses to know the tool's schema; the loop checks that.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

INVALID_JSON: Final = "INVALID_JSON"
"""The one key of the object that stands for unreadable arguments when they go back to a provider
that takes only objects; the Messages API's guide to fine-grained tool streaming shows this form."""

DEEPEST: Final = 100


class ArgumentsError(ValueError):
    """The text is not one JSON object; the message tells the model what is wrong."""


def decode(text: str) -> Mapping[str, object]:
    """The arguments.

    Raises:
        ArgumentsError: see there.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ArgumentsError("the arguments are nested too deeply") from None
    except ValueError as error:
        raise ArgumentsError(f"the arguments are not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise ArgumentsError("the arguments are not a JSON object")
    if _too_deep(value):
        raise ArgumentsError("the arguments are nested too deeply")
    return value


def _refuse(text: str) -> Any:
    # Python reads NaN, Infinity and 1e999; strict JSON has no way to send them back.
    raise ValueError(f"{text[:20]} is not a number in JSON")


def _finite(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True
