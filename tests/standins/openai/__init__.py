"""A strict stand-in for the chat-completions API: real HTTP and server-sent events on loopback.

    with StandInOpenAI() as api:
        api.queue(answer("I look around.", Call("list_dir", {"path": "."})), answer("Done."))
        ...                          # base URL: api.url, key: api.key
        assert len(api.requests) == 2

It refuses what the real API refuses (`rules`), counts usage with prefix cache hits (`prefixes`),
lists models, answers from the same queue of values as `standin`, and can fail in the same ways.
`Quirk`s make it the gateway that compatible services are. It knows nothing of the agent.
"""

from standins.openai.quirks import Quirk
from standins.openai.server import StandInOpenAI

__all__ = ["Quirk", "StandInOpenAI"]
