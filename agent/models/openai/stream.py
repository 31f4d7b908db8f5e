"""From the chunks of one chat-completions stream to one `agent.models.interface.Reply`.

Pure: imports no SDK, does no I/O. Owns that a stream is whole once the service gave its reason to
stop. A ``[DONE]`` proves nothing: there are services that leave it out, and gateways that write it
after a stream that broke off behind them.

The chunks of compatible services differ more than their documents say; what is known of them and
read in good part stands where it is read. What a stream used is known only where its last chunks
say so. Where they don't, nothing is guessed: `Usage.uncounted_replies` counts the reply.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.models.interface import (
    Delta,
    Opaque,
    StopReason,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolUse,
)
from agent.models.openai.reasoning import ReasoningDetails
from agent.models.openai.request import DETAILS, PROVIDER, REASONING
from agent.models.openai.tool_calls import CallIds, GrowingText, StreamedCalls
from agent.models.openai.usage import usage_of_chat
from agent.models.reply_stream import (
    ReplyStream,
    check_returnable,
    refusal_detail,
    shown,
    stop_of,
)

_STOPS: Final[Mapping[str, StopReason]] = {
    "stop": StopReason.END_TURN,
    "length": StopReason.MAX_TOKENS,
    "tool_calls": StopReason.TOOL_USE,
    "function_call": StopReason.TOOL_USE,
    "content_filter": StopReason.REFUSAL,
    # Not OpenAI's: gateways that pass on what the model's own API said.
    "end_turn": StopReason.END_TURN,
    "eos": StopReason.END_TURN,
    "stop_sequence": StopReason.STOP_SEQUENCE,
    "tool_use": StopReason.TOOL_USE,
    "max_tokens": StopReason.MAX_TOKENS,
    "model_length": StopReason.CONTEXT_WINDOW,
    "model_context_window_exceeded": StopReason.CONTEXT_WINDOW,
    "refusal": StopReason.REFUSAL,
    "safety": StopReason.REFUSAL,
}


class OpenAIReplyStream(ReplyStream):
    """Of chat completions."""

    def __init__(self, *, token: str) -> None:
        """``token``: see `CallIds`."""
        super().__init__()
        self._token = token
        self._text = GrowingText()
        self._thinking: dict[str, GrowingText] = {}
        self._details = ReasoningDetails()
        self._refusal = GrowingText()
        self._calls = StreamedCalls()
        self._stop = ""

    def _ending(self) -> tuple[StopReason, str]:
        calls = self._calls.any
        stop = stop_of(self._stop, _STOPS, calls=calls)
        if self._refusal.whole:
            stop = StopReason.REFUSAL
        elif calls and stop is StopReason.END_TURN:
            # Gateways say "stop" after whole calls too.
            stop = StopReason.TOOL_USE
        return stop, refusal_detail(stop, self._refusal.whole)

    # -- chunks ----------------------------------------------------------------------------

    def _take(self, chunk: Mapping[str, Any]) -> Iterator[Delta]:
        used = usage_of_chat(chunk.get("usage"))
        if used is not None:
            # Counts are running totals, mostly in the last chunk only, which then has no choices.
            self.started, self._usage = True, used
        for choice in chunk.get("choices") or ():
            # One was asked for; what calls itself another is nobody's.
            if choice.get("index") not in {None, 0}:
                continue
            self.started = True
            yield from self._delta(choice.get("delta") or {})
            reason = choice.get("finish_reason")
            if reason:
                self._stop, self.finished = str(reason), True

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[Delta]:
        # Some send the same under both names.
        key = next((key for key in REASONING if isinstance(delta.get(key), str)), None)
        if key is not None and delta[key]:
            words = self._thinking.setdefault(key, GrowingText())
            yield from shown(ThinkingDelta, words.add(delta[key]))
            self._goes_on()
        if isinstance(delta.get(DETAILS), list):
            self._details.add(delta[DETAILS])
        for key, words in (("content", self._text), ("refusal", self._refusal)):
            if delta.get(key):
                yield from shown(TextDelta, words.add(_string(delta[key])))
                self._goes_on()
        for call in delta.get("tool_calls") or ():
            self._calls.add(call)
            self._goes_on()
        legacy = delta.get("function_call")
        if legacy:
            self._calls.add({"index": 0, "function": legacy})
            self._goes_on()

    def _goes_on(self) -> None:
        """What comes after a reason to stop takes it back: the end is still to come."""
        self.finished = False

    # -- the reply -------------------------------------------------------------------------

    def _blocks(self, stop: StopReason) -> Iterator[Text | ToolUse | Opaque]:
        thought: dict[str, object] = {
            key: words.whole for key, words in self._thinking.items() if words.whole
        }
        if self._details.whole:
            thought[DETAILS] = self._details.whole
        if thought:
            check_returnable(thought)
            yield Opaque(provider=PROVIDER, raw=thought)
        for words in (self._text.whole, self._refusal.whole):
            if words.strip():
                yield Text(text=words)
        yield from self._calls.values(CallIds(self._token), stop)


def _string(value: object) -> str:
    """Mistral's thinking models send parts where a text belongs."""
    if isinstance(value, list):
        return "".join(str(part.get("text") or "") for part in value if isinstance(part, Mapping))
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
