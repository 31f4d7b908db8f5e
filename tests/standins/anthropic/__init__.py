"""A strict stand-in for the Messages API: real HTTP and server-sent events on loopback.

    with StandIn() as api:
        api.queue(answer("I look around.", Call("list_dir", {"path": "."})), answer("Done."))
        ...                          # base URL: api.url, key: api.key
        assert len(api.requests) == 2

It refuses what the real API refuses (`rules`, `fields`, `signing`), counts usage with prefix cache
hits the way the API documents them (`cache`), answers from a queue (`replies`), and can fail in
every documented way. It knows nothing of the agent: it imports the SDK's types and no code of ours.
"""

from standins.anthropic.compacting import CompactingStandIn
from standins.anthropic.server import StandIn
from standins.exchange.replies import (
    THE_END,
    Answer,
    Behaviour,
    Break,
    Call,
    Found,
    Framing,
    How,
    Page,
    Raw,
    Refuse,
    Search,
    Thought,
    answer,
)
from standins.exchange.server import Recorded

__all__ = [
    "THE_END",
    "Answer",
    "Behaviour",
    "Break",
    "Call",
    "CompactingStandIn",
    "Found",
    "Framing",
    "How",
    "Page",
    "Raw",
    "Recorded",
    "Refuse",
    "Search",
    "StandIn",
    "Thought",
    "answer",
]
