"""A strict stand-in for the chat-completions API: real HTTP and server-sent events on loopback.

    with StandInOpenAI() as api:
        api.queue(answer("I look around.", Call("list_dir", {"path": "."})), answer("Done."))
        ...                          # base URL: api.url, key: api.key
        assert len(api.requests) == 2

It refuses what the real API refuses (`rules`), counts usage with prefix cache hits (`prefixes`),
lists models, answers from the same queue of values as the other stand-in, and can fail in the same
ways. `Quirk`s make it the gateway that compatible services are. It knows nothing of the agent.
"""

from collections.abc import Mapping
from typing import Any

from standins.exchange.faults import FaultError
from standins.exchange.replies import Answer, Refuse
from standins.exchange.server import Context, Event, Exchange
from standins.openai import events, faults, rules
from standins.openai.faults import OpenAIFaultError
from standins.openai.prefixes import Prefixes
from standins.openai.quirks import Quirk


class StandInOpenAI(Exchange):
    """A context manager; every request for a completion needs a queued behaviour."""

    request_id_header = "x-request-id"
    ping = events.PING
    garbage = b'data: {"choices": [{"del\n\n'
    no_object = b"data: [1, 2]\n\n"

    def __init__(self, *quirks: Quirk, key: str = "test-key-1234") -> None:
        super().__init__(key=key)
        self.quirks = frozenset(quirks)
        self.prefixes = Prefixes()
        self.models = [
            {"id": name, "object": "model", "created": 1_790_000_000, "owned_by": "system"}
            for name in sorted(rules.KNOWN_MODELS)
        ]

    @property
    def url(self) -> str:
        return f"{self.host}/v1"

    def check(self, path: str, headers: Mapping[str, str], body: Any) -> None:
        if Quirk.NO_KEY not in self.quirks:
            rules.check_headers(headers, self.key)
        if path == "/v1/models":
            return
        if path != "/v1/chat/completions":
            raise OpenAIFaultError(f"Invalid URL (POST {path})", 404)
        rules.check_body(body, self.quirks)

    def server_side(self, path: str) -> Mapping[str, Any] | None:
        if path == "/v1/models":
            return {"object": "list", "data": list(self.models)}
        return None

    def usage(self, body: Mapping[str, Any]) -> Mapping[str, int]:
        return self.prefixes.usage(body)

    def events(self, answer: Answer, context: Context) -> list[Event]:
        return list(events.chunks(answer, context, self.quirks))

    def whole(self, answer: Answer, context: Context) -> Mapping[str, Any]:
        return events.completion(answer, context)

    def error_event(self, kind: str) -> bytes:
        error = {"message": "as the test asked", "type": kind, "param": None, "code": None}
        return events.encoded({"error": error})

    def fault_body(self, fault: FaultError | Refuse, request_id: str) -> Mapping[str, Any]:
        match fault:
            case OpenAIFaultError():
                return faults.body(fault.status, fault.message, param=fault.param, code=fault.code)
            case Refuse():
                return faults.body(fault.status, fault.message, code=fault.code)
            case _:
                return faults.body(fault.status, fault.message)
