"""Whatever an event holds, its line says it, reads back as it, and fits the printed schema."""

import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import RecordError
from agent.record.events.conversation import ModelCalled
from agent.record.events.kinds import KINDS, decode
from agent.record.events.lifecycle import Notice
from agent.record.events.recorded import CutText, RecordedModel, is_whole, texts_in
from agent.record.events.schema import schema
from agent.record.summary import RunSummary
from fakes.json_schema import fits

SCHEMA = schema(RunSummary)
SHAPES = {one["title"]: one for one in SCHEMA["oneOf"]}
MODELS: dict[str, type[RecordedModel]] = {**KINDS, "summary": RunSummary}
HEAD = {"seq": 0, "time": "2026-01-01T00:00:00+00:00", "prev": "0" * 64}

# Lone surrogates stand for what models write, long ones for what is cut.
texts = st.text(st.characters(), max_size=12) | st.just("x" * 300_000) | st.just("\ud800[redacted]")
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2)
)
forged = st.just({"head": "a", "characters": 3, "sha256": "b"}) | st.just({"type": "text"})
SIMPLE: Mapping[Any, st.SearchStrategy[Any]] = {
    str: texts,
    bytes: st.binary(max_size=8),
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(),
    type(None): st.none(),
}


def made_of(hint: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - a line a kind of type
    """Values of any type that an event has."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return st.one_of([made_of(one) for one in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple and inner[-1] is ...:
        return st.lists(made_of(inner[0]), max_size=2).map(tuple)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(texts, values | forged, max_size=3) | forged
    if hint in SIMPLE:
        return SIMPLE[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    assert isinstance(hint, type), hint
    assert is_dataclass(hint), hint
    hints = get_type_hints(hint)
    return st.builds(hint, **{item.name: made_of(hints[item.name]) for item in fields(hint)})


def instances(model: type[RecordedModel]) -> st.SearchStrategy[RecordedModel]:
    parts = {name: made_of(hint) for name, hint in model.recorded_fields.items()}
    return st.builds(model, **parts)


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=25)
@given(data=st.data())
def test_an_event_reads_back_as_its_line_says(kind: str, data: st.DataObject) -> None:
    model = MODELS[kind]
    event = data.draw(instances(model))
    row = event.json_object()
    line = json.loads(json.dumps(row))
    read = model.read(line, kind)
    assert json.loads(json.dumps(read.json_object())) == line
    if all(_is_plain(text) for text in texts_in(event)) and not _holds_forged(line):
        assert repr(read) == repr(event)
    shape = SHAPES[kind]
    assert fits({**line, "event": kind} if kind == "summary" else {**line, **HEAD}, shape, SCHEMA)


def _holds_forged(value: object) -> bool:
    """Whether data of a stranger's look as a cut text does: they are read as one, to no harm."""
    if isinstance(value, dict):
        return value.keys() in ({"head", "characters", "sha256"}, {"base64"}) or any(
            map(_holds_forged, value.values())
        )
    return isinstance(value, list) and any(map(_holds_forged, value))


def _is_plain(text: str) -> bool:
    return len(text) < 300_000 and not any("\ud800" <= char <= "\udfff" for char in text)


def test_a_string_is_cut_whatever_field_it_stands_in() -> None:
    long = "x" * 300_000
    row = Notice(text=long).json_object()
    digest = hashlib.sha256(long.encode()).hexdigest()
    assert row["text"] == {"head": "x" * 4096, "characters": 300_000, "sha256": digest}
    read = decode(row)
    assert isinstance(read, Notice)
    assert isinstance(read.text, CutText)
    assert not is_whole(read)
    assert read.text.endswith("more characters were not recorded]")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"event": "notice"}, "notice has no `text`"),
        ({"event": "notice", "text": 1}, "notice has a `text` that this version does not write"),
        ({"event": "notice", "text": "a", "more": 1}, "a field `more` that this version"),
        ({"event": "notice", "text": {"head": "a"}}, "notice has a `text`"),
        ({"event": "request_awaited", "outcome": {"type": "nope"}}, "request_awaited has a `out"),
        ({"event": "request_awaited", "outcome": {"type": "finished"}}, "has no `outcome.fin"),
        ({"event": "gone"}, "there is no event 'gone'"),
        ({"event": ["x"]}, "there is no event"),
        ({}, "there is no event 'None'"),
        ({"event": "\x1b[2J\u202e"}, r"there is no event '\\x1b"),
    ],
)
def test_what_is_no_line_of_ours_is_named_in_one_line(row: dict[str, object], words: str) -> None:
    with pytest.raises(RecordError) as caught:
        decode(row)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_field_that_earlier_builds_wrote_and_nobody_read_is_passed_over() -> None:
    row = ModelCalled(turn=2, messages=3).json_object()
    assert decode({**row, "system_sha256": "00"}) == ModelCalled(turn=2, messages=3)
    with pytest.raises(RecordError, match="a field `other`"):
        decode({**row, "other": "00"})


def test_a_line_nested_deeper_than_any_reader_goes_is_named_too() -> None:
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(RecordError, match="call_started"):
        decode({"event": "call_started", "arguments": {"x": deep}})


def test_an_event_is_never_changed() -> None:
    event = Notice(text="a")
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        event.text = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot delete"):
        del event.text
    with pytest.raises(TypeError, match="without"):
        Notice()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Notice of"):
        Notice(text="a", more=1)  # type: ignore[call-arg]
