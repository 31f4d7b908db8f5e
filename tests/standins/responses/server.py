"""A strict stand-in for the Responses API: real HTTP and server-sent events on loopback.

    with StandInResponses() as api:
        api.queue(answer("I look around.", Call("list_dir", {"path": "."})), answer("Done."))
        ...                          # base URL: api.url, key: api.key
        assert len(api.requests) == 2

It refuses what the real API refuses (`rules`), keeps nothing from one request to the next, reads
back what it encrypted (`sealing`), counts usage with prefix cache hits, lists models, answers from
the same queue of values as the other stand-ins, and can fail in the same ways. `ResponsesQuirk`s
make it the gateway that compatible services are. It knows nothing of the agent.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from standins.exchange.replies import Answer
from standins.exchange.server import Context, Event
from standins.openai.service import OpenAIService
from standins.responses import events, rules
from standins.responses.quirks import ResponsesQuirk


class StandInResponses(OpenAIService):
    """The Responses API."""

    path = "/responses"
    garbage = b'event: response.output_text.delta\ndata: {"type": "response.out\n\n'
    no_object = b"event: response.output_text.delta\ndata: [1, 2]\n\n"

    def __init__(self, *quirks: ResponsesQuirk, key: str = "test-key-1234") -> None:
        self.quirks = frozenset(quirks)
        super().__init__(key=key, models=rules.KNOWN_MODELS)

    def check_body(self, body: Any) -> None:
        rules.check_body(body, self.quirks)

    def usage(self, body: Mapping[str, Any]) -> Mapping[str, int]:
        return self.prefixes.usage({"tools": body.get("tools"), "messages": body["input"]})

    def events(self, answer: Answer, context: Context) -> list[Event]:
        return events.events(answer, context, self.quirks)

    def whole(self, answer: Answer, context: Context) -> Mapping[str, Any]:
        return events.response(answer, context, self.quirks)

    def error_event(self, kind: str) -> bytes:
        error = {"code": kind, "message": "as the test asked", "param": None}
        return events.encoded({"type": "error", "sequence_number": 0, **error})

    def between(self, event: bytes) -> Iterator[bytes]:
        yield from super().between(event)
        yield b'event: response.weather\ndata: {"type": "response.weather", "sky": ["blue"]}\n\n'
