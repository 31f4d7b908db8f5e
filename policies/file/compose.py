"""Several policy files, from the outermost parent to the child, made into one Policy.

Owns what `extends` means: scalars replace, lists replace unless ``+`` or ``-`` is written, mappings
merge key by key, examples are not inherited, and a child's limit or budget (money is one) may
exceed its parent's only if the child says so in ``widen``. What a child writes out otherwise
(``exec_workspace: true``, an emptied ``protect``) is said by writing it; `policy diff` shows it.
Refuses to know where files come from (`loading`).
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from policies.errors import Where
from policies.file.document import Document, KeyPath, spelled
from policies.file.fields import CommandEntry
from policies.file.keys import (
    KEYS,
    PROTECTING,
    BoundKey,
    ListKey,
    PolicyKey,
    ServiceEntry,
    fields_of,
)
from policies.file.scalars import is_path
from policies.file.schema import PolicyHead, said
from policies.frozen import dataclass
from policies.policy import CommandRule, Examples, Policy, ServiceRule

_WITH_WIDEN = ("limits", "budget")
"""Sections whose values may exceed the parent's only where their ``widen`` says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLayer:
    """One file of a chain."""

    document: Document
    model: PolicyHead


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedKeys:
    """What a chain of files says, by the path of each key; what none of them says is not in it."""

    values: Mapping[str, Any]
    """As in a `Policy`: lists are tuples, entries of ``commands`` are rules."""
    places: Mapping[str, Where]


def compose(layers: Sequence[PolicyLayer]) -> Policy:
    """The policy of the last layer. The first is the built-in ground that no one extends.

    Raises:
        PolicyError: a layer takes away what is not there, or widens a bound without saying so.
    """
    composed = gather(layers, ground=1)
    leaf = layers[-1]
    examples = leaf.model.examples
    return Policy(
        name=leaf.model.name,
        where=Where(file=leaf.document.file, line=0),
        examples=Examples(allow=examples.allow, deny=examples.deny),
        places={**composed.places, **_example_places(leaf)},
        **fields_of(composed.values),
    )


def _example_places(leaf: PolicyLayer) -> dict[str, Where]:
    """Where each example stands, by the path of it: ``examples.allow[0]``."""
    document = leaf.document
    return {spelled(at): document.where(at) for at in document.values if at[:1] == ("examples",)}


def gather(layers: Sequence[PolicyLayer], *, ground: int = 0) -> ComposedKeys:
    """What a chain says, the outermost parent first.

    Args:
        ground: how many of the layers come first that nobody wrote: their bounds may be widened.

    Raises:
        PolicyError: as for `compose`.
    """
    values: dict[str, Any] = {}
    places: dict[str, Where] = {}
    for index, layer in enumerate(layers):
        for key in KEYS:
            here = said(layer.model, key.section)
            if isinstance(key, ListKey):
                _take_list(key, here, layer.document, values, places)
            elif key.name in here:
                value = here[key.name]
                if index > ground and key.name not in here.get("widen", ()):
                    _refuse_wider(key, value, layer.document, values, places)
                if key.path == "image" and is_path(value):
                    value = _beside(layer.document.file, value)
                is_mapping = isinstance(value, dict)
                values[key.path] = values.get(key.path, {}) | value if is_mapping else value
                places[key.path] = layer.document.where(_path(key))
    return ComposedKeys(values=values, places=places)


def _take_list(
    key: ListKey,
    here: Mapping[str, Any],
    document: Document,
    values: dict[str, Any],
    places: dict[str, Where],
) -> None:
    """Replace a list, or take from it and add to it, as one file says."""
    replaced, removed, added = (here.get(sign + key.name) for sign in ("", "-", "+"))
    if replaced is None and removed is None and added is None:
        return
    now: list[Any] = list(values.get(key.path, ()))
    if replaced is not None:
        now = _entries(key, "", replaced, document)
        places[key.path] = document.where(_path(key))
    elif key.path not in values and (removed or key.combination not in PROTECTING):
        _refuse_baseless(key, "-" if removed else "+", document)
    for index, name in enumerate(removed or ()):
        kept = [item for item in now if _name(item) != name]
        if len(kept) == len(now):
            message = f"{name!r} is not in the list that it would be taken from"
            raise document.error((*_path(key, "-"), index), message)
        now = kept
    now += _entries(key, "+", added or (), document)
    values[key.path] = tuple(dict.fromkeys(now))
    places.setdefault(key.path, document.where(_path(key, "+")))
    if key.path == "services":
        _refuse_same_names(values[key.path], document, _path(key, "" if added is None else "+"))


def _refuse_same_names(services: Sequence[ServiceRule], document: Document, path: KeyPath) -> None:
    """A service's name is that of its directory."""
    names = [service.name for service in services]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"there are two services {twice!r}: take the other one away, or rename this one"
        raise document.error(path, message)


def _beside(file: str, path: str) -> str:
    """A path that a file names, absolute: seen from its folder."""
    return os.path.normpath(os.path.join(os.path.realpath(os.path.dirname(file) or "."), path))


def _path(key: PolicyKey, sign: str = "") -> KeyPath:
    return (*key.section.split("."), sign + key.name) if key.section else (sign + key.name,)


def _name(item: str | CommandRule | ServiceRule) -> str:
    match item:
        case CommandRule():
            return item.program
        case ServiceRule():
            return item.name
        case _:
            return item


def _entries(key: ListKey, sign: str, items: Sequence[Any], document: Document) -> list[Any]:
    path = _path(key, sign)
    return [
        ServiceRule(timeout_s=item.timeout, **item.model_dump(exclude={"timeout"}))
        if isinstance(item, ServiceEntry)
        else CommandRule(
            **dict(item), where=document.where((*path, index)), key=spelled((*path, index))
        )
        if isinstance(item, CommandEntry)
        else item
        for index, item in enumerate(items)
    ]


def _refuse_baseless(key: ListKey, sign: str, document: Document) -> None:
    """A list that nothing below says is everything: adding to it would make it a short one."""
    if key.path == "paths.read":
        message = "there is no list to change: without `read`, everything may be read"
    else:
        message = "there is no list to change: write the whole of it, without the sign"
    raise document.error(_path(key, sign), message)


def _refuse_wider(
    key: PolicyKey,
    value: Any,
    document: Document,
    inherited: Mapping[str, Any],
    places: Mapping[str, Where],
) -> None:
    before = inherited.get(key.path)
    if not isinstance(key, BoundKey) or key.section not in _WITH_WIDEN:
        return
    if key.exceeds(value, before):
        raise document.error(
            _path(key),
            f"is more than the {key.spelled(before)} of the policy it extends "
            f"({places[key.path]}); if that is meant, write `widen: [{key.name}]` beside it",
        )
