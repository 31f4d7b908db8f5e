"""The texts and tool calls of one chat-completions stream, put together from their deltas.

Pure. Owns which call a delta goes on with, by all the ways in which compatible services tell it.
Refuses to know when a stream is whole (`agent.models.openai.stream`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.errors import ModelError
from agent.models.interface import StopReason, ToolUse
from agent.models.reply_stream import broken, call_problem, check_returnable
from agent.models.tool_arguments import read
from agent.models.utf8 import clean, encodable

_MOST_CALLS: Final = 1000
"""Of one reply: far beyond what a model makes in one turn."""


class GrowingText:
    """A text as it grows; joined once, at the end."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._half = ""

    def add(self, piece: str) -> str:
        """Gives what may be shown: half of a character waits for the other half, which services
        that count in UTF-16 send in the next chunk."""
        if not piece:
            return ""
        self._pieces.append(piece)
        whole = self._half + piece
        self._half = whole[-1] if "\ud800" <= whole[-1] <= "\udbff" else ""
        return encodable(whole[: len(whole) - len(self._half)])

    @property
    def whole(self) -> str:
        return encodable("".join(self._pieces))


class CallIds:
    """The ids of one reply's calls, each of which has its own."""

    def __init__(self, token: str) -> None:
        """``token``: six letters or digits that no other reply has, for calls without an id."""
        self._token = token
        self._taken: set[str] = set()

    def of(self, given: str, number: int) -> str:
        """The id that a call was given, where it was given one that no other has."""
        # Nine letters and digits, which is what Mistral's models insist on.
        spare = f"{self._token}{number:03}"
        found = spare if not given or given in self._taken else encodable(given)
        self._taken.add(found)
        return found


class StreamedCalls:
    """In the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[_StreamedCall] = []
        self._at: dict[int, _StreamedCall] = {}
        self._by_id: dict[str, _StreamedCall] = {}

    @property
    def any(self) -> bool:
        return bool(self._calls)

    def add(self, raw: Mapping[str, Any]) -> None:
        """Find the call that a delta goes on with, or begin one.

        An index tells, by the API. Known otherwise: none at all, 0 for every call (Ollama, gateways
        to Gemini), the first one 1; the id in each delta, only in the first, empty, or never.

        Raises:
            ModelError: no model makes so many.
        """
        function = raw.get("function") or {}
        identifier, name = named(raw.get("id")), named(function.get("name"))
        given = raw.get("index")
        # Of any size and sign: it is a name here, not a place.
        index = given if type(given) is int else None
        if index is not None:
            known = self._at.get(index)
        else:
            known = self._by_id.get(identifier) or (self._calls[-1] if self._calls else None)
        begins = bool(name) and not identifier and _opens(function.get("arguments"))
        if (
            known is None
            or known.is_another(identifier, name, indexed=index is not None)
            or (begins and known.is_whole)
        ):
            known = _StreamedCall()
            self._calls.append(known)
            if len(self._calls) > _MOST_CALLS:
                raise ModelError(f"the model made more than {_MOST_CALLS} tool calls in one answer")
        if index is not None:
            self._at[index] = known
        if identifier:
            self._by_id.setdefault(identifier, known)
        known.add(identifier, name, raw, function)

    def values(self, ids: CallIds, stop: StopReason) -> Iterator[ToolUse]:
        """The whole calls; ``stop``: why the reply ended.

        Raises:
            TransientError: one of them has no name.
        """
        for number, call in enumerate(self._calls):
            last = number == len(self._calls) - 1
            yield call.value(ids.of(call.id, number), problem=call_problem(stop, last=last))


class _StreamedCall:
    """One tool call as it grows."""

    def __init__(self) -> None:
        self.id = ""
        self._name = ""
        self._written = GrowingText()
        self._given: object = None
        self._extra: object = None

    @property
    def is_whole(self) -> bool:
        """Its arguments are all there: a name and more arguments are those of another call."""
        written = self._written.whole
        return (
            _opens(written)
            and written.rstrip().endswith("}")
            and read(written, given={})[1] is None
        )

    def is_another(self, identifier: str, name: str, *, indexed: bool) -> bool:
        """That a delta with these is not of this call."""
        if identifier and self.id:
            return identifier != self.id
        # Without an index, a name is the only sign of a beginning.
        return bool(name and self._name) and (name != self._name or not indexed)

    def add(
        self, identifier: str, name: str, raw: Mapping[str, Any], function: Mapping[str, Any]
    ) -> None:
        self.id = self.id or identifier
        self._name = self._name or name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            self._written.add(arguments)
        elif arguments is not None:
            # An object, where a text of one is expected.
            self._given = arguments
        if raw.get("extra_content") is not None:
            # Gemini's signature of its thoughts, without which it refuses the call's result.
            self._extra = raw["extra_content"]

    def value(self, identifier: str, *, problem: str | None) -> ToolUse:
        if not self._name:
            raise broken("a tool call has no name")
        given = {} if self._given is None else clean(self._given)
        check_returnable({"given": given, "extra": self._extra})
        arguments, found = read(self._written.whole, given=given)
        return ToolUse(
            id=identifier,
            name=encodable(self._name),
            arguments=arguments,
            problem=problem or found,
            extra={} if self._extra is None else {"extra_content": clean(self._extra)},
        )


def _opens(arguments: object) -> bool:
    return isinstance(arguments, str) and arguments.lstrip().startswith("{")


def named(value: object) -> str:
    """A text of JSON as it is; anything else as an empty one."""
    return value if isinstance(value, str) else ""
