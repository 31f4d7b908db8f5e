"""From a parsed document to the model of one policy file, with every complaint located.

Owns where each complaint stands and which keys there are (the words: `complaint`). Refuses to know
other files.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from policies.errors import PolicyError
from policies.file.complaint import check_version, sentence, unknown_key, value_at
from policies.file.document import Data, Document, KeyPath, spelled
from policies.file.schema import SECTIONS, CommandEntry, PolicyFile, list_keys

_PARTS = {"": "set", "+": "add", "-": "remove"}
_SIGNS = {part: sign for sign, part in _PARTS.items()}

_LISTS = frozenset({"args", "forbid", "require", "widen", "allow", "deny"})


def decode(document: Document) -> PolicyFile:
    """The model of one file.

    Raises:
        PolicyError: the first of all complaints; the others are in its ``others``.
    """
    check_version(document)
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
    return PolicyError(sentence(kind, detail, value_at(document.data, path)), where=where, key=key)


def _unknown_key(path: KeyPath) -> str:
    known = _known_keys(path[:-1])
    key = str(path[-1])
    bare = key.lstrip("+-")
    if key != bare and bare in known:
        return f"only lists take `+` and `-`: write `{bare}`"
    return unknown_key(bare, known)


def _known_keys(parent: KeyPath) -> list[str]:
    if not parent:
        return list(PolicyFile.model_fields)
    model = SECTIONS.get(str(parent[0]))
    if model is not None:
        return list(model.model_fields)
    return list(CommandEntry.model_fields)
