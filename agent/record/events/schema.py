"""The JSON Schema of what ``--json`` prints and ``events.jsonl`` holds, as pydantic makes it.

Each line is one event; the last of ``--json`` is the summary, which is ``run.json`` with an
``event`` of its own. A kind that is added to `agent.record.events.kinds` is in here by that.
"""

from typing import Any

from pydantic import TypeAdapter

from agent.record.events.forms import adapter
from agent.record.events.kinds import KINDS
from agent.record.events.recorded import RecordedModel

Schema = dict[str, Any]

_HEAD: Schema = {
    "event": {},
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
    shapes = [
        _line(kind, places[kind, "validation"], _HEAD if kind in KINDS else {}) for kind in models
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of `moonpool run --json`",
        "description": "Lines come in the order of `seq`; the last is the summary. Nothing is "
        "printed where the run could not begin: see the exit code and standard error.",
        "oneOf": shapes,
        "$defs": made["$defs"],
    }


def _line(kind: str, own: Schema, head: Schema) -> Schema:
    # We write every field, those with a default too.
    properties = {**head, **own["properties"], "event": {"const": kind}}
    return {**own, "title": kind, "properties": properties, "required": [*properties]}
