"""What every event and the summary are: frozen pydantic models with one form in JSON.

`json_object` writes that form; `read` takes it back or says in one line what is wrong.
"""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from agent.errors import RecordError
from agent.record.events.encoding import plain_model
from agent.untrusted_text import one_line

FORMAT = 1
"""Version of the form of ``events.jsonl`` and ``run.json``. A reader takes no other."""


class RecordedModel(BaseModel):
    """Its fields are of the types that `forms` knows."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, arbitrary_types_allowed=True
    )

    def __init__(self, /, **values: Any) -> None:
        # What we make ourselves a type checker has seen; pydantic checks what was recorded. To have
        # it build its validators for each kind that a run emits would cost a run's start 30 ms.
        fields = type(self).model_fields
        missing = [name for name in fields if name not in values and fields[name].is_required()]
        if missing or values.keys() - fields.keys():
            raise TypeError(f"{type(self).__name__} of {sorted(values)}, without {missing}")
        all_values = {name: values.get(name, fields[name].default) for name in fields}
        object.__setattr__(self, "__dict__", all_values)
        object.__setattr__(self, "__pydantic_fields_set__", set(values))
        object.__setattr__(self, "__pydantic_extra__", None)
        object.__setattr__(self, "__pydantic_private__", None)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from agent.record.events.forms import form  # noqa: PLC0415 - a run that reads none needs it not

        if not cls.model_fields:
            return handler(source)
        names = {}
        for name, info in cls.model_fields.items():
            schema = handler.generate_schema(form(info.annotation))
            if not info.is_required():
                schema = core_schema.with_default_schema(schema, default=info.default)
            names[name] = core_schema.model_field(schema)
        made = core_schema.model_fields_schema(
            names, model_name=cls.__name__, extra_behavior="forbid"
        )
        return core_schema.model_schema(
            cls,
            made,
            frozen=True,
            serialization=core_schema.plain_serializer_function_ser_schema(plain_model),
        )

    def json_object(self) -> dict[str, object]:
        """The JSON form, as `model_dump` gives it too, but more slowly the first time."""
        return plain_model(self)

    @classmethod
    def read(cls, row: Mapping[str, object], what: str) -> Self:
        """Args:
        row: a JSON object.
        what: how it is called where it is not such a one.

        Raises:
            RecordError: it has not the shape that we write; the message begins with `what`.
        """
        try:
            # As text: only there a list may stand for a tuple, and nothing else for anything.
            return cls.model_validate_json(json.dumps(row), strict=True)
        except ValidationError as error:
            raise RecordError(_complaint(error, what)) from error


def require_format(row: Mapping[str, object], what: str) -> None:
    """Raises `RecordError` where a record or a summary is of another version."""
    if row.get("format") != FORMAT:
        other = one_line(str(row.get("format", "none")), 40)
        raise RecordError(
            f"{what} was written by another version of Moonpool (its record format: {other}; this "
            f"version reads {FORMAT} only): use the version that wrote it"
        )


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
