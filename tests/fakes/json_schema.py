"""A value against a JSON Schema: as much of JSON Schema as ours use."""

from collections.abc import Mapping
from typing import Any

_TYPES: Mapping[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "null": type(None),
    "boolean": bool,
}


def fits(value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    """Args:
    whole: where references lead to.
    """
    if "$ref" in schema:
        return fits(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    options = schema.get("anyOf") or schema.get("oneOf") or [{}]
    wanted = schema.get("type", [])
    kinds = [wanted] if isinstance(wanted, str) else wanted
    holds = [
        options == [{}] or any(fits(value, one, whole) for one in options),
        value == schema.get("const", value),
        value in schema.get("enum", [value]),
        not kinds or any(_is(value, kind) for kind in kinds),
        not isinstance(value, dict) or _object_fits(value, schema, whole),
        not isinstance(value, list)
        or all(fits(item, schema.get("items", {}), whole) for item in value),
    ]
    return all(holds)


def _is(value: Any, kind: str) -> bool:
    if kind in {"integer", "number"}:
        made = int if kind == "integer" else int | float
        return isinstance(value, made) and not isinstance(value, bool)
    return isinstance(value, _TYPES[kind])


def _object_fits(value: Mapping[str, Any], schema: Mapping[str, Any], whole: Any) -> bool:
    known = schema.get("properties", {})
    more = schema.get("additionalProperties", {})
    more = {} if more is True else more
    if not set(schema.get("required", ())) <= value.keys():
        return False
    return all(
        fits(item, known.get(key, more), whole) if key in known or more is not False else False
        for key, item in value.items()
    )
