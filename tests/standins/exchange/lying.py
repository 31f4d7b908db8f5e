"""A service that says something else of its use than it counted."""

import json
from collections.abc import Callable, Mapping

from standins.exchange.replies import Answer
from standins.exchange.server import Context, Event, Exchange

Retell = Callable[[Mapping[str, object], int], object]
"""What is said in place of counts, by the number of the answer."""


def retold(api: Exchange, retell: Retell) -> None:
    """Let every event of a stand-in that tells of use tell what `retell` makes of it."""
    honest = api.events

    def bent(value: object, number: int) -> object:
        match value:
            case {"usage": dict(counts), **others}:
                rest = {key: bent(other, number) for key, other in others.items()}
                return {**rest, "usage": retell(counts, number)}
            case dict():
                return {key: bent(other, number) for key, other in value.items()}
        return value

    def lying(answer: Answer, context: Context) -> list[Event]:
        told = []
        for kind, event in honest(answer, context):
            head, data, row = event.partition(b"data: {")
            said = json.dumps(bent(json.loads(b"{" + row), context.number)) if data else ""
            told.append((kind, head + b"data: " + said.encode() + b"\n\n" if data else event))
        return told

    api.events = lying  # type: ignore[method-assign]


def ones(counts: Mapping[str, object]) -> dict[str, object]:
    """Each count as one token."""
    return {
        name: ones(count) if isinstance(count, dict) else 1 if type(count) is int else count
        for name, count in counts.items()
    }
