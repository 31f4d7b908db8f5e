"""How each type of value in a record is read from JSON: the other side of `recorded.plain`.

pydantic checks the values and makes their JSON Schema; here stands what it can't know of itself:
that a dataclass of ours carries its kind as ``type``, that a string may have been cut, that bytes
stand as text where they are UTF-8. Owns these forms. Refuses to know any event by name.

JSON is checked strictly. Values that we make ourselves are taken as they are: a type checker has
seen them, and text of a model's may hold what no JSON has (a lone surrogate).
"""

import base64
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, partial
from inspect import getdoc
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from agent.errors import RecordError
from agent.record.events.recorded import CutText, RecordedModel, kind_of
from agent.untrusted_text import one_line
from policies.frozen import dataclass

Schema = Callable[[GetCoreSchemaHandler], CoreSchema]
_then = core_schema.no_info_after_validator_function


class CutString(BaseModel):
    """Stands for a string that was too long to record whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    head: str
    characters: int
    sha256: str


class Base64Bytes(BaseModel):
    """Stands for bytes that are no UTF-8."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    base64: str


def read(made: type[RecordedModel], row: Mapping[str, object], what: str) -> dict[str, Any]:
    """The fields of a value of that class, from a JSON object.

    Args:
        what: how it is called where it is not such a one.

    Raises:
        RecordError: it has not the shape that we write; the message begins with `what`.
    """
    try:
        # As text: only there a list may stand for a tuple, and nothing else for anything.
        return adapter(made).validate_json(json.dumps(row), strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise RecordError(_complaint(error, what)) from error


@cache
def adapter(made: type[Any]) -> TypeAdapter[dict[str, Any]]:
    """What reads such values, and knows their JSON Schema."""
    return TypeAdapter(Annotated[Any, _Form(partial(_record, made))])


@dataclass(frozen=True, slots=True)
class _Form:
    """Says of a type in pydantic's words how its values are read."""

    schema: Schema

    def __get_pydantic_core_schema__(
        self, _source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return self.schema(handler)


def form(hint: Any) -> Any:
    """A type hint, with the form that its values have in a record."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return _union(inner)
    if origin is tuple:
        return tuple[tuple(item if item is ... else form(item) for item in inner)]  # type: ignore[misc]
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return Annotated[hint, _Form(_json)]
    if hint in _SIMPLE:
        return Annotated[hint, _Form(_SIMPLE[hint])]
    if isinstance(hint, type) and is_dataclass(hint):
        return Annotated[hint, _Form(partial(_one_of, (hint,)))]
    return hint


def _union(inner: tuple[Any, ...]) -> Any:
    variants = tuple(item for item in inner if isinstance(item, type) and is_dataclass(item))
    others = [form(item) for item in inner if item not in variants]
    if not variants:
        return Union[tuple(others)]  # noqa: UP007 - made of a list
    return Union[(Annotated[Any, _Form(partial(_one_of, variants))], *others)]


def _text(handler: GetCoreSchemaHandler) -> CoreSchema:
    cut = _then(lambda cut: CutText.of(**dict(cut)), handler.generate_schema(CutString))
    return _checked(str, core_schema.str_schema(), cut)


def _bytes(handler: GetCoreSchemaHandler) -> CoreSchema:
    other = _then(
        lambda value: base64.b64decode(value.base64, validate=True),
        handler.generate_schema(Base64Bytes),
    )
    return _checked(bytes, _then(str.encode, core_schema.str_schema()), other)


def _float(_handler: object) -> CoreSchema:
    # What is no number (infinity) stands as text.
    words = _then(float, core_schema.literal_schema(["inf", "-inf", "nan"]))
    return _checked((float, int), core_schema.float_schema(), words)


_SIMPLE: Mapping[Any, Schema] = {str: _text, bytes: _bytes, float: _float}


def _checked(made: Any, *json: CoreSchema) -> CoreSchema:
    return core_schema.json_or_python_schema(
        json_schema=core_schema.union_schema(
            list(json), custom_error_type="form", custom_error_message="has another form"
        ),
        python_schema=core_schema.is_instance_schema(made),
    )


def _json(_handler: object) -> CoreSchema:
    """JSON as it came: what is in it is nobody's ``type``."""
    return core_schema.json_or_python_schema(
        json_schema=_then(
            # Itself it is never a cut string, whatever keys the model gave it.
            lambda value: {key: _uncut(item) for key, item in value.items()},
            core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()),
        ),
        python_schema=core_schema.is_instance_schema(Mapping),
    )


def _uncut(value: object) -> object:
    match value:
        case {
            "head": str() as head,
            "characters": int() as count,
            "sha256": str() as digest,
            **more,
        } if not more:
            return CutText.of(head=head, characters=count, sha256=digest)
        case dict():
            return {key: _uncut(item) for key, item in value.items()}
        case list():
            return [_uncut(item) for item in value]
        case _:
            return value


def _one_of(variants: tuple[type, ...], handler: GetCoreSchemaHandler) -> CoreSchema:
    """One of these dataclasses, by its ``type``."""
    choices: dict[Any, CoreSchema] = {
        kind_of(made): handler.generate_schema(Annotated[made, _Form(partial(_fields, made))])
        for made in variants
    }
    one, *more = choices.values()
    return core_schema.json_or_python_schema(
        json_schema=core_schema.tagged_union_schema(choices, discriminator="type") if more else one,
        python_schema=core_schema.is_instance_schema(variants),
    )


def _fields(made: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The fields of one dataclass, and its ``type``."""
    kind, hints = kind_of(made), get_type_hints(made)
    names = {
        item.name: core_schema.typed_dict_field(
            handler.generate_schema(form(hints[item.name])),
            required=item.default is MISSING and item.default_factory is MISSING,
        )
        for item in fields(made)
    }
    return _then(
        lambda values: made(**{name: values[name] for name in values if name != "type"}),
        core_schema.typed_dict_schema(
            {"type": core_schema.typed_dict_field(core_schema.literal_schema([kind])), **names},
            cls_name=kind,
            extra_behavior="forbid",
        ),
        ref=f"{made.__module__}.{made.__qualname__}:{id(made)}",
        metadata={"pydantic_js_updates": _described(made)},
    )


def _record(made: type[RecordedModel], handler: GetCoreSchemaHandler) -> CoreSchema:
    """The fields of an event or of a summary."""
    names = {}
    for name, hint in made.recorded_fields.items():
        schema = handler.generate_schema(form(hint))
        if name in made.defaults:
            schema = core_schema.with_default_schema(schema, default=made.defaults[name])
        names[name] = core_schema.typed_dict_field(schema, required=name not in made.defaults)
    return core_schema.typed_dict_schema(
        names,
        cls_name=made.__name__,
        extra_behavior="forbid",
        metadata={"pydantic_js_updates": _described(made)},
    )


def _described(made: type) -> dict[str, str]:
    words = getdoc(made) or ""
    # A dataclass without a docstring has its signature for one.
    return {"description": words} if words and not words.startswith(f"{made.__name__}(") else {}


def _complaint(error: ValidationError, what: str) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = one_line(".".join(map(str, first["loc"])), 120)
    match first["type"]:
        case "missing":
            return f"{what} has no `{place}`"
        case "extra_forbidden":
            return f"{what} has a field `{place}` that this version does not write"
        case _:
            words = one_line(first["msg"].removeprefix("Input "), 120)
            return f"{what} has a `{place}` that this version does not write: it {words}"
