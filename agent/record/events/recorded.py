"""What every event and the summary are: frozen values with one form in JSON.

`json_object` writes that form; `read` takes it back or says in one line what is wrong. pydantic
checks what is read (`forms`), and is not needed to write.
"""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from typing import Any, ClassVar, Self, dataclass_transform, get_origin

from agent.errors import RecordError
from agent.record.events.encoding import Recordable, plain_object
from agent.untrusted_text import one_line

FORMAT = 1
"""Version of the form of ``events.jsonl`` and ``run.json``. A reader takes no other."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class RecordedModel(Recordable):
    """Its fields are of the types that `forms` knows."""

    def __init_subclass__(cls) -> None:
        hints = {
            name: hint
            for name, hint in vars(cls).get("__annotations__", {}).items()
            if get_origin(hint) is not ClassVar
        }
        cls.recorded_fields = {**cls.recorded_fields, **hints}
        own = {name: vars(cls)[name] for name in hints if name in vars(cls)}
        cls.defaults = {**cls.defaults, **own}

    def __init__(self, /, **values: Any) -> None:
        # A type checker has seen what we make ourselves; what was recorded, pydantic checks.
        names, defaults = self.recorded_fields, self.defaults
        missing = [name for name in names if name not in values and name not in defaults]
        if missing or values.keys() - names.keys():
            raise TypeError(f"{type(self).__name__} of {sorted(values)}, without {missing}")
        self.__dict__.update((name, values.get(name, defaults.get(name))) for name in names)

    def __setattr__(self, name: str, _value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({shown})"

    def replaced(self, changes: Mapping[str, object]) -> Self:
        """The same with other values of some fields."""
        return type(self)(**{**self.__dict__, **changes})

    def json_object(self) -> dict[str, object]:
        """The JSON form."""
        return plain_object(self)

    @classmethod
    def read(cls, row: Mapping[str, object], what: str) -> Self:
        """A value from its JSON form; arguments and errors as `forms.read`."""
        from agent.record.events import forms  # noqa: PLC0415 - a run that reads none needs it not

        return cls(**forms.read(cls, row, what))


def require_format(row: Mapping[str, object], what: str) -> None:
    """Raises `RecordError` where a record or a summary is of another version."""
    if row.get("format") != FORMAT:
        other = one_line(str(row.get("format", "none")), 40)
        raise RecordError(
            f"{what} was written by another version of Moonpool (its record format: {other}; this "
            f"version reads {FORMAT} only): use the version that wrote it"
        )
