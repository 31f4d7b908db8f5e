"""Every error class of ours crosses processes: with its class, its words and what it carries."""

import importlib
import inspect
import pickle
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

import agent
import images
import policies
import sandbox
from agent.record.outcome import LimitReached, RunLimit
from agent.review.decide.marks import SetMark
from checkout import ROOT
from policies.errors import Where

OF_EXTRAS = frozenset(
    {
        "agent.batch.engines.cluster.ray_cluster",
        *(f"agent.servers.inspect.{n}" for n in ("compose", "config", "provider", "results")),
        *(f"agent.servers.inspect.{n}" for n in ("opening", "samples")),
    }
)
"""What `make setup` does not install is imported there; no error class is defined in them."""
ROOMS = (agent, images, policies, sandbox)
EXAMPLES: dict[Any, Any] = {
    str: "some words", bytes: b"a\xff", int: 7, float: 1.5, bool: True, Path: Path("/a"),
    Where: Where(file="p.yaml", line=3, column=2, width=4), object: "anything", Any: "anything",
    SetMark: SetMark(value="accept", by="somebody", revision=3),
    LimitReached: LimitReached(limit=RunLimit.TIME, detail="some words"),
}  # fmt: skip
"""A value of each kind that an error is made with."""


def error_classes() -> Iterator[type[BaseException]]:
    """Those defined in our packages, by walking them."""
    for room in ROOMS:
        for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if found.name in OF_EXTRAS:
                source = (ROOT / f"{found.name.replace('.', '/')}.py").read_text("utf-8")
                assert not re.search(r"^class .*(?:Error|Exception)", source, re.MULTILINE)
                continue
            module = importlib.import_module(found.name)
            for _, value in inspect.getmembers(module, inspect.isclass):
                if issubclass(value, BaseException) and value.__module__ == module.__name__:
                    yield value


CLASSES = sorted(set(error_classes()), key=lambda made: (made.__module__, made.__qualname__))


def example(kind: Any, *, depth: int = 0) -> Any:
    """A value of that type, as a constructor wants it; errors hold errors once."""
    if kind in EXAMPLES:
        return EXAMPLES[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return parts[0]
    if origin in {Union, UnionType}:
        return example(parts[0], depth=depth)
    if origin is tuple:
        kinds = () if depth else parts
        return tuple(example(part, depth=depth) for part in kinds if part is not ...)
    if origin in {list, frozenset, set}:
        return origin([example(parts[0], depth=depth)])
    if inspect.isclass(kind) and issubclass(kind, BaseException):
        return made(kind, depth=depth + 1)
    raise AssertionError(f"no example of {kind}: add one")


def made(kind: type[BaseException], *, depth: int = 0) -> BaseException:
    """An error of that class, with a value for each argument of its constructor."""
    if kind.__init__ is BaseException.__init__ or not inspect.isfunction(kind.__init__):
        return kind("some words")
    hints = get_type_hints(kind.__init__)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(kind.__init__).parameters.items())[1:]:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            named[name] = example(hints[name], depth=depth)
        elif parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            positional.append(example(hints[name], depth=depth))
    return kind(*positional, **named)


def test_they_are_found() -> None:
    names = {one.__name__ for one in CLASSES}
    assert len(CLASSES) >= 60
    assert {"PolicyError", "InTheWayError", "DoesNotApply", "GitRefused", "RecordHeld"} <= names


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_an_error_is_the_same_on_the_other_side(kind: type[BaseException], protocol: int) -> None:
    error = made(kind)
    error.add_note("a note")
    came = pickle.loads(pickle.dumps(error, protocol))
    assert type(came) is kind
    assert (str(came), came.args) == (str(error), error.args)
    assert _plain(vars(came)) == _plain(vars(error))


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Errors within errors are compared by what they say: they are equal only to themselves."""

    def plain(value: Any) -> Any:
        if isinstance(value, BaseException):
            return type(value), str(value), _plain(vars(value))
        return tuple(map(plain, value)) if isinstance(value, list | tuple) else value

    return {name: plain(value) for name, value in state.items()}
