"""How many tokens the next request will have, without a request made to count them.

They are known from the newest reply's usage. What came since is estimated at three bytes a token;
once something was left out, all of it by the tokens that a byte had until then.
"""

import json
from collections.abc import Sequence

from agent.conversation.budget import BYTES_A_TOKEN, TokensNeeded
from agent.conversation.window import bytes_of, sent
from agent.models.interface import Message, ToolSpec, Usage
from agent.record.state.window import ContextWindow
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class _AnsweredRequest:
    """The newest request that was answered."""

    window: ContextWindow
    size: int
    """Bytes, its answer included."""
    tokens: int
    counted: int
    """What the service said, be it plausible or not: as much is paid for again."""


class TokenEstimate:
    """Follows the requests of one conversation. Mutable."""

    def __init__(self, system: str, tools: Sequence[ToolSpec]) -> None:
        self.fixed_bytes = len(system.encode("utf-8", "replace")) + sum(
            len(tool.description) + len(json.dumps(dict(tool.schema))) for tool in tools
        )
        """What every request has beside its messages."""
        self._last: _AnsweredRequest | None = None

    @property
    def known(self) -> int:
        """Tokens of the newest request that was answered; 0 where there is none."""
        return self._last.tokens if self._last is not None else 0

    def answered(self, history: Sequence[Message], window: ContextWindow, usage: Usage) -> None:
        """A reply came, and is the last message of the history."""
        tokens = counted = usage.all_input + usage.output_tokens
        size = self.size(history, window)
        # A service that counts nothing, or more than bytes, is not taken at its word.
        if not size / 12 <= tokens <= size * 2:
            tokens = int(size / BYTES_A_TOKEN)
        self._last = _AnsweredRequest(window=window, size=size, tokens=tokens, counted=counted)

    def refused(self, history: Sequence[Message], window: ContextWindow, *, least: int) -> None:
        """The service says that this is too long: it has `least` tokens, however it was counted."""
        tokens = max(self.tokens(history, window), least)
        size = self.size(history, window)
        self._last = _AnsweredRequest(window=window, size=size, tokens=tokens, counted=0)

    def forget(self) -> None:
        """The history is another one: nobody knows how much of it the service has in its cache."""
        self._last = None

    def size(self, history: Sequence[Message], window: ContextWindow) -> int:
        """Bytes of a request."""
        return self.fixed_bytes + bytes_of(sent(history, window))

    def tokens(self, history: Sequence[Message], window: ContextWindow) -> int:
        """The size of the next request, in tokens."""
        need = self.need(history, window)
        return need.known + need.new

    def need(self, history: Sequence[Message], window: ContextWindow) -> TokensNeeded:
        size = self.size(history, window)
        last = self._last
        if last is None:
            return TokensNeeded(new=int(size / BYTES_A_TOKEN))
        if last.window == window and size >= last.size:
            new = int((size - last.size) / BYTES_A_TOKEN)
            return TokensNeeded(known=last.tokens, new=new, certain=last.counted)
        tokens = int(size * last.tokens / max(1, last.size))
        return TokensNeeded(new=tokens, certain=tokens // 2)
