"""The arguments of a tool call, from the JSON text a model wrote.

Owns what counts as arguments at all: one JSON object, not too deep to walk over.
Refuses to know the tool's schema, which the loop checks.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

INVALID_JSON: Final = "INVALID_JSON"
"""The one key of the object that stands for unreadable arguments when they go back to a provider
that takes only objects; the Messages API's guide to fine-grained tool streaming shows this form."""

DEEPEST: Final = 100

_NOTHING: Final[tuple[object, ...]] = (None, "", [])
"""What some models write where a call has no arguments."""


class ArgumentsError(ValueError):
    """The text is not one JSON object; the message tells the model what is wrong."""


def decode(text: str) -> Mapping[str, object]:
    """The arguments that a text holds.

    Raises:
        ArgumentsError: it is not one JSON object.
    """
    value = _parsed(text)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        # Some services encode the object twice.
        value = _parsed(value)
    if value in _NOTHING:
        return {}
    if not isinstance(value, dict):
        raise ArgumentsError("the arguments are not a JSON object")
    if too_deep(value):
        raise ArgumentsError("the arguments are nested too deeply")
    return value


def decode_strictly(text: str) -> Mapping[str, object]:
    """The one JSON object that a text is: by JSON's own grammar, with no key twice in an object.

    Raises:
        ArgumentsError: it is anything else.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
        )
    except RecursionError:
        raise ArgumentsError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise ArgumentsError(f"it is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise ArgumentsError("it is not one JSON object")
    if too_deep(value):
        raise ArgumentsError("the JSON is nested too deeply")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _parsed(text: str) -> Any:
    try:
        # Not strict: several models write a line break in a string as it is.
        return json.loads(text, strict=False, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ArgumentsError("the arguments are nested too deeply") from None
    except ValueError as error:
        raise ArgumentsError(f"the arguments are not valid JSON ({error})") from error


def read(written: str, *, given: object) -> tuple[Mapping[str, object], str | None]:
    """The arguments of a streamed call, and why it must not run; None: nothing is wrong with them.

    Args:
        written: what was streamed of them as text.
        given: what a service sent in place of a text; it counts where nothing was streamed.
    """
    if written.strip():
        try:
            return decode(written), None
        except ArgumentsError as error:
            return {INVALID_JSON: written}, str(error)
    if isinstance(given, Mapping):
        return dict(given), None
    if given in _NOTHING:
        return {}, None
    return {INVALID_JSON: str(given)}, "the arguments are not a JSON object"


def _refuse(text: str) -> Any:
    # Python reads NaN, Infinity and 1e999; strict JSON has no way to send them back.
    raise ValueError(f"{text[:20]} is not a number in JSON")


def _finite(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def too_deep(value: object) -> bool:
    """Whether a value of JSON is nested beyond `DEEPEST`."""
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
