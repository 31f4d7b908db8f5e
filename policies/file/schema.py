"""Version 1 of the policy file, as pydantic models: one file, not yet composed with others.

Every key may be absent: what a file leaves unsaid comes from the policy it extends, at last from
`unsaid.yaml`. A list has three keys: ``key`` replaces it, ``+key`` adds to it, ``-key`` takes from
it. The models are made from the table of keys (`keys`).
"""

from types import GenericAlias
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from policies.file.fields import CommandEntry, CommandLine, PlainName, ServiceEntry
from policies.file.keys import KEYS, ListKey
from policies.file.strict import StrictModel


class ExamplesEntry(StrictModel):
    """Not inherited: they are the tests of the file they stand in."""

    allow: tuple[CommandLine, ...] = ()
    deny: tuple[CommandLine, ...] = ()


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
