"""From the events of one Messages API stream to one `agent.messages.Reply`.

Pure: takes events as plain values, imports no SDK, does no I/O. Owns the rule that a reply exists
only once the stream was complete in itself, so that no torn tool call ever leaves here. Blocks it
does not know are kept as they came.

The order of a stream, by the API's documentation: ``message_start``; for each block
``content_block_start``, deltas, ``content_block_stop``; ``message_delta``; ``message_stop``. Events
of a kind it does not know are passed over, as the API's versioning policy asks.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

from agent.errors import ModelError
from agent.models.anthropic import server_tools as anthropic_server_tools
from agent.models.anthropic.request import PROVIDER
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
from agent.models.retrying import TransientError
from agent.models.tool_arguments import INVALID_JSON, ArgumentsError, decode

_TEXT_FIELDS: Final = frozenset({"type", "text"})
_CALL_FIELDS: Final = frozenset({"type", "id", "name", "input"})
_LARGEST_COUNT: Final = 1_000_000_000
_MOST_ITERATIONS: Final = 1000
_CHARACTERS_A_TOKEN: Final = 3
"""Rather too few than too many: an estimate of what is billed may be above it."""


class AnthropicReplyStream:
    """One attempt's stream, event by event."""

    def __init__(self) -> None:
        self._started = False
        self._finished = False
        self._blocks: list[_Block] = []
        self._stop: str | None = None
        self._detail = ""
        self._usage: dict[str, int] = {}
        self._beside: list[dict[str, int]] = []

    @property
    def started(self) -> bool:
        """The service began to answer, and to bill."""
        return self._started

    @property
    def finished(self) -> bool:
        """The last event came; `reply` may be called."""
        return self._finished

    @property
    def usage(self) -> Usage:
        """As far as the stream told. Of a stream that broke, the output is what it was seen to
        bring where that is more than it says: the count comes last."""
        used = sum((_usage(counts) for counts in self._beside), _usage(self._usage))
        if self._started and not self._finished:
            seen = sum(block.size for block in self._blocks) // _CHARACTERS_A_TOKEN
            used = replace(used, output_tokens=max(used.output_tokens, seen))
        return used

    def feed(self, event: Mapping[str, Any]) -> StreamEvent | None:
        """Take the next event; gives what there is to show of it.

        Raises:
            TransientError: the events do not fit together.
            ModelError: a delta of a kind that this version can't keep whole.
        """
        if self._finished:
            return None
        try:
            return self._take(event)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            kind = str(event.get("type"))[:60]
            raise _broken(f"a {kind} event does not fit the others") from error

    def reply(self, *, attempts: int, request_id: str) -> Reply:
        """The whole reply.

        Raises:
            TransientError: the stream ended before it was complete, or contradicts itself.
            ModelError: it stopped for a reason that this version does not know.
        """
        if not self._finished:
            raise _broken("its end is missing")
        stop = _known_stop(self._stop)
        last = len(self._blocks) - 1
        blocks = [block.value(stop, last=index == last) for index, block in enumerate(self._blocks)]
        kept = tuple(block for block in blocks if block is not None)
        calls = [block.id for block in kept if isinstance(block, ToolUse)]
        if len(set(calls)) != len(calls):
            raise _broken("two tool calls have one id")
        return Reply(
            message=AssistantMessage(blocks=kept),
            stop=stop,
            usage=self.usage,
            attempts=attempts,
            detail=self._detail,
            request_id=request_id,
        )

    def _take(self, event: Mapping[str, Any]) -> StreamEvent | None:
        kind = event["type"]
        if kind == "message_start":
            if self._started:
                raise _broken("it starts twice")
            self._started = True
            self._count(event["message"].get("usage") or {})
            return None
        if not self._started and kind in _AFTER_START:
            raise _broken(f"{kind} before message_start")
        match kind:
            case "content_block_start":
                if event["index"] != len(self._blocks):
                    raise _broken("a block is missing")
                block = _Block(event["content_block"])
                self._blocks.append(block)
                return TextDelta(text=block.text) if block.text else None
            case "content_block_delta":
                return self._at(event["index"]).add(event["delta"])
            case "content_block_stop":
                self._at(event["index"]).closed = True
            case "message_delta":
                delta = event["delta"]
                self._stop = delta.get("stop_reason") or self._stop
                self._detail = _refusal(delta.get("stop_details")) or self._detail
                self._count(event.get("usage") or {})
            case "message_stop":
                self._finish()
        return None

    def _at(self, index: int) -> "_Block":
        # A negative index would count from the end.
        if index < 0:
            raise _broken("a block is missing")
        return self._blocks[index]

    def _finish(self) -> None:
        if not all(block.closed for block in self._blocks):
            raise _broken("a block was not ended")
        if self._stop is None:
            raise _broken("no stop reason")
        self._finished = True

    def _count(self, usage: Mapping[str, Any]) -> None:
        """Counts are running totals; one left out or null keeps its value."""
        server_side = usage.get("server_tool_use")
        self._usage.update(
            _counts({**usage, **(server_side if isinstance(server_side, Mapping) else {})})
        )
        iterations = usage.get("iterations")
        if isinstance(iterations, list):
            # By the SDK's docstring a summary's tokens are in no total.
            self._beside = [
                _counts(item)
                for item in iterations[:_MOST_ITERATIONS]
                if isinstance(item, Mapping) and item.get("type") == "compaction"
            ]


def _counts(usage: Mapping[str, Any]) -> dict[str, int]:
    """What can be a count. One beyond all reason is bounded: it ends the run by its budget, and
    must not end it by a number that can't be written down."""
    return {
        key: min(n, _LARGEST_COUNT)
        for key, n in usage.items()
        if isinstance(n, int) and not isinstance(n, bool) and n >= 0
    }


def _usage(counts: Mapping[str, int]) -> Usage:
    return Usage(
        input_tokens=counts.get("input_tokens", 0),
        output_tokens=counts.get("output_tokens", 0),
        cache_read_tokens=counts.get("cache_read_input_tokens", 0),
        cache_write_tokens=counts.get("cache_creation_input_tokens", 0),
        web_searches=counts.get("web_search_requests", 0),
        web_fetches=counts.get("web_fetch_requests", 0),
    )


_AFTER_START: Final = frozenset(
    {
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    }
)


class _Block:
    """One content block as it grows. Deltas are joined once, at the end: there can be very many."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = dict(raw)
        self._type = str(raw["type"])
        self._text = [str(raw.get("text") or "")]
        self._thinking = [str(raw.get("thinking") or "")]
        self._json: list[str] = []
        self._citations: list[Any] = list(raw.get("citations") or ())
        self.closed = False

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def size(self) -> int:
        """Characters so far."""
        return sum(
            len(piece) for part in (self._text, self._thinking, self._json) for piece in part
        )

    def add(self, delta: Mapping[str, Any]) -> StreamEvent | None:
        if self.closed:
            raise _broken("a block goes on after its end")
        match delta["type"]:
            case "text_delta":
                self._text.append(piece := str(delta["text"]))
                return TextDelta(text=piece) if piece else None
            case "thinking_delta":
                self._thinking.append(piece := str(delta["thinking"]))
                return ThinkingDelta(text=piece) if piece else None
            case "input_json_delta":
                self._json.append(str(delta["partial_json"]))
            case "signature_delta":
                self._raw["signature"] = delta["signature"]
            case "citations_delta":
                self._citations.append(delta["citation"])
            case kind:
                # Without it the block can't go back as it came, which the API would refuse.
                raise ModelError(
                    f"the model answered in a form this version does not know ({kind!r:.60}): "
                    "update moonpool"
                )
        return None

    def value(self, stop: StopReason, *, last: bool) -> Text | ToolUse | Opaque | None:
        """The block as the loop knows it; None: one that the API would not take back. That is an
        empty text, and a thought or a call of the service's own that was cut off.

        ``last``: of its reply, so that a cut went through this block.
        """
        match self._type:
            case "text":
                # A turn handed back for the model to continue may not end in white space.
                text = self.text.rstrip() if last and stop is StopReason.PAUSE_TURN else self.text
                return Text(text=text, extra=self._extra(_TEXT_FIELDS)) if text.strip() else None
            case "tool_use":
                return self._call(_cut(stop, last=last))
            case "server_tool_use" if _cut(stop, last=last):
                return None
            case "thinking" if _cut(stop, last=last) and not self._raw.get("signature"):
                return None
            case _:
                raw = self._whole()
                return Opaque(
                    provider=PROVIDER, raw=raw, server_side=anthropic_server_tools.in_words(raw)
                )

    def _call(self, cut: str | None) -> ToolUse:
        identifier, name = self._raw.get("id"), self._raw.get("name")
        if not (isinstance(identifier, str) and identifier and isinstance(name, str) and name):
            raise _broken("a tool call has no id or name")
        arguments, problem = self._input()
        return ToolUse(
            id=identifier,
            name=name,
            arguments=arguments,
            problem=cut or problem,
            extra=self._extra(_CALL_FIELDS),
        )

    def _input(self) -> tuple[Mapping[str, object], str | None]:
        written = "".join(self._json)
        # A stream without deltas may carry the whole input in its first event (some gateways do).
        given = self._raw.get("input") or {}
        if not written.strip():
            if isinstance(given, Mapping):
                return dict(given), None
            return {INVALID_JSON: str(given)}, "the arguments are not a JSON object"
        try:
            return decode(written), None
        except ArgumentsError as error:
            return {INVALID_JSON: written}, str(error)

    def _extra(self, ours: frozenset[str]) -> dict[str, Any]:
        """What stands in the block beside our own fields. The API sends null where its own request
        types take none, so nulls stay behind."""
        raw = {**self._raw, "citations": self._citations or None}
        return {key: value for key, value in raw.items() if key not in ours and value is not None}

    def _whole(self) -> dict[str, Any]:
        """A block we do not interpret, its deltas put in; nulls stay behind, as in `_extra`."""
        raw = {key: value for key, value in self._raw.items() if value is not None}
        for key, pieces in (("text", self._text), ("thinking", self._thinking)):
            if any(pieces):
                raw[key] = "".join(pieces)
        if self._json:
            raw["input"] = self._input()[0]
        if self._citations:
            raw["citations"] = self._citations
        return raw


def _known_stop(text: str | None) -> StopReason:
    try:
        return StopReason(str(text))
    except ValueError:
        raise ModelError(
            f"the model stopped for a reason this version does not know ({text!r:.60}): "
            "update moonpool"
        ) from None


def _cut(stop: StopReason, *, last: bool) -> str | None:
    """Why a call must not run, by how its reply ended."""
    match stop:
        case StopReason.MAX_TOKENS | StopReason.CONTEXT_WINDOW:
            # Even where what is left of the last block reads as JSON, it may not be all.
            return "the reply was cut off in this call: make it again, shorter" if last else None
        case StopReason.REFUSAL:
            return "the reply ended in a refusal"
        case (
            StopReason.END_TURN
            | StopReason.TOOL_USE
            | StopReason.STOP_SEQUENCE
            | StopReason.PAUSE_TURN
            | StopReason.COMPACTION
        ):
            return None
        case _:
            assert_never(stop)


def _refusal(details: Any) -> str:
    if not isinstance(details, Mapping):
        return ""
    parts = (str(details.get(key) or "") for key in ("category", "explanation"))
    return ": ".join(part for part in parts if part)


def _broken(what: str) -> TransientError:
    return TransientError(f"the stream broke ({what})")
