"""From a parsed document to the model of one policy file, with every complaint located.

Owns where each complaint stands and which keys there are (the words: `complaint`). Refuses to know
other files.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from policies.errors import PolicyError
from policies.file.complaint import check_version, sentence, unknown_key, value_at
from policies.file.document import Document, KeyPath, spelled
from policies.file.schema import PolicyFile, PolicyHead, known_keys


def decode(document: Document) -> PolicyHead:
    """The model of one file.

    Raises:
        PolicyError: the first of all complaints; the others are in its ``others``.
    """
    check_version(document)
    errors = list(_contradictions(document))
    model: PolicyHead | None = None
    try:
        model = PolicyFile.model_validate(document.data)
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


def _contradictions(document: Document) -> Iterator[PolicyError]:
    """Lists that are replaced and changed in one file."""
    for path, where in document.keys.items():
        key = str(path[-1])
        bare = key[1:]
        if key in known_keys(path[:-1]) and (*path[:-1], bare) in document.keys:
            message = f"`{bare}` replaces the list, so there is nothing for `{key}` to change"
            yield PolicyError(message, where=where, key=spelled(path))


def _complaint(detail: Mapping[str, Any], document: Document) -> PolicyError:
    kind: str = detail["type"]
    location: tuple[str | int, ...] = detail["loc"]
    # What is wrong with the key of a mapping stands at the key, and is told so.
    path = tuple(part for part in location if part != "[key]")
    key = spelled(path)
    if kind == "missing":
        return PolicyError("is missing", where=document.where(path[:-1]), key=key)
    where = document.where(path)
    if kind == "extra_forbidden":
        return PolicyError(_unknown_key(path), where=document.keys.get(path, where), key=key)
    if path != location:
        where = document.keys.get(path, where)
    return PolicyError(sentence(kind, detail, value_at(document.data, path)), where=where, key=key)


def _unknown_key(path: KeyPath) -> str:
    known = known_keys(path[:-1])
    key = str(path[-1])
    bare = key.lstrip("+-")
    if key != bare and bare in known:
        return f"only lists take `+` and `-`: write `{bare}`"
    return unknown_key(bare, [name for name in known if name[0] not in "+-"])
