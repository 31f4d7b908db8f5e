"""Which fields a request may have, by an SDK's own parameter types.

The types are rewritten before pydantic reads them, because as they are they let much through:
unknown keys pass in a TypedDict, an ``Iterable`` is not looked into, and where a block may also be
one of the SDK's response classes, anything does.
"""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

import pydantic
import typing_extensions as te


class Complaint(te.NamedTuple):
    """What is wrong with a body, at the most specific place."""

    kind: str
    """As pydantic calls it."""
    steps: tuple[int | str, ...]
    message: str


def complaint(body: object, form: pydantic.TypeAdapter[Any]) -> Complaint | None:
    try:
        form.validate_python(body, strict=True)
    except pydantic.ValidationError as error:
        worst = max(error.errors(include_url=False), key=lambda item: len(item["loc"]))
        # pydantic also names the branch it took of a union.
        steps = tuple(s for s in worst["loc"] if isinstance(s, int) or s.replace("_", "").islower())
        return Complaint(worst["type"], steps, worst["msg"])
    return None


def form(source: Any, leave_out: set[str] | None = None) -> pydantic.TypeAdapter[Any]:
    """What checks a body by an SDK's TypedDict."""
    return pydantic.TypeAdapter(_Rewriter().typed_dict(source, leave_out=leave_out))


class _Rewriter:
    def __init__(self) -> None:
        self._done: dict[type, Any] = {}

    def typed_dict(self, source: Any, *, leave_out: set[str] | None = None) -> Any:
        if source in self._done:
            return self._done[source]
        hints = te.get_type_hints(source, include_extras=True)
        fields = {}
        for name, hint in hints.items():
            if name in (leave_out or ()):
                continue
            inner = _bare(hint)
            # With its annotations as text, a class does not know its own required keys.
            needed = inner is not hint or name in source.__required_keys__
            fields[name] = te.Required[self.rewrite(inner)] if needed else self.rewrite(inner)
        make: Any = te.TypedDict
        result = make(source.__name__, fields, total=False)
        given = getattr(source, "__pydantic_config__", {})
        result.__pydantic_config__ = {"extra": "forbid", **given}
        self._done[source] = result
        return result

    def rewrite(self, hint: Any) -> Any:
        origin, args = te.get_origin(hint), te.get_args(hint)
        if te.is_typeddict(hint):
            return self.typed_dict(hint)
        if origin is Annotated:
            return self.rewrite(args[0])
        if _is_union(hint):
            return self._union(args)
        if origin is None or origin is Literal:
            return Any if hint is object else hint
        if issubclass(origin, Mapping):
            return dict[str, Any]
        # Iterable, List, Sequence and the SDK's own: JSON has one kind of list.
        return list[self.rewrite(args[0])]  # type: ignore[misc]

    def _union(self, members: tuple[Any, ...]) -> Any:
        flat: list[Any] = []
        for member in members:
            inner = te.get_args(member)[0] if te.get_origin(member) is Annotated else member
            flat.extend(te.get_args(inner) if _is_union(inner) else [inner])
        kept = [self.rewrite(member) for member in flat if _is_json(member)]
        tagged = [member for member in kept if te.is_typeddict(member)]
        others = [member for member in kept if not te.is_typeddict(member)]
        tag = next((tag for tag in ("type", "role") if _tells_apart(tagged, tag)), None)
        if tag is not None:
            # With a tag the complaint is about the one form that was meant.
            choice: Any = Annotated[
                Union[tuple(tagged)],  # noqa: UP007 - built at run time
                pydantic.Field(discriminator=tag),
            ]
            return Union[(choice, *others)] if others else choice
        return Union[tuple(kept)]  # noqa: UP007


def _is_union(hint: Any) -> bool:
    origin = te.get_origin(hint)
    return origin is Union or origin is types.UnionType


def _bare(hint: Any) -> Any:
    """Without ``Required``."""
    return te.get_args(hint)[0] if te.get_origin(hint) is te.Required else hint


def _is_json(member: Any) -> bool:
    """Not a file, a path, or one of the SDK's response classes."""
    if te.is_typeddict(member) or te.get_origin(member) is not None:
        return True
    return member in {str, int, float, bool, object, type(None), dict, list}


def _tells_apart(members: list[Any], tag: str) -> bool:
    values: list[Any] = []
    for member in members:
        hint = te.get_type_hints(member, include_extras=True).get(tag)
        if _bare(hint) is hint or te.get_origin(_bare(hint)) is not Literal:
            return False
        values.extend(te.get_args(_bare(hint)))
    return len(members) > 1 and len(set(values)) == len(values)
