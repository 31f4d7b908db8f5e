"""From a parsed document to the model of one policy file, with every complaint located.

Owns the sentences that a person reads about a wrong key or value. Refuses to know other files.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from policies.document import Data, Document, KeyPath, spelled
from policies.errors import PolicyError
from policies.schema import SECTIONS, CommandEntry, PolicyFile, list_keys

_PARTS = {"": "set", "+": "add", "-": "remove"}
_SIGNS = {part: sign for sign, part in _PARTS.items()}

_LISTS = frozenset({"args", "forbid", "require", "widen", "allow", "deny"})

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


def decode(document: Document) -> PolicyFile:
    """The model of one file.

    Raises:
        PolicyError: the first of all complaints; the others are in its ``others``.
    """
    _check_version(document)
    data, errors = _folded(document)
    model: PolicyFile | None = None
    try:
        model = PolicyFile.model_validate(data)
    except ValidationError as invalid:
        errors += [
            _complaint(detail, document)
            for detail in invalid.errors(include_url=False, include_context=True)
        ]
    if errors:
        errors.sort(key=lambda error: (error.where.line, error.where.column))
        first, rest = errors[0], tuple(errors[1:])
        raise PolicyError(first.message, where=first.where, key=first.key, others=rest)
    assert model is not None
    return model


def _check_version(document: Document) -> None:
    """Before all else: a file of another version would get a list of misleading complaints."""
    version = document.data.get("version")
    if "version" not in document.data:
        raise PolicyError(
            "is missing: a policy starts with `version: 1`",
            where=document.where(()),
            key="version",
        )
    if version != 1 or isinstance(version, bool):
        raise PolicyError(
            f"this Moonpool reads version 1, not {_shown(version)}",
            where=document.where(("version",)),
            key="version",
        )


def _folded(document: Document) -> tuple[dict[str, object], list[PolicyError]]:
    """The data with ``key``, ``+key`` and ``-key`` of each list gathered into one `Edit`."""
    errors = _blanks(document)
    folded: dict[str, object] = {}
    for key, value in _fold(document, (), document.data, list_keys(PolicyFile), errors).items():
        model = SECTIONS.get(key)
        if model is not None and isinstance(value, dict):
            folded[key] = _fold(document, (key,), value, list_keys(model), errors)
        else:
            folded[key] = value
    return folded, errors


def _blanks(document: Document) -> list[PolicyError]:
    """Values left blank. To the model they are keys left out, and ``args:`` would permit all."""
    found: list[PolicyError] = []
    for key in ("commands", "+commands"):
        entries = document.data.get(key)
        for index, entry in enumerate(entries if isinstance(entries, tuple) else ()):
            if isinstance(entry, dict):
                found += _blank(document, (key, index), entry)
    for key, section in document.data.items():
        if key in SECTIONS and isinstance(section, dict):
            known = {name: value for name, value in section.items() if name != "usd"}
            found += _blank(document, (key,), known)
    return [*found, *_blank(document, (), document.data)]


def _blank(document: Document, path: KeyPath, mapping: Mapping[str, Data]) -> Iterator[PolicyError]:
    model = SECTIONS.get(str(path[0]), CommandEntry) if path else PolicyFile
    for key, value in mapping.items():
        # Lists with signs and whole sections complain by themselves.
        if (
            value is None
            and key in model.model_fields
            and key not in list_keys(model) | SECTIONS.keys()
        ):
            expected = "a list; an empty one is `[]`" if key in _LISTS else "a value, or no key"
            at = (*path, key)
            yield PolicyError(f"expected {expected}", where=document.where(at), key=spelled(at))


def _fold(
    document: Document,
    path: KeyPath,
    mapping: Mapping[str, Any],
    lists: frozenset[str],
    errors: list[PolicyError],
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in mapping.items():
        sign = key[:1] if key[:1] in {"+", "-"} else ""
        bare = key[len(sign) :]
        if bare not in lists:
            result[key] = value
            continue
        result.setdefault(bare, {})[_PARTS[sign]] = value
        if sign and bare in mapping:
            message = f"`{bare}` replaces the list, so there is nothing for `{key}` to change"
            where = document.keys[(*path, key)]
            errors.append(PolicyError(message, where=where, key=spelled((*path, key))))
        if value is None:
            message = "expected a list; an empty one is `[]`"
            where = document.where((*path, key))
            errors.append(PolicyError(message, where=where, key=spelled((*path, key))))
            del result[bare]
    return result


def _written_path(location: tuple[str | int, ...]) -> KeyPath:
    """A pydantic location as the key path that stands in the file."""
    path: list[str | int] = []
    for part in location:
        if part in _SIGNS and path and isinstance(path[-1], str) and _is_list_key(path):
            path[-1] = f"{_SIGNS[str(part)]}{path[-1]}"
            continue
        if part == "[key]":
            continue
        path.append(part)
    return tuple(path)


def _is_list_key(path: list[str | int]) -> bool:
    model: type[BaseModel] | None = PolicyFile
    if len(path) == 2:
        model = SECTIONS.get(str(path[0]))
    return len(path) <= 2 and model is not None and path[-1] in list_keys(model)


def _complaint(detail: Mapping[str, Any], document: Document) -> PolicyError:
    kind: str = detail["type"]
    location: tuple[str | int, ...] = detail["loc"]
    path = _written_path(location)
    key = spelled(path)
    if kind == "extra_forbidden":
        return PolicyError(
            _unknown_key(path), where=document.keys.get(path, document.where(path)), key=key
        )
    if kind == "missing":
        return PolicyError("is missing", where=document.where(path[:-1]), key=key)
    where = document.where(path)
    if location and location[-1] == "[key]":
        where = document.keys.get(path, where)
    return PolicyError(
        _sentence(kind, detail, _value_at(document.data, path)), where=where, key=key
    )


def _sentence(kind: str, detail: Mapping[str, Any], value: Data) -> str:
    context: Mapping[str, Any] = detail.get("ctx", {})
    match kind:
        case "literal_error":
            allowed = str(context.get("expected", ""))
            return f"{_shown(value)} is not one of {allowed}{_nearest_literal(value, allowed)}"
        case "value_error":
            return f"{_shown(value)} {_worded(str(context.get('error', '')))}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            limit = next(iter(context.values()), "")
            words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
            word = words[next(iter(context))]
            return f"{_shown(value)} is out of range: {word} {limit} is expected"
        case "too_short" | "string_too_short":
            return "is empty: leave the key out if everything is meant, or the entry if nothing is"
        case _ if kind in _KIND:
            quoted = (
                "; write it in quotes"
                if _KIND[kind] == "text" and isinstance(value, bool | int | float)
                else ""
            )
            listed = f"; write [{value}]" if _KIND[kind] == "a list" and _is_word(value) else ""
            return f"expected {_KIND[kind]}, got {_shown(value)}{quoted}{listed}"
        case _:
            message = str(detail["msg"])
            return f"{message}, got {_shown(value)}" if message.startswith("expected") else message


def _is_word(value: Data) -> bool:
    return isinstance(value, str) and value.replace("-", "").replace("_", "").isalnum()


def _worded(message: str) -> str:
    return (
        f"can't be used: {message}"
        if message.startswith(("expected", "no ", "`", "a "))
        else message
    )


def _unknown_key(path: KeyPath) -> str:
    known = _known_keys(path[:-1])
    key = str(path[-1])
    bare = key.lstrip("+-")
    if key != bare and bare in known:
        return f"only lists take `+` and `-`: write `{bare}`"
    near = difflib.get_close_matches(bare, known, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean `{near[0]}`?"
    return f"unknown key; known here: {', '.join(sorted(known))}"


def _known_keys(parent: KeyPath) -> list[str]:
    if not parent:
        return list(PolicyFile.model_fields)
    model = SECTIONS.get(str(parent[0]))
    if model is not None:
        return list(model.model_fields)
    return list(CommandEntry.model_fields)


def _nearest_literal(value: Data, allowed: str) -> str:
    near = difflib.get_close_matches(str(value), allowed.replace("'", "").split(), n=1)
    word = near[0].rstrip(",") if near else ""
    return f"; did you mean {word}?" if word else ""


def _value_at(data: Mapping[str, Data], path: KeyPath) -> Data:
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


def _shown(value: Data) -> str:
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
