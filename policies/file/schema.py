"""Version 1 of the policy file: its models, a file decoded by them, a policy written out again.

Every key may be absent: what a file leaves unsaid comes from the policy it extends, at last from
`unsaid.yaml`. A list has three keys: ``key`` replaces it, ``+key`` adds to it, ``-key`` takes from
it. The models are made from the table of keys (`keys`). Owns where each complaint stands, and which
keys there are; the words are `fields`'s. Refuses to know other files (`compose`).
"""

from collections.abc import Callable, Iterator, Mapping
from types import GenericAlias
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, create_model

from policies.errors import PolicyError
from policies.file.document import Document, KeyPath, spelled
from policies.file.fields import (
    CommandEntry,
    CommandLine,
    PlainName,
    StrictModel,
    check_version,
    told,
    unknown_key,
)
from policies.file.keys import KEYS, ListKey, ServiceEntry
from policies.file.scalars import spelled_duration
from policies.policy import CommandRule, Policy, ServiceRule


class ExamplesEntry(StrictModel):
    """Not inherited: they are the tests of the file they stand in."""

    allow: tuple[CommandLine, ...] = Field(
        default=(), description="Commands that must be allowed, without a question."
    )
    deny: tuple[CommandLine, ...] = Field(
        default=(), description="Commands that must be denied, or asked about."
    )


class PolicyHead(StrictModel):
    """A Moonpool policy. No match means deny; an empty list means nothing, never everything."""

    version: Literal[1]
    name: PlainName
    extends: Annotated[str, Field(min_length=1)] = Field(
        default="", description="A bundled policy's name, or another file relative to this one."
    )
    examples: ExamplesEntry = ExamplesEntry()


def _absent(kind: Any, about: str | None = None) -> tuple[Any, Any]:
    """A key that may be left out, and may not be null."""
    return kind, Field(default_factory=lambda: None, description=about)


def _list_of(kind: Any) -> GenericAlias:
    return GenericAlias(tuple, (kind, ...))


def _fields(section: str) -> dict[str, Any]:
    """The fields of a section's model; of the whole file's, where the section is empty."""
    fields: dict[str, Any] = {}
    for key in KEYS:
        if key.section != section:
            continue
        name, kind = key.name, key.type
        if isinstance(key, ListKey):
            extended = f"the {name} of the policy that this one extends."
            fields[name] = _absent(_list_of(kind), key.about)
            fields[f"+{name}"] = _absent(_list_of(kind), f"Added to {extended}")
            fields[f"-{name}"] = _absent(_list_of(key.removed or kind), f"Taken from {extended}")
        else:
            fields[name] = _absent(kind, key.about)
    return fields


def _section(name: str, about: str, **more: Any) -> type[StrictModel]:
    title = f"{name.capitalize()}Entry"
    return create_model(title, __base__=StrictModel, __doc__=about, **_fields(name), **more)


def _bounds(section: str, about: str, called: str) -> type[StrictModel]:
    """A section of bounds, in which ``widen`` says which of them may exceed the parent's."""
    names = Literal[tuple(_fields(section))]  # type: ignore[valid-type]
    wider = f"{called} of this file that may be larger than those of the policy it extends."
    return _section(section, about, widen=(_list_of(names), Field(default=(), description=wider)))


SECTIONS: dict[str, type[StrictModel]] = {
    "paths": _section("paths", "What commands and file tools may reach."),
    "workspace": _section("workspace", "What of the workspace is copied into the container."),
    "setup": _section("setup", "What is done before the agent begins, and kept as a layer."),
    "limits": _bounds("limits", "What the container and its commands may use.", "Limits"),
    "budget": _bounds("budget", "What the model may use in a run.", "Bounds"),
    "export": _section("export", "What may leave as a patch."),
    "review": _section("review", "A second opinion on the patch, by another model."),
}
_TOP: dict[str, Any] = {name: _absent(model) for name, model in SECTIONS.items()}
PolicyFile: type[PolicyHead] = create_model(
    "PolicyFile", __base__=PolicyHead, __doc__=PolicyHead.__doc__, **_fields(""), **_TOP
)


def said(model: PolicyHead, section: str) -> dict[str, Any]:
    """What a file says in a section, by key; in no section, the empty one: at its top."""
    holder = getattr(model, section) if section else model
    return (
        {} if holder is None else {name: getattr(holder, name) for name in holder.model_fields_set}
    )


def known_keys(path: tuple[str | int, ...]) -> list[str]:
    """The keys that may stand in the mapping at a place of a file."""
    models = SECTIONS | {"examples": ExamplesEntry, "services": ServiceEntry}
    model = models.get(str(path[0]).lstrip("+"), CommandEntry) if path else PolicyFile
    return list(model.model_fields)


def json_schema() -> dict[str, object]:
    """JSON Schema (draft 2020-12) of a policy file as it is written, ``+`` and ``-`` keys too."""
    generated: dict[str, Any] = PolicyFile.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **generated,
        "title": "Moonpool policy, version 1",
    }


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
        raise PolicyError.together(errors)
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
    path, message = told(detail, document.data, _unknown_key)
    where = document.where(path)
    if path != detail["loc"] or detail["type"] == "extra_forbidden":
        where = document.keys.get(path, where)
    return PolicyError(message, where=where, key=spelled(path))


def _unknown_key(path: KeyPath) -> str:
    known = known_keys(path[:-1])
    key = str(path[-1])
    bare = key.lstrip("+-")
    if key != bare and bare in known:
        return f"only lists take `+` and `-`: write `{bare}`"
    return unknown_key(bare, [name for name in known if name[0] not in "+-"])


def render(policy: Policy) -> str:
    """The whole policy, nothing left to what it extends; loading it again gives the same."""
    return as_yaml(as_data(policy))


def as_yaml(data: Mapping[str, Any]) -> str:
    """What `as_data` gave, as YAML text."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)


def as_data(policy: Policy) -> dict[str, Any]:
    """The whole policy as it stands in a file, section by section, in values that JSON has too."""
    data: dict[str, Any] = {"version": 1, "name": policy.name}
    for key in KEYS:
        value = key.of(policy)
        # A list that is None says nothing of the key; dollars that are None say that none bound.
        if key.path == "paths.read" and value is None:
            continue
        section = data.setdefault(key.section, {}) if key.section else data
        section[key.name] = (
            [_WRITTEN[key.path](rule) for rule in value]
            if key.path in _WRITTEN
            else key.written(value)
        )
    examples = policy.examples
    return data | {"examples": {"allow": list(examples.allow), "deny": list(examples.deny)}}


def _command(rule: CommandRule) -> str | dict[str, Any]:
    if not rule.looks_at_arguments and not rule.ask:
        return rule.program
    entry: dict[str, Any] = {"program": rule.program}
    if rule.args is not None:
        entry["args"] = [list(wanted) for wanted in rule.args]
    if rule.forbid:
        entry["forbid"] = list(rule.forbid)
    if rule.require:
        entry["require"] = list(rule.require)
    if rule.ask:
        entry["ask"] = True
    return entry


def _service(rule: ServiceRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "command": rule.command,
        "ready": rule.ready,
        "programs": list(rule.programs),
        "timeout": spelled_duration(rule.timeout_s),
    }


_WRITTEN: Mapping[str, Callable[[Any], Any]] = {"commands": _command, "services": _service}
"""Lists whose entries are more than a text."""
