"""The one way in which files that a person wrote are decoded, and what is wrong with one in words.

Strict, with no key unknown. Owns the sentence for each complaint of pydantic's. Refuses to know the
keys of any file.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from policies.errors import PolicyError
from policies.file.document import Data, Document, KeyPath


class StrictModel(BaseModel):
    """What every model of such a file builds on.

    Nothing is converted (``"3"`` is no number), nothing is left over, nothing changes afterwards.
    A model is made ready when it is first used, not when its module is imported.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True,
        defer_build=True,
    )  # fmt: skip


_KIND = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def check_version(document: Document, *, called: str = "policy") -> None:
    """Before all else: a file of another version would get a list of misleading complaints.

    Raises:
        PolicyError: it has none, or another than 1.
    """
    version = document.data.get("version")
    if "version" not in document.data:
        raise PolicyError(
            f"is missing: a {called} starts with `version: 1`",
            where=document.where(()),
            key="version",
        )
    if version != 1 or isinstance(version, bool):
        raise PolicyError(
            f"this Moonpool reads version 1, not {shown_value(version)}",
            where=document.where(("version",)),
            key="version",
        )


def sentence(kind: str, detail: Mapping[str, Any], value: Data) -> str:
    """One of pydantic's complaints (its type, and all of it) about this value."""
    context: Mapping[str, Any] = detail.get("ctx", {})
    match kind:
        case "literal_error":
            allowed = str(context.get("expected", ""))
            return f"{shown_value(value)} is not one of {allowed}{_nearest_literal(value, allowed)}"
        case "value_error":
            return f"{shown_value(value)} {_worded(str(context.get('error', '')))}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            limit = next(iter(context.values()), "")
            words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
            word = words[next(iter(context))]
            return f"{shown_value(value)} is out of range: {word} {limit} is expected"
        case "too_short" | "string_too_short":
            return "is empty: leave the key out if everything is meant, or the entry if nothing is"
        case _ if kind in _KIND:
            quoted = (
                "; write it in quotes"
                if _KIND[kind] == "text" and isinstance(value, bool | int | float)
                else ""
            )
            listed = ""
            if _KIND[kind] == "a list":
                listed = f"; write [{value}]" if _is_word(value) else ""
                listed = "; an empty one is `[]`" if value is None else listed
            return f"expected {_KIND[kind]}, got {shown_value(value)}{quoted}{listed}"
        case _:
            message = str(detail["msg"])
            return (
                f"{message}, got {shown_value(value)}"
                if message.startswith("expected")
                else message
            )


def _is_word(value: Data) -> bool:
    return isinstance(value, str) and value.replace("-", "").replace("_", "").isalnum()


def _worded(message: str) -> str:
    return (
        f"can't be used: {message}"
        if message.startswith(("expected", "no ", "`", "a "))
        else message
    )


def unknown_key(key: str, known: Collection[str]) -> str:
    """What to say of a key that is none."""
    from policies.suggestion import did_you_mean  # noqa: PLC0415 - for a mistake only

    near = did_you_mean(key, known)
    return f"unknown key{near or '; known here: ' + ', '.join(sorted(known))}"


def _nearest_literal(value: Data, allowed: str) -> str:
    from policies.suggestion import nearest  # noqa: PLC0415 - for a mistake only

    near = nearest(str(value), allowed.replace("'", "").split())
    word = near[0].rstrip(",") if near else ""
    return f"; did you mean {word}?" if word else ""


def value_at(data: Mapping[str, Data], path: KeyPath) -> Data:
    """The value at a place, or the nearest around it that is there."""
    here: Data = dict(data)
    for part in path:
        match here, part:
            case dict(), str() if part in here:
                here = here[part]
            case tuple(), int() if part < len(here):
                here = here[part]
            case _:
                break
    return here


def shown_value(value: Data) -> str:
    """A value inside a sentence: bounded, and a collection by its kind only."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case tuple():
            return "a list"
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "...")
        case _:
            return str(value)
