"""The decorator of values does what the standard one does; only when it does it is its own."""

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import pytest

from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A class that can be pickled."""

    name: str
    size: float = 0.0
    shown: bytes = dataclasses.field(default=b"", repr=False, compare=False)
    extra: Mapping[str, int] = dataclasses.field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch(Leaf):
    below: tuple[Leaf, ...] = ()

    def __hash__(self) -> int:
        return 7


@dataclass(frozen=True, slots=True)
class Pair:
    left: int
    right: int = 2


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


def standard(made: type[Any]) -> type[Any]:
    """The same class by the standard decorator."""
    fields = dataclasses.fields(made)
    namespace: dict[str, object] = {
        item.name: dataclasses.field(
            default_factory=item.default_factory,
            repr=item.repr,
            compare=item.compare,
            hash=item.hash,
        )
        if item.default_factory is not dataclasses.MISSING
        else dataclasses.field(
            default=item.default, repr=item.repr, compare=item.compare, hash=item.hash
        )
        for item in fields
    }
    namespace["__annotations__"] = {item.name: item.type for item in fields}
    kw_only = any(item.kw_only for item in fields)
    plain = type(made.__name__, (), namespace)
    twin: object = dataclasses.dataclass(frozen=True, slots=True, kw_only=kw_only)(plain)
    assert isinstance(twin, type)
    return twin


CALLS: list[tuple[type[Any], tuple[Any, ...], dict[str, Any]]] = [
    (Leaf, (), {"name": "a"}),
    (Leaf, (), {"name": "a", "size": math.nan, "shown": b"x", "extra": {"k": 1}}),
    (Leaf, (), {}),
    (Leaf, ("a",), {}),
    (Leaf, (), {"name": "a", "other": 1}),
    (Branch, (), {"name": "a", "below": (Leaf(name="b"),)}),
    (Pair, (1,), {}),
    (Pair, (1, 3), {}),
    (Pair, (), {"right": 3}),
    (Pair, (1, 2, 3), {}),
    (Nothing, (), {}),
    (Nothing, (1,), {}),
]


def outcome(made: type[Any], do: Callable[[], object]) -> object:
    try:
        return do()
    except (TypeError, AttributeError) as error:
        return type(error), str(error).replace(f"{made.__qualname__}.", "")


@pytest.mark.parametrize(("made", "given", "named"), CALLS)
def test_it_takes_and_shows_what_the_standard_one_does(
    made: type[Any], given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    twin = standard(made)
    ours = outcome(made, lambda: repr(made(*given, **named)))
    assert ours == outcome(twin, lambda: repr(twin(*given, **named)))


def test_equal_are_values_of_one_class_whose_compared_fields_are() -> None:
    one, other = Leaf(name="a", shown=b"1"), Leaf(name="a", shown=b"2")
    assert one == other
    assert hash(one) == hash(other)
    assert one != Leaf(name="b")
    assert one != Branch(name="a")
    plain: object = (1, 2)
    assert Pair(1) != plain
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())
    assert {Pair(1): "x"}[Pair(1, 2)] == "x"


def test_what_is_not_hashed_of_a_value_is_compared_still() -> None:
    assert Leaf(name="a", extra={"k": 1}) != Leaf(name="a")
    assert hash(Leaf(name="a", extra={"k": 1})) == hash(Leaf(name="a"))


def test_a_method_that_the_class_has_is_kept() -> None:
    assert hash(Branch(name="a")) == 7


def test_a_default_that_is_made_is_made_anew() -> None:
    assert Leaf(name="a").extra is not Leaf(name="b").extra


def test_the_hundredth_value_of_a_class_is_as_the_first() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Many:
        name: str
        size: int = 3
        extra: Mapping[str, int] = dataclasses.field(default_factory=dict)

    made = [Many(name="a", extra={}) if number % 2 else Many(name="a") for number in range(100)]
    assert {repr(one).rpartition(".")[2] for one in made} == {"Many(name='a', size=3, extra={})"}
    assert all(one == made[0] for one in made)
    assert len({id(one.extra) for one in made}) == 100


def test_nothing_changes_afterwards() -> None:
    value: Any = Leaf(name="a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        value.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del value.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.other = 1
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(
    "value", [Leaf(name="a", extra={"k": 1}), Branch(name="b", below=(Leaf(name="c"),)), Nothing()]
)
def test_a_value_is_copied_and_crosses_processes(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value


def test_the_standard_library_knows_its_fields() -> None:
    assert dataclasses.is_dataclass(Branch)
    names = ["name", "size", "shown", "extra", "below"]
    assert [item.name for item in dataclasses.fields(Branch)] == names
    assert dataclasses.replace(Pair(1), right=5) == Pair(1, 5)
    assert dataclasses.asdict(Pair(1)) == {"left": 1, "right": 2}
    assert [*get_type_hints(Pair)] == ["left", "right"]
    match Pair(3, 4):
        case Pair(left, right):
            assert (left, right) == (3, 4)


def test_what_is_not_frozen_is_the_standard_ones() -> None:
    @dataclass(slots=True)
    class Counter:
        count: int = 0

    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)
