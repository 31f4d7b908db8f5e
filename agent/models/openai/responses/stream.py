"""From the events of one Responses API stream to one `agent.models.interface.Reply`.

Pure: imports no SDK, does no I/O. Owns that a stream is whole once the service said how it ended.

The order of a stream, by the SDK's types (openai 3.54.0): ``response.created``; for each item
``response.output_item.added``, pieces, ``response.output_item.done``; then ``response.completed``,
``response.incomplete`` or ``response.failed``, which carries the counts. An item's end counts
before its pieces, and its place before its id, which gateways change on the way. Events of an
unknown kind are passed over.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from agent.errors import ModelError
from agent.models.interface import (
    Delta,
    Opaque,
    StopReason,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolUse,
)
from agent.models.openai.responses.items import StreamedItem
from agent.models.openai.tool_calls import CallIds
from agent.models.openai.usage import mapping, usage_of_response
from agent.models.reply_stream import ReplyStream, broken, refusal_detail, shown, stop_of

_MOST_ITEMS: Final = 1000
"""Of one reply: far beyond what a model makes in one turn."""

_REASONS: Final[Mapping[str, StopReason]] = {
    "max_output_tokens": StopReason.MAX_TOKENS,
    "content_filter": StopReason.REFUSAL,
    # These two end between items: what came is whole, and more was to come.
    "max_messages": StopReason.PAUSE_TURN,
    "steered": StopReason.PAUSE_TURN,
    "": StopReason.MAX_TOKENS,
}
"""Why a reply is incomplete; the SDK's ``types/responses/response.py``."""

_ENDS: Final = frozenset({"response.completed", "response.incomplete"})
_FAILURES: Final = frozenset({"response.failed", "response.cancelled"})
_FAILED: Final = frozenset({"failed", "cancelled"})


def failure_in(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error with which an event ends the stream; None: it does not."""
    kind, response = event.get("type"), mapping(event.get("response"))
    if kind == "error":
        return {key: event.get(key) for key in ("code", "message", "param")}
    if kind in _FAILURES or (kind in _ENDS and response.get("status") in _FAILED):
        words = f"the service says that the response is {response.get('status') or 'failed'}"
        return mapping(response.get("error")) or {"message": words}
    return None


class ResponsesReplyStream(ReplyStream):
    """Of the Responses API."""

    def __init__(self, *, token: str, most_tokens: int | None = None) -> None:
        """Args:
        token: see `CallIds`.
        most_tokens: what the request allowed the reply.
        """
        super().__init__()
        self._token = token
        self._most_tokens = most_tokens
        self._items: list[StreamedItem] = []
        self._at: dict[int, StreamedItem] = {}
        self._place: dict[StreamedItem, int] = {}
        self._by_id: dict[str, StreamedItem] = {}
        self._number = 0
        self._thought: tuple[object, ...] | None = None
        self._incomplete: str | None = None

    def _ending(self) -> tuple[StopReason, str]:
        refusal = "".join(item.refusal for item in self._items).strip()
        stop = self._stop(refusal)
        return stop, refusal_detail(stop, refusal)

    # -- events ----------------------------------------------------------------------------

    def _ordered(self, number: object) -> None:
        # Gateways that do not count say 0, or nothing.
        if type(number) is int and number > 0:
            if number < self._number:
                raise broken("its events are out of order")
            self._number = number

    def _take(self, event: Mapping[str, Any]) -> Iterator[Delta]:
        if self.finished:
            return
        self._ordered(event.get("sequence_number"))
        kind = event["type"]
        if kind.startswith("response."):
            self.started = True
        match kind:
            case "response.output_item.added":
                self._added(event)
            case "response.output_item.done":
                yield from shown(TextDelta, self._done(event))
            case "response.output_text.delta":
                yield from self._says(event, "output_text")
            case "response.refusal.delta":
                yield from self._says(event, "refusal")
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                yield from self._thinks(event)
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                self._open(event).write(_string(event["delta"]))
            case "response.function_call_arguments.done":
                self._open(event).confirm(event)
            case _ if kind in _ENDS or kind in _FAILURES:
                yield from self._end(kind, mapping(event["response"]))

    def _says(self, event: Mapping[str, Any], kind: str) -> Iterator[Delta]:
        part = event.get("content_index")
        words = _string(event["delta"])
        yield from shown(
            TextDelta, self._open(event).say(part if type(part) is int else 0, kind, words)
        )

    def _thinks(self, event: Mapping[str, Any]) -> Iterator[Delta]:
        """It is only shown: what goes back is the item's end."""
        words = _string(event["delta"])
        part = (event.get("output_index"), event.get("summary_index"))
        apart = "\n\n" if self._thought not in {None, part} and words else ""
        self._thought = part
        yield from shown(ThinkingDelta, apart + words)

    def _added(self, event: Mapping[str, Any]) -> None:
        item = event.get("item")
        if not isinstance(item, Mapping):
            return
        known = self._known(event)
        if known is None or known.closed or (known.id and known.id != item.get("id")):
            self._begin(event, item)

    def _done(self, event: Mapping[str, Any]) -> str:
        item = event["item"]
        known = self._known(event)
        if known is not None and known.closed and known.id == item.get("id"):
            return ""
        if known is None or known.closed or known.kind not in {"", item.get("type")}:
            known = self._begin(event, item)
        return known.end(item)

    def _known(self, event: Mapping[str, Any]) -> StreamedItem | None:
        """The item that an event is about."""
        place, identifier = event.get("output_index"), _id_in(event)
        if type(place) is int:
            return self._at.get(place)
        if identifier:
            return self._by_id.get(identifier)
        return self._items[-1] if self._items else None

    def _open(self, event: Mapping[str, Any]) -> StreamedItem:
        known = self._known(event) or self._begin(event, None)
        if known.closed:
            raise broken("an item goes on after its end")
        return known

    def _begin(self, event: Mapping[str, Any], item: Mapping[str, Any] | None) -> StreamedItem:
        if len(self._items) >= _MOST_ITEMS:
            raise ModelError(f"the model answered with more than {_MOST_ITEMS} items")
        made = StreamedItem(item)
        self._items.append(made)
        place = event.get("output_index")
        if type(place) is int:
            self._at[place] = made
            self._place[made] = place
        self._by_id[_id_in(event)] = made
        return made

    # -- the end ---------------------------------------------------------------------------

    def _end(self, kind: str, response: Mapping[str, Any]) -> Iterator[Delta]:
        self._usage = usage_of_response(response) or self._usage
        if kind in _FAILURES or response.get("status") in _FAILED:
            # `failure_in` tells the client.
            return
        if kind == "response.incomplete" or response.get("status") == "incomplete":
            reason = mapping(response.get("incomplete_details")).get("reason")
            self._incomplete = reason if isinstance(reason, str) else ""
        elif self._most_tokens is not None and self.usage.output_tokens >= self._most_tokens:
            # llama.cpp calls complete what its limit cut off (seen November 2026), others did.
            self._incomplete = "max_output_tokens"
        yield from self._compare([i for i in response.get("output") or () if mapping(i)])
        if self._incomplete is None and not all(item.closed for item in self._items):
            raise broken("an item was not ended")
        self.finished = True

    def _compare(self, output: Sequence[Mapping[str, Any]]) -> Iterator[Delta]:
        """Hold what came against what the end says that came. Many services say nothing there, and
        some say it there only."""
        if not self._items:
            for item in output:
                yield from shown(TextDelta, self._begin({}, item).end(item))
            return
        for item in output:
            known = self._by_id.get(_id_in({"item": item}))
            if known is not None and not known.closed and known.kind == item.get("type"):
                yield from shown(TextDelta, known.end(item))
        ended = [item for item in output if item.get("type") == "function_call"]
        came = [item for item in self._in_order() if item.kind == "function_call"]
        if output and len(ended) != len(came):
            raise broken("its end does not have the calls that came")
        for known, item in zip(came, ended, strict=False):
            known.confirm(item)

    def _in_order(self) -> list[StreamedItem]:
        # Places may have gaps; an item without one stays where it came.
        if len(self._place) < len(self._items):
            return self._items
        return sorted(self._items, key=self._place.__getitem__)

    def _stop(self, refusal: str) -> StopReason:
        calls = any(item.is_call for item in self._items)
        if refusal:
            return StopReason.REFUSAL
        if self._incomplete is None:
            return StopReason.TOOL_USE if calls else StopReason.END_TURN
        stop = stop_of(self._incomplete, _REASONS, calls=calls)
        # It is incomplete, whatever word is used for it.
        whole = stop in {StopReason.TOOL_USE, StopReason.END_TURN}
        return StopReason.MAX_TOKENS if whole else stop

    def _blocks(self, stop: StopReason) -> Iterator[Text | ToolUse | Opaque]:
        items = self._in_order()
        ids = CallIds(self._token)
        for number, item in enumerate(items):
            yield from item.blocks(stop, ids, number, last=number == len(items) - 1)


def _id_in(event: Mapping[str, Any]) -> str:
    found = mapping(event.get("item")).get("id") or event.get("item_id")
    return found if isinstance(found, str) else ""


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
