"""A script file, from YAML text to turns: strict, every error with file, line and key path.

Owns the form that `agent.models.script.player` documents. Refuses to know how a turn is played.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic
import yaml

from agent.errors import UsageError
from agent.models.interface import StopReason
from policies.file.fields import StrictModel
from policies.frozen import dataclass
from sandbox.threads import Recent

LARGEST_BYTES: Final = 16 * 1024 * 1024
_DEEPEST: Final = 60
_MOST_VALUES: Final = 200_000

Expectation = str | re.Pattern[str]
_Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedCall:
    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    line: int
    """1-based, in the file."""
    text: str
    calls: tuple[ScriptedCall, ...]
    expect: tuple[Expectation, ...]
    stop: StopReason | None


def load(path: Path) -> tuple[Turn, ...]:
    """Read a script.

    Raises:
        UsageError: one line that names file, line and key path where it can.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: can't read the script: {error.strerror or error}") from error
    if len(data) > LARGEST_BYTES:
        raise UsageError(f"{path}: a script may have {LARGEST_BYTES} bytes at most")
    return _decoded.get((data, str(path)), lambda: decode(data, str(path)))


_decoded = Recent[tuple["Turn", ...]](2)
"""A batch plays one script in each of its runs."""


def decode(data: bytes, name: str) -> tuple[Turn, ...]:
    """As `load`, from bytes; ``name`` stands in the errors."""
    try:
        node = yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise UsageError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from error
    if node is None:
        raise UsageError(f"{name}: the script is empty: it needs version and turns")
    document = _Document(name)
    value = document.value(node, ())
    try:
        script = _Script.model_validate(value)
    except pydantic.ValidationError as error:
        raise UsageError(document.explained(error)) from error
    return tuple(
        _turn(turn, document.line(("turns", index))) for index, turn in enumerate(script.turns)
    )


class _ScriptCall(StrictModel):
    tool: Annotated[str, pydantic.Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    arguments: dict[str, Any] = pydantic.Field(default_factory=dict)


class _Regex(StrictModel):
    regex: str

    @pydantic.field_validator("regex")
    @classmethod
    def _compiles(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return text


_Expect = Annotated[str, pydantic.Field(min_length=1)] | _Regex


class _Turn(StrictModel):
    text: str = ""
    calls: list[_ScriptCall] = pydantic.Field(default_factory=list)
    expect: _Expect | list[_Expect] = pydantic.Field(default_factory=list)
    stop: Literal[tuple(reason.value for reason in StopReason)] | None = None  # type: ignore[valid-type]

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> "_Turn":
        if not (self.text.strip() or self.calls or self.stop):
            raise ValueError("a turn needs text, calls or stop")
        if self.stop == StopReason.TOOL_USE and not self.calls:
            raise ValueError("stop: tool_use needs calls")
        return self


class _Script(StrictModel):
    version: Literal[1]
    turns: Annotated[list[_Turn], pydantic.Field(min_length=1)]


def _turn(turn: _Turn, line: int) -> Turn:
    expect = turn.expect if isinstance(turn.expect, list) else [turn.expect]
    return Turn(
        line=line,
        text=turn.text,
        calls=tuple(ScriptedCall(tool=call.tool, arguments=call.arguments) for call in turn.calls),
        expect=tuple(
            re.compile(item.regex, re.MULTILINE) if isinstance(item, _Regex) else item
            for item in expect
        ),
        stop=StopReason(turn.stop) if turn.stop is not None else None,
    )


class _Document:
    """Plain values of YAML nodes, and the line that each place stands on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: dict[_Place, int] = {}
        self._scalars = yaml.SafeLoader("")

    def line(self, place: _Place) -> int:
        """Of the place, or of the nearest one around it."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def value(self, node: yaml.Node, place: _Place) -> object:
        self._lines[place] = node.start_mark.line + 1
        if len(place) > _DEEPEST:
            # An alias that contains itself ends here too.
            raise self._error(place, "nested too deeply")
        if len(self._lines) > _MOST_VALUES:
            # Aliases of aliases grow without end from a few lines.
            raise self._error(place, f"more than {_MOST_VALUES} values")
        match node:
            case yaml.MappingNode():
                return self._mapping(node, place)
            case yaml.SequenceNode():
                return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
            case _:
                return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, place: _Place) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node, place) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise self._error(place, "a key must be text: put it in quotes")
            if key in result:
                self._lines[(*place, key)] = key_node.start_mark.line + 1
                raise self._error((*place, key), "stands there twice")
            result[key] = self.value(value_node, (*place, key))
        return result

    def _scalar(self, node: yaml.Node, place: _Place) -> object:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self._error(place, f"not a value: {str(error).splitlines()[0]}") from error
        if isinstance(value, float) and value - value != 0:
            raise self._error(place, "JSON has no such number")
        if value is None or isinstance(value, str | int | float | bool):
            return value
        raise self._error(place, f"JSON has no {type(value).__name__}: put it in quotes")

    def explained(self, error: pydantic.ValidationError) -> str:
        """The first complaint about what is deepest in the file: the nearest to the cause."""
        worst = max(error.errors(), key=lambda item: len(self._known(item["loc"])))
        place = self._known(worst["loc"])
        if worst["type"] == "extra_forbidden":
            return str(self._error(place, "is no key of a script"))
        if worst["type"] == "missing":
            return str(self._error(place, f"{worst['loc'][-1]} is missing"))
        return str(self._error(place, worst["msg"].removeprefix("Value error, ")))

    def _known(self, loc: _Place) -> _Place:
        """pydantic names the branches of a union in its places; the file does not."""
        place: _Place = ()
        for step in loc:
            if (*place, step) in self._lines:
                place = (*place, step)
        return place

    def _error(self, place: _Place, message: str) -> UsageError:
        key = "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" for step in place
        ).removeprefix(".")
        return UsageError(f"{self._name}:{self.line(place)}: {key + ': ' if key else ''}{message}")
