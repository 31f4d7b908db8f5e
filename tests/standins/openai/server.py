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

from standins.exchange.replies import Answer
from standins.exchange.server import Context, Event
from standins.openai import events, rules
from standins.openai.quirks import Quirk
from standins.openai.service import OpenAIService


class StandInOpenAI(OpenAIService):
    """Chat completions."""

    path = "/chat/completions"
    garbage = b'data: {"choices": [{"del\n\n'
    no_object = b"data: [1, 2]\n\n"

    def __init__(self, *quirks: Quirk, key: str = "test-key-1234") -> None:
        self.quirks = frozenset(quirks)
        takes_any_key = Quirk.NO_KEY in quirks
        super().__init__(key=key, models=rules.KNOWN_MODELS, takes_any_key=takes_any_key)

    def check_body(self, body: Any) -> None:
        rules.check_body(body, self.quirks)

    def usage(self, body: Mapping[str, Any]) -> Mapping[str, int]:
        return self.prefixes.usage(body)

    def events(self, answer: Answer, context: Context) -> list[Event]:
        return list(events.chunks(answer, context, self.quirks))

    def whole(self, answer: Answer, context: Context) -> Mapping[str, Any]:
        return events.completion(answer, context)

    def error_event(self, kind: str) -> bytes:
        error = {"message": "as the test asked", "type": kind, "param": None, "code": None}
        return events.encoded({"error": error})
