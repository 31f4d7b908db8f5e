"""What the two APIs that an OpenAI-compatible service may speak differ in, as values.

Pure. Refuses to know either of them (`agent.models.openai.chat`, `agent.models.openai.responses`)
and how a request is sent (`agent.models.openai.client`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from agent.models.interface import Request
from agent.models.openai.dialect import Dialect
from agent.models.reply_stream import ReplyStream
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WireApi:
    provider: str
    """What stands before the colon of a model's name."""
    path: str
    """Below the base URL."""
    body: Callable[[Request, str, Dialect], dict[str, Any]]
    """A request's body without ``stream``, for the model of that name."""
    stream: Callable[[int | None], ReplyStream]
    """A reader for one attempt's stream, of a reply that may have so many tokens; None: the request
    does not say."""
    public: Dialect
    """Of OpenAI's own service."""
    compatible: Dialect
    """Of every other, until it says otherwise."""
    failure: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = lambda _event: None
    """The error that an event says has ended the stream, where the SDK does not see it."""
