"""From the chunks of one chat-completions stream to one `agent.models.interface.Reply`.

Pure: takes chunks as plain values, imports no SDK, does no I/O. Owns the rule that a reply exists
only once the service gave its reason to stop, so that no torn tool call ever leaves here. A
``[DONE]`` proves nothing: there are services that leave it out, and gateways that write it after a
stream that broke off behind them.

The chunks of compatible services differ more than their documents say; what is known of them and
read in good part stands where it is read. What a stream used is known only where its last chunks
say so. Where they don't, nothing is guessed: `Usage.uncounted_replies` counts the reply.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.models.interface import (
    AssistantMessage,
    Opaque,
    Reply,
    StopReason,
    StreamEvent,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolUse,
    Usage,
)
from agent.models.openai.reasoning import ReasoningDetails
from agent.models.openai.request import DETAILS, PROVIDER, REASONING
from agent.models.openai.tool_calls import GrowingText, StreamedCalls
from agent.models.reply_stream import broken, stop_of

_MOST_TOKENS: Final = 1_000_000_000
"""A count above it is no count."""

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


class OpenAIReplyStream:
    """A `ReplyStream` of chat completions."""

    def __init__(self, *, token: str) -> None:
        """``token``: six letters or digits that no other reply has, for calls without an id."""
        self._token = token
        self._started = False
        self._text = GrowingText()
        self._thinking: dict[str, GrowingText] = {}
        self._details = ReasoningDetails()
        self._refusal = GrowingText()
        self._calls = StreamedCalls()
        self._stop: str | None = None
        self._usage: Usage | None = None

    @property
    def started(self) -> bool:
        return self._started

    @property
    def finished(self) -> bool:
        return self._stop is not None

    @property
    def usage(self) -> Usage:
        if not self._started:
            return Usage()
        return self._usage or Usage(uncounted_replies=1)

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        try:
            return list(self._take(chunk))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise broken("a chunk does not have the form of one") from error

    def reply(self, *, attempts: int, request_id: str) -> Reply:
        if self._stop is None:
            raise broken("its end is missing")
        calls = self._calls.any
        stop = stop_of(self._stop, _STOPS, calls=calls)
        if self._refusal.whole:
            stop = StopReason.REFUSAL
        elif calls and stop is StopReason.END_TURN:
            # Gateways say "stop" after whole calls too.
            stop = StopReason.TOOL_USE
        return Reply(
            message=AssistantMessage(blocks=tuple(self._blocks(stop))),
            stop=stop,
            usage=self.usage,
            attempts=attempts,
            detail=self._detail(stop),
            request_id=request_id,
        )

    # -- chunks ----------------------------------------------------------------------------

    def _take(self, chunk: Mapping[str, Any]) -> Iterator[StreamEvent]:
        self._count(chunk)
        for choice in chunk.get("choices") or ():
            # One was asked for; what calls itself another is nobody's.
            if choice.get("index") not in {None, 0}:
                continue
            self._started = True
            yield from self._delta(choice.get("delta") or {})
            reason = choice.get("finish_reason")
            if reason:
                self._stop = str(reason)

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[StreamEvent]:
        # Some send the same under both names.
        key = next((key for key in REASONING if isinstance(delta.get(key), str)), None)
        if key is not None and delta[key]:
            words = self._thinking.setdefault(key, GrowingText())
            yield from _shown(ThinkingDelta, words.add(delta[key]))
            self._goes_on()
        if isinstance(delta.get(DETAILS), list):
            self._details.add(delta[DETAILS])
        for key, words in (("content", self._text), ("refusal", self._refusal)):
            if delta.get(key):
                yield from _shown(TextDelta, words.add(_string(delta[key])))
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
        self._stop = None

    def _count(self, chunk: Mapping[str, Any]) -> None:
        """Counts are running totals, mostly in the last chunk only, which then has no choices."""
        raw = chunk.get("usage")
        if not isinstance(raw, Mapping):
            return
        prompt, output = _number(raw.get("prompt_tokens")), _number(raw.get("completion_tokens"))
        if prompt is None or output is None:
            return
        self._started = True
        details = raw.get("prompt_tokens_details")
        details = details if isinstance(details, Mapping) else {}
        # DeepSeek has another name for it.
        cached = _number(details.get("cached_tokens", raw.get("prompt_cache_hit_tokens"))) or 0
        cached = min(cached, prompt)
        written = min(_number(details.get("cache_write_tokens")) or 0, prompt - cached)
        self._usage = Usage(
            input_tokens=prompt - cached - written,
            output_tokens=output,
            cache_read_tokens=cached,
            cache_write_tokens=written,
        )

    # -- the reply -------------------------------------------------------------------------

    def _blocks(self, stop: StopReason) -> Iterator[Text | ToolUse | Opaque]:
        thought: dict[str, object] = {
            key: words.whole for key, words in self._thinking.items() if words.whole
        }
        if self._details.whole:
            thought[DETAILS] = self._details.whole
        if thought:
            yield Opaque(provider=PROVIDER, raw=thought)
        for words in (self._text.whole, self._refusal.whole):
            if words.strip():
                yield Text(text=words)
        yield from self._calls.values(token=self._token, stop=stop)

    def _detail(self, stop: StopReason) -> str:
        if stop is not StopReason.REFUSAL:
            return ""
        return self._refusal.whole.strip() or "the service's content filter stopped the answer"


def _shown(kind: type[TextDelta] | type[ThinkingDelta], text: str) -> Iterator[StreamEvent]:
    if text:
        yield kind(text=text)


def _string(value: object) -> str:
    """Mistral's thinking models send parts where a text belongs."""
    if isinstance(value, list):
        return "".join(str(part.get("text") or "") for part in value if isinstance(part, Mapping))
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
