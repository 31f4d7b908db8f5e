"""The content blocks of one Messages API stream, put together from their deltas.

Pure. Owns what becomes of a block that a limit cut, and that a block goes back as it came, with
the fields that are unknown here. Refuses to know when a stream is whole
(`agent.models.anthropic.stream`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.errors import ModelError
from agent.models.anthropic.request import PROVIDER
from agent.models.anthropic.server_tools import in_words
from agent.models.interface import (
    Delta,
    Opaque,
    StopReason,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolUse,
)
from agent.models.reply_stream import broken, call_problem, check_returnable, shown
from agent.models.tool_arguments import read

_TEXT_FIELDS: Final = frozenset({"type", "text"})
_CALL_FIELDS: Final = frozenset({"type", "id", "name", "input"})


class StreamedBlock:
    """A content block as it grows. Its deltas are joined once, at the end: they can be many."""

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
    def is_call(self) -> bool:
        return self._type == "tool_use"

    @property
    def size(self) -> int:
        """Characters so far."""
        return sum(
            len(piece) for part in (self._text, self._thinking, self._json) for piece in part
        )

    def add(self, delta: Mapping[str, Any]) -> Iterator[Delta]:
        if self.closed:
            raise broken("a block goes on after its end")
        match delta["type"]:
            case "text_delta":
                self._text.append(piece := str(delta["text"]))
                yield from shown(TextDelta, piece)
            case "thinking_delta":
                self._thinking.append(piece := str(delta["thinking"]))
                yield from shown(ThinkingDelta, piece)
            case "input_json_delta":
                self._json.append(str(delta["partial_json"]))
            case "signature_delta":
                self._raw["signature"] = delta["signature"]
            case "citations_delta":
                self._citations.append(delta["citation"])
            case "compaction_delta":
                # All of a summary, in one piece.
                self._raw.update({key: delta[key] for key in delta if key != "type"})
            case kind:
                # Without it the block can't go back as it came, which the API would refuse.
                raise ModelError(
                    f"the model answered in a form this version does not know ({kind!r:.60}): "
                    "update moonpool"
                )

    def value(self, stop: StopReason, *, last: bool) -> Text | ToolUse | Opaque | None:
        """The block as the loop knows it; None: one that the API would not take back. That is an
        empty text, and a thought or a call of the service's own that was cut off.

        Args:
            last: no other block follows, so that a cut went through this one.

        Raises:
            TransientError: it is no block, or no request could carry it back.
        """
        check_returnable({**self._raw, "citations": self._citations})
        match self._type:
            case "text":
                # A turn handed back for the model to continue may not end in white space.
                text = self.text.rstrip() if last and stop is StopReason.PAUSE_TURN else self.text
                return Text(text=text, extra=self._extra(_TEXT_FIELDS)) if text.strip() else None
            case "tool_use":
                return self._call(call_problem(stop, last=last))
            case "server_tool_use" if call_problem(stop, last=last):
                return None
            case "thinking" if call_problem(stop, last=last) and not self._raw.get("signature"):
                return None
            case _:
                raw = self._whole()
                return Opaque(provider=PROVIDER, raw=raw, server_side=in_words(raw))

    def _call(self, cut: str | None) -> ToolUse:
        identifier, name = self._raw.get("id"), self._raw.get("name")
        if not (isinstance(identifier, str) and identifier and isinstance(name, str) and name):
            raise broken("a tool call has no id or name")
        arguments, problem = self._input()
        return ToolUse(
            id=identifier,
            name=name,
            arguments=arguments,
            problem=cut or problem,
            extra=self._extra(_CALL_FIELDS),
        )

    def _input(self) -> tuple[Mapping[str, object], str | None]:
        # A stream without deltas may carry the whole input in its first event (some gateways do).
        return read("".join(self._json), given=self._raw.get("input") or {})

    def _extra(self, ours: frozenset[str]) -> dict[str, Any]:
        """The block's fields beside ours. The API sends null where its own request types take none,
        so nulls are left out."""
        raw = {**self._raw, "citations": self._citations or None}
        return {key: value for key, value in raw.items() if key not in ours and value is not None}

    def _whole(self) -> dict[str, Any]:
        """A block that is not interpreted here, with its deltas in it, and without nulls, as in
        `_extra`."""
        raw = {key: value for key, value in self._raw.items() if value is not None}
        for key, pieces in (("text", self._text), ("thinking", self._thinking)):
            if any(pieces):
                raw[key] = "".join(pieces)
        if self._json:
            raw["input"] = self._input()[0]
        if self._citations:
            raw["citations"] = self._citations
        return raw
