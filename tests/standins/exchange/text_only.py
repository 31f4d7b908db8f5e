"""A model that has no tool calls: what it would call, it writes into its answer.

As its prompt asks for it, where that says how; else as small models do when they are offered tools
that their template does not know: JSON in a fence.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from standins.exchange.replies import Answer, Call

_LABEL = re.compile(r"^```(call-[0-9a-f]+)$", re.MULTILINE)


def in_text(answer: Answer, request: Mapping[str, Any]) -> Answer:
    """The same answer from such a model."""
    calls = [block for block in answer.blocks if isinstance(block, Call)]
    if not calls:
        return answer
    words = [block for block in answer.blocks if isinstance(block, str)]
    label = _label(request)
    fences = [f"```{label}\n{_json(call)}\n```" for call in calls]
    return replace(answer, blocks=("\n\n".join([*words, *fences]),), stop=None)


def _label(request: Mapping[str, Any]) -> str:
    if request.get("tools"):
        return "json"
    found = (_LABEL.search(text) for text in _texts(request))
    return next((match[1] for match in found if match is not None), "json")


def _json(call: Call) -> str:
    return json.dumps({"name": call.name, "arguments": dict(call.arguments)})


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for key in sorted(value, key=lambda key: key != "system"):
                yield from _texts(value[key])
        case list():
            for item in value:
                yield from _texts(item)
