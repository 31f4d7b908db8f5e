"""A stand-in with a context window, which summarises on demand: for conversations that grow.

By the API's page on compaction on demand (October 2026): a request with the ``compaction``
parameter is answered with one signed block and no reply, its usage in ``usage.iterations`` only;
the block then leads the messages, behind the beta header, in place of those it was made of.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from standins.anthropic import body as body_form
from standins.anthropic import signing
from standins.anthropic.cache import tokens
from standins.anthropic.server import StandIn
from standins.exchange.replies import Answer, Behaviour, Raw, Refuse

BETA = "compact-2026-09-04"


class CompactingStandIn(StandIn):
    """`summaries`: what it writes, one after the other; then what the conversation consists of."""

    def __init__(self, *, window: int = 200_000, compacts: bool = True) -> None:
        super().__init__()
        self.window = window
        self.compacts = compacts
        self.summaries: deque[Behaviour | str] = deque()
        self.aside: Callable[[Mapping[str, Any]], Behaviour | None] = lambda body: None
        """What a request gets beside the queue; None: the next of the queue."""
        self.largest = 0
        """Input tokens of the largest request that was taken."""
        self.refused: list[str] = []
        """Why requests did not get what was queued for them."""

    def take(self, path: str, headers: Mapping[str, str], body: Any, raw: bytes) -> Any:
        """As the parent, with what a long conversation needs."""
        summary = isinstance(body, dict) and "compaction" in body
        behaviour = self._before(headers, body) if isinstance(body, dict) else None
        if behaviour is not None:
            self._queue.appendleft(behaviour)
        chosen, context = super().take(path, headers, body, raw)
        if behaviour is not None and chosen is not behaviour:
            # The parent refused the request: what was meant for it must answer no other.
            self._queue.popleft()
        if summary and isinstance(chosen, Answer):
            iteration = {"type": "compaction", **context.usage, "output_tokens": 700}
            usage = {"input_tokens": 0, "output_tokens": 0, "iterations": [iteration]}
            context = replace(context, usage=usage)  # type: ignore[arg-type]
        return chosen, context

    def _before(self, headers: Mapping[str, str], body: Mapping[str, Any]) -> Behaviour | None:
        size = tokens(body)
        fault = self._fault(headers, body, size)
        if fault is not None:
            self.refused.append(fault)
            return Refuse(400, message=fault)
        self.largest = max(self.largest, size)
        if "compaction" in body:
            return self._summary(body)
        return self.aside(body)

    def _fault(self, headers: Mapping[str, str], body: Mapping[str, Any], size: int) -> str | None:
        if body_form.uses_compaction(body):
            if not self.compacts:
                return "compaction: Extra inputs are not permitted"
            if BETA not in headers.get("anthropic-beta", ""):
                return f"compaction: requires anthropic-beta: {BETA}"
            if "context_management" in body:
                return "compaction: cannot be combined with context_management"
        if size > self.window:
            return f"prompt is too long: {size} tokens > {self.window} maximum"
        return None

    def _summary(self, body: Mapping[str, Any]) -> Behaviour:
        given = self.summaries.popleft() if self.summaries else None
        if given is not None and not isinstance(given, str):
            return given
        text = given or f"Summary of {len(body['messages'])} messages."
        return Answer(blocks=(Raw(signing.summary(body, text)),), stop="compaction")
