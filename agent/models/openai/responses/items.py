"""The items of one Responses API stream, each put together from its events.

Pure. Owns what becomes of an item: words, a call, or what goes back as it came. Where an item's end
says what its pieces said before, the two must agree: a call that came in two versions is neither.
Refuses to know when a stream is whole (`agent.models.openai.responses.stream`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.models.interface import Opaque, StopReason, Text, ToolUse
from agent.models.openai.responses.request import PHASE, PROVIDER, is_taken_back
from agent.models.openai.responses.server_tools import in_words
from agent.models.openai.tool_calls import CallIds, GrowingText, named
from agent.models.reply_stream import broken, call_problem, check_returnable
from agent.models.tool_arguments import INVALID_JSON, read
from agent.models.utf8 import clean, encodable

_WORDS: Final = {"output_text": "text", "refusal": "refusal"}
"""Parts of a message that are words, and where those stand."""

_ENDED: Final = ("completed", "failed")
"""The statuses of work by the service's own tools that may go back."""


class StreamedItem:
    """One item as it grows."""

    def __init__(self, raw: Mapping[str, Any] | None) -> None:
        """``raw``: as it was announced; None: it was not, and its pieces came all the same."""
        self._raw: Mapping[str, Any] = raw or {}
        self._words: dict[tuple[int, str], GrowingText] = {}
        self._arguments = GrowingText()
        self._said: list[object] = []
        self.closed = False

    @property
    def id(self) -> str:
        return named(self._raw.get("id"))

    @property
    def kind(self) -> str:
        """Its type; empty: nothing has named it."""
        return named(self._raw.get("type"))

    @property
    def is_call(self) -> bool:
        """One that the service waits to see answered."""
        return self.kind == "function_call" or (
            # Of a kind that no request of ours offers.
            self.kind.endswith("_call") and bool(named(self._raw.get("call_id")))
        )

    def say(self, part: int, kind: str, piece: str) -> str:
        """Add words to a message; gives what may be shown of them."""
        return self._words.setdefault((part, kind), GrowingText()).add(piece)

    def write(self, piece: str) -> None:
        """Add to the arguments of a call."""
        self._arguments.add(piece)

    def confirm(self, said: Mapping[str, Any]) -> None:
        """Hold a call against what another event says of it, where that says anything.

        Raises:
            TransientError: they differ.
        """
        names = {named(each.get("name")) for each in (self._raw, said)} - {""}
        if len(names) > 1:
            raise broken("a tool call came under two names")
        self._said.append(said.get("arguments"))

    def end(self, raw: Mapping[str, Any]) -> str:
        """Take the whole item; gives its words where none of them had come."""
        check_returnable(raw)
        self._raw, self.closed = raw, True
        if self.kind != "message" or self._words:
            return ""
        return "".join(words for _, words in self._parts())

    @property
    def refusal(self) -> str:
        return "".join(words for kind, words in self._parts() if kind == "refusal")

    def blocks(
        self, stop: StopReason, ids: CallIds, number: int, *, last: bool
    ) -> Iterator[Text | ToolUse | Opaque]:
        """The item as the loop knows it: nothing where the API would not take it back.

        Args:
            number: its place in the reply.
            last: no other item follows, so that a cut went through this one.

        Raises:
            TransientError: it is no item, or contradicts itself.
        """
        if not self.kind:
            raise broken("an item has no type")
        torn = not self.closed or self._raw.get("status") == "incomplete"
        if self.kind == "message":
            yield from self._texts()
        elif self.is_call:
            cut = call_problem(StopReason.MAX_TOKENS if torn else stop, last=last or torn)
            given = named(self._raw.get("call_id")) or self.id
            yield self._call(ids.of(given, number), cut=cut)
        elif self.closed:
            yield from self._opaque()

    def _texts(self) -> Iterator[Text]:
        phase = self._raw.get(PHASE)
        extra = {PHASE: phase} if isinstance(phase, str) else {}
        for _, words in self._parts():
            if words.strip():
                yield Text(text=words, extra=extra)

    def _parts(self) -> Iterator[tuple[str, str]]:
        """Kind and words of each part: by the item's end, or by its pieces where that has none."""
        content = self._raw.get("content")
        whole = [
            (kind, encodable(named(part.get(_WORDS[kind]))))
            for part in (content if isinstance(content, list) else ())
            if isinstance(part, Mapping) and (kind := named(part.get("type"))) in _WORDS
        ]
        if self.kind != "message" or any(words for _, words in whole):
            yield from whole
            return
        for (_, kind), words in sorted(self._words.items(), key=lambda each: each[0][0]):
            yield kind, words.whole

    def _call(self, identifier: str, *, cut: str | None) -> ToolUse:
        name = named(self._raw.get("name")) or self.kind.removesuffix("_call")
        if self.kind == "function_call":
            if not named(self._raw.get("name")) and self.closed:
                raise broken("a tool call has no name")
            arguments, problem = self._read()
        else:
            given = self._raw.get("input") or self._arguments.whole or self._raw.get("action")
            arguments = {INVALID_JSON: clean(given)}
            problem = f"calls of type {self.kind:.40} are not offered here: call a function"
        return ToolUse(
            id=identifier,
            name=encodable(name),
            arguments=arguments,
            problem=cut or problem,
        )

    def _read(self) -> tuple[Mapping[str, object], str | None]:
        """The arguments, of which each event that has them all must say the same."""
        versions: list[tuple[Mapping[str, object], str | None]] = []
        for given in (self._raw.get("arguments"), *self._said, self._arguments.whole):
            text = encodable(given) if isinstance(given, str) else ""
            # An object, where a text of one is expected.
            whole = {} if given is None or isinstance(given, str) else clean(given)
            if text.strip() or whole:
                versions.append(read(text, given=whole))
        if any(version != versions[0] for version in versions):
            raise broken("the arguments of a tool call came in two versions")
        return versions[0] if versions else ({}, None)

    def _opaque(self) -> Iterator[Opaque]:
        raw = {key: value for key, value in clean(self._raw).items() if value is not None}
        words = in_words(raw)
        if self.kind == "reasoning":
            raw.pop("status", None)
            raw.setdefault("summary", [])
            if not raw.get("content"):
                raw.pop("content", None)
        elif raw.get("status", "completed") not in _ENDED:
            return
        if words or is_taken_back(raw):
            yield Opaque(provider=PROVIDER, raw=raw, server_side=words)
