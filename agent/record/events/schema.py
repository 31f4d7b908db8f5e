"""The JSON Schema of what ``--json`` prints and ``events.jsonl`` holds, as pydantic makes it.

Each line is one event; the last of ``--json`` is the summary, which is ``run.json`` with an
``event`` of its own. A kind that is added to `agent.record.events.kinds` is in here by that.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from agent.record.events.forms import adapter
from agent.record.events.kinds import KINDS
from agent.record.events.recorded import RecordedModel

Schema = dict[str, Any]

_CHAIN: Mapping[str, Schema] = {
    "seq": {"type": "integer", "description": "Counts the lines of the record, from 0."},
    "time": {"type": "string", "format": "date-time"},
    "prev": {"type": "string", "description": "sha256 of the line before; 64 zeros on the first."},
}


def schema(summary: type[RecordedModel]) -> Schema:
    """The JSON Schema of one line.

    Args:
        summary: the model of ``run.json``.
    """
    models = {**KINDS, "summary": summary}
    places, made = TypeAdapter.json_schemas(
        [
            (kind, "validation", adapter(model))  # type: ignore[arg-type]
            for kind, model in models.items()
        ]
    )
    own = {kind: places[kind, "validation"] for kind in models}
    events = [_event(kind, own[kind]) for kind in KINDS]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of `moonpool run --json`",
        "description": "Lines come in the order of `seq`; the last is the summary. Nothing is "
        "printed where the run could not begin: see the exit code and standard error.",
        "oneOf": [*events, _summary(own["summary"])],
        "$defs": made["$defs"],
    }


def _event(kind: str, own: Schema) -> Schema:
    properties = {"event": {"const": kind}, **_CHAIN, **own["properties"]}
    properties["event"] = {"const": kind}
    # We write every field, those with a default too.
    return {**own, "title": kind, "properties": properties, "required": [*properties]}


def _summary(own: Schema) -> Schema:
    properties = {**own["properties"], "event": {"const": "summary"}}
    return {**own, "title": "summary", "properties": properties, "required": [*properties]}
