"""What the stand-in answers: values that a test queues."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. ``written`` is sent as its JSON in place of the arguments, malformed or not."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    written: str | None = None
    id: str | None = None
    """None: the stand-in makes one up."""


@dataclass(frozen=True, slots=True)
class Thought:
    """A thinking block; redacted ones carry only data. The stand-in signs them."""

    text: str = ""
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """A block as it is, with no deltas; deltas to follow may be given."""

    block: Mapping[str, Any]
    deltas: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """The service's own web search: its call, and what was found where it is not still at it."""

    query: str
    found: tuple[tuple[str, str], ...] | None = (("A page", "https://example.org/"),)
    """Titles and addresses; None: the turn pauses before there is an answer."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a search that the request left open: a paused turn goes on with it."""

    pages: tuple[tuple[str, str], ...] = (("A page", "https://example.org/"),)


class Framing(Enum):
    """How the bytes of the events lie on the wire."""

    PLAIN = auto()
    BYTE_BY_BYTE = auto()
    CRLF = auto()
    ONE_WRITE = auto()
    WITH_PINGS = auto()
    """A ping, a comment and an event of an unknown kind between any two."""


Block = str | Call | Thought | Raw | Search | Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    blocks: tuple[Block, ...]
    stop: str | None
    """None: ``tool_use`` with calls, ``end_turn`` without."""
    framing: Framing = Framing.PLAIN
    stop_details: Mapping[str, Any] | None = None


def answer(
    *blocks: Block,
    stop: str | None = None,
    framing: Framing = Framing.PLAIN,
    stop_details: Mapping[str, Any] | None = None,
) -> Answer:
    return Answer(blocks=blocks, stop=stop, framing=framing, stop_details=stop_details)


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error status, with the documented body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "as the test asked"
    code: str | None = None
    """``error.details.error_code``."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer that is not the API's: a proxy's page, or nothing."""

    status: int
    body: str | bytes = "<html><body><h1>Bad gateway</h1></body></html>"
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)


class How(Enum):
    """In what way an answer breaks."""

    DROP = auto()
    """The connection is closed, the body not ended."""
    RESET = auto()
    """The connection is reset; what was sent and not yet read is lost."""
    END = auto()
    """The body ends in good order, too soon."""
    HANG = auto()
    """Nothing more comes, and the connection stays."""
    PING = auto()
    """Only pings come, for ever."""
    ERROR = auto()
    """An ``error`` event."""
    GARBAGE = auto()
    """An event whose data is not JSON, and the end."""
    NO_OBJECT = auto()
    """An event whose data is JSON and no object, and the end."""
    MID_EVENT = auto()
    """Half an event, then as DROP."""


THE_END = "the end"
"""For `Break.before`: after every event, before the end of the body."""


@dataclass(frozen=True, slots=True)
class Break:
    """An answer that breaks before an event; before the headers where ``before`` is None."""

    how: How
    before: str | None = None
    """Kind of the event that does not come, such as ``message_stop``: the first of that kind."""
    answer: Answer = field(default_factory=lambda: answer("A text that will break off here."))
    error: str = "overloaded_error"
    """With ERROR: its type."""


Behaviour = Answer | Refuse | Page | Break


_PIECE_CHARACTERS = 7
"""Of one delta: cuts words, escapes and numbers in two."""
_LATER_CHARACTERS = 701
"""Of each after the first hundred: an SDK takes its time for every single one."""


def pieces(text: str) -> Iterator[str]:
    """A text as the deltas in which it streams."""
    start = 0
    while start < len(text):
        size = _PIECE_CHARACTERS if start < 100 * _PIECE_CHARACTERS else _LATER_CHARACTERS
        yield text[start : start + size]
        start += size
