"""From the events of one Messages API stream to one `agent.models.interface.Reply`.

Pure: imports no SDK, does no I/O. Owns when a stream is complete in itself. Refuses to know how the
deltas of a block are joined (`agent.models.anthropic.blocks`).

The order of a stream, by the API's documentation: ``message_start``; for each block
``content_block_start``, deltas, ``content_block_stop``; ``message_delta``; ``message_stop``. Events
of an unknown kind are ignored, as the API's versioning policy asks.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from agent.models.anthropic.blocks import StreamedBlock
from agent.models.interface import (
    Delta,
    Opaque,
    StopReason,
    Text,
    TextDelta,
    ToolUse,
    Usage,
)
from agent.models.reply_stream import ReplyStream, broken, shown, stop_of

_STOPS: Final = {reason.value: reason for reason in StopReason}

_LARGEST_COUNT: Final = 1_000_000_000
_MOST_ITERATIONS: Final = 1000
_CHARACTERS_A_TOKEN: Final = 3
"""Rather too few than too many: an estimate may be above what is billed."""


class AnthropicReplyStream(ReplyStream):
    """Of the Messages API."""

    def __init__(self) -> None:
        super().__init__()
        self._streamed: list[StreamedBlock] = []
        self._stop: str | None = None
        self._detail = ""
        self._counts: dict[str, int] = {}
        self._beside: list[dict[str, int]] = []

    @property
    def usage(self) -> Usage:
        # The count of the output comes last: of a stream that broke, it is what the stream was seen
        # to bring, where that is more than it says.
        used = sum((_usage(counts) for counts in self._beside), _usage(self._counts))
        if self.started and not {"input_tokens", "output_tokens"} & self._counts.keys():
            return replace(used, uncounted_replies=1)
        if self.started and not self.finished:
            seen = sum(block.size for block in self._streamed) // _CHARACTERS_A_TOKEN
            used = replace(used, output_tokens=max(used.output_tokens, seen))
        return used

    def _ending(self) -> tuple[StopReason, str]:
        calls = any(block.is_call for block in self._streamed)
        return stop_of(str(self._stop), _STOPS, calls=calls), self._detail

    def _blocks(self, stop: StopReason) -> Iterable[Text | ToolUse | Opaque]:
        last = len(self._streamed) - 1
        blocks = [block.value(stop, last=at == last) for at, block in enumerate(self._streamed)]
        kept = [block for block in blocks if block is not None]
        calls = [block.id for block in kept if isinstance(block, ToolUse)]
        if len(set(calls)) != len(calls):
            raise broken("two tool calls have one id")
        return kept

    def _take(self, event: Mapping[str, Any]) -> Iterator[Delta]:
        if self.finished:
            return
        kind = event["type"]
        if kind == "message_start":
            if self.started:
                raise broken("it starts twice")
            self.started = True
            self._count(event["message"].get("usage") or {})
            return
        if not self.started and kind in _AFTER_START:
            raise broken(f"{kind} before message_start")
        match kind:
            case "content_block_start":
                if event["index"] != len(self._streamed):
                    raise broken("a block is missing")
                block = StreamedBlock(event["content_block"])
                self._streamed.append(block)
                yield from shown(TextDelta, block.text)
            case "content_block_delta":
                yield from self._at(event["index"]).add(event["delta"])
            case "content_block_stop":
                self._at(event["index"]).closed = True
            case "message_delta":
                delta = event["delta"]
                self._stop = delta.get("stop_reason") or self._stop
                self._detail = _refusal(delta.get("stop_details")) or self._detail
                self._count(event.get("usage") or {})
            case "message_stop":
                self._finish()

    def _at(self, index: int) -> StreamedBlock:
        # A negative index would count from the end.
        if index < 0:
            raise broken("a block is missing")
        return self._streamed[index]

    def _finish(self) -> None:
        if not all(block.closed for block in self._streamed):
            raise broken("a block was not ended")
        if self._stop is None:
            raise broken("no stop reason")
        self.finished = True

    def _count(self, usage: Mapping[str, Any]) -> None:
        """Counts are running totals; one left out or null keeps its value."""
        server_side = usage.get("server_tool_use")
        self._counts.update(
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
    """The numbers that can be counts. One beyond all reason is bounded: it ends the run by its
    budget, and must not end it because it can't be written down."""
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


def _refusal(details: Any) -> str:
    if not isinstance(details, Mapping):
        return ""
    parts = (str(details.get(key) or "") for key in ("category", "explanation"))
    return ": ".join(part for part in parts if part)
