"""A strict stand-in for the Messages API: real HTTP and server-sent events on loopback.

    with StandIn() as api:
        api.queue(answer("I look around.", Call("list_dir", {"path": "."})), answer("Done."))
        ...                          # base URL: api.url, key: api.key
        assert len(api.requests) == 2

It refuses what the real API refuses (`standins.anthropic.rules`, `standins.anthropic.body`,
`standins.anthropic.signing`), counts usage with prefix cache
hits the way the API documents them (`cache`), answers from a queue (`replies`), and can fail in
every documented way. It knows nothing of the agent: it imports the SDK's types and no code of ours.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from standins.anthropic import events, faults, listing, rules
from standins.anthropic.cache import Cache
from standins.exchange.faults import FaultError
from standins.exchange.replies import Answer, Refuse
from standins.exchange.server import Context, Event, Exchange


class StandIn(Exchange):
    """The Messages API. A context manager; every request needs a queued behaviour."""

    request_id_header = "request-id"
    ping = events.PING
    garbage = b'event: content_block_delta\ndata: {"type": "content_bl\n\n'
    no_object = b"event: content_block_delta\ndata: [1, 2]\n\n"

    def __init__(self, *, key: str = "test-key-1234") -> None:
        super().__init__(key=key)
        self.cache = Cache()

    def check(self, path: str, headers: Mapping[str, str], body: Any) -> None:
        if path.partition("?")[0] == listing.PATH:
            rules.check_key(headers, self.key)
            return
        rules.check_headers(headers, self.key)
        if path.partition("?")[0] != "/v1/messages":
            raise FaultError(f"{path} is not there", 404)
        rules.check_body(body)

    def server_side(self, path: str) -> Mapping[str, Any] | None:
        if path.partition("?")[0] == listing.PATH:
            # A queued failure comes before a page that would not be found.
            return {} if self._fails_next() else listing.page(self.models, path)
        return None

    def usage(self, body: Mapping[str, Any]) -> Mapping[str, int]:
        return self.cache.usage(body)

    def events(self, answer: Answer, context: Context) -> list[Event]:
        return [(event[0], events.encoded(event)) for event in events.events(answer, context)]

    def whole(self, answer: Answer, context: Context) -> Mapping[str, Any]:
        return events.message(answer, context)

    def error_event(self, kind: str) -> bytes:
        return events.encoded(("error", {"error": {"type": kind, "message": "as the test asked"}}))

    def fault_body(self, fault: FaultError | Refuse, request_id: str) -> Mapping[str, Any]:
        kind = faults.TYPES.get(fault.status, "api_error")
        code = fault.code if isinstance(fault, Refuse) else None
        return faults.body(kind, fault.message, request_id, code)

    def between(self, event: bytes) -> Iterator[bytes]:
        yield from super().between(event)
        yield b'event: weather\ndata: {"type": "weather", "sky": ["blue"]}\n\n'
