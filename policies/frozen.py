"""Frozen dataclasses that cost little where they are only defined: a start defines 200 of them.

The standard decorator compiles five methods for each class, 0.3 ms and 15 KiB. Here fields and
slots are its work too, so `fields`, `replace` and `match` know no difference; but `__init__` is
compiled when there are many instances, and the other methods are shared. Owns how the class of a
value is made. Refuses to know any value.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A type checker takes it for the standard one, whose results it has.
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - it is named from here
else:

    def dataclass(made: Any = None, /, **options: bool) -> Any:
        """As `dataclasses.dataclass`; what is not frozen and slotted is left to that."""
        if made is None:
            return lambda later: dataclass(later, **options)
        if not (options.get("frozen") and options.get("slots")):
            return dataclasses.dataclass(made, **options)
        return _frozen(made, kw_only=options.get("kw_only", False))


def _frozen(written: type[Any], *, kw_only: bool) -> type[Any]:
    own = vars(written)
    # Where there is none the standard decorator writes a signature, which takes longest of all.
    written.__doc__ = written.__doc__ or f"{written.__name__}()"
    made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(
        written
    )
    methods: dict[str, object] = {
        "__init__": _init_when_called(made),
        "__repr__": _repr,
        "__eq__": _eq,
        "__hash__": _hash,
        "__setattr__": _refuse_to_set,
        "__delattr__": _refuse_to_delete,
        "__getstate__": _getstate,
        "__setstate__": _setstate,
    }
    for name, method in methods.items():
        if name not in own or (name == "__hash__" and own[name] is None):
            setattr(made, name, method)
    return made


_FEW = 32
"""Instances. To compile costs a class 0.1 ms and 4 KiB, to do without costs an instance 2 us; most
classes have a handful in a run."""


def _init_when_called(made: type[Any]) -> Callable[..., None]:
    called = 0

    def __init__(self: object, *args: object, **values: object) -> None:  # noqa: N807 - it becomes one
        nonlocal called
        called += 1
        if called > _FEW or args or not _filled(made, self, values):
            made.__init__ = _init(made)
            made.__init__(self, *args, **values)

    return __init__


def _filled(made: type[Any], value: object, given: Mapping[str, object]) -> bool:
    """Set the fields; False where the names given are not theirs, which `_init` complains of."""
    missing = len(given)
    for field in dataclasses.fields(made):
        if field.name in given:
            missing -= 1
            content = given[field.name]
        elif field.default is not dataclasses.MISSING:
            content = field.default
        elif field.default_factory is not dataclasses.MISSING:
            content = field.default_factory()
        else:
            return False
        object.__setattr__(value, field.name, content)
    return not missing


def _init(made: type[Any]) -> Callable[..., None]:
    """The `__init__` that the standard decorator would write: by slots, which are not frozen."""
    scope: dict[str, Any] = {"_missing": dataclasses.MISSING}
    positional: list[str] = ["self"]
    keywords: list[str] = []
    body: list[str] = []
    for field in dataclasses.fields(made):
        name = field.name
        scope[f"_set_{name}"] = getattr(made, name).__set__
        parameter, value = name, name
        if field.default is not dataclasses.MISSING:
            scope[f"_default_{name}"] = field.default
            parameter = f"{name}=_default_{name}"
        elif field.default_factory is not dataclasses.MISSING:
            scope[f"_make_{name}"] = field.default_factory
            parameter = f"{name}=_missing"
            value = f"_make_{name}() if {name} is _missing else {name}"
        (keywords if field.kw_only else positional).append(parameter)
        body.append(f" _set_{name}(self, {value})")
    parameters = [*positional, *(["*", *keywords] if keywords else [])]
    exec(f"def __init__({', '.join(parameters)}):\n" + ("\n".join(body) or " pass"), scope)  # noqa: S102 - names of fields
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__module__ = made.__module__
    return init


@cache
def _getter(made: type[Any], *, hashed: bool) -> Callable[[object], tuple[Any, ...]]:
    """What gives of a value all that counts where it is compared, or hashed."""
    names = [
        field.name
        for field in dataclasses.fields(made)
        if (field.compare if field.hash is None or not hashed else field.hash)
    ]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: object, other: object) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    made: Any = type(self)
    get = _getter(made, hashed=False)
    return get(self) == get(other)


def _hash(self: object) -> int:
    made: Any = type(self)
    return hash(_getter(made, hashed=True)(self))


def _refuse_to_set(_self: object, name: str, _value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
