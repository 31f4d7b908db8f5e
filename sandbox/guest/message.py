"""Messages with named fields, and how one becomes a frame and is read again.

A frame holds the message's name, the number of the request that it belongs to, and the fields in
the order in which its class has them; only this module knows that. A message with a field missing,
too many or of another type is refused, by name of message and field: the host reads what a hostile
guest wrote. Refuses to know which messages there are.
"""

from __future__ import annotations

from _operator import itemgetter

from sandbox.guest import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

    Reader = Callable[[object], Any]
    R = TypeVar("R", bound="Fields")
    Row = tuple[Any, ...]
else:
    Row = tuple

    def dataclass_transform(**_: bool) -> Callable[[type], type]:
        return lambda made: made


_new = tuple.__new__
_GETTERS: list[property] = []
"""Of a field by its place: the same ones for all classes, as each guest holds them."""


class ProtocolError(ValueError):
    """What came is no message as it stands here."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Fields(Row):
    """A value with named fields: those that its class annotates. It is the tuple of them.

    A type is ``bytes``, ``int``, ``bool``, another such class, a ``list[…]`` of one of these, or
    one of these ``| None``.
    """

    if TYPE_CHECKING:
        _name: ClassVar[bytes]
        _kinds: ClassVar[dict[str, str]]
        _readers: ClassVar[list[tuple[tuple[type, ...], Reader]] | None]

    def __init_subclass__(cls) -> None:
        cls._name = cls.__name__.encode()
        cls._kinds = getattr(cls, "__annotations__", {})
        cls._readers = None
        for at, name in enumerate(cls._kinds):
            if at == len(_GETTERS):
                _GETTERS.append(property(itemgetter(at)))
            setattr(cls, name, _GETTERS[at])
        _CLASSES[cls._name] = cls

    def __new__(cls, **fields: object) -> Self:
        return _new(cls, [fields[name] for name in cls._kinds])

    @classmethod
    def read(cls, values: object) -> Self:
        """From what came off the wire. Raises `ProtocolError`."""
        readers = cls._readers
        if readers is None:
            readers = cls._readers = [(_plain(kind), _reader(kind)) for kind in cls._kinds.values()]
        if type(values) is not list:
            raise ProtocolError(cls.__name__ + " is no list of fields")
        more = len(values) - len(readers)
        if more:
            if more > 0:
                raise ProtocolError(f"{cls.__name__} has {more} fields too many")
            raise ProtocolError(f"{cls.__name__}.{[*cls._kinds][more]} is missing")
        for at, (plain, reader) in enumerate(readers):
            if type(values[at]) not in plain:  # most are, and a call costs more than the look
                try:
                    values[at] = reader(values[at])
                except ProtocolError as error:
                    raise ProtocolError(f"{cls.__name__}.{[*cls._kinds][at]}: {error}") from None
        return _new(cls, values)


_CLASSES: dict[bytes, type[Fields]] = {}


_PLAIN = {"bytes": bytes, "int": int}


def _plain(kind: str) -> tuple[type, ...]:
    """The types of which a value stands as it is; there are none of a list, or of fields."""
    first, _, rest = kind.partition(" | ")
    found = (_PLAIN[first],) if first in _PLAIN else ()
    return (*found, type(None)) if rest else found


def _exactly(kind: type) -> Reader:
    def read(value: object) -> object:
        if type(value) is not kind:
            raise ProtocolError("is not of type " + kind.__name__)
        return value

    return read


def _rows(each: Reader) -> Reader:
    def read(value: object) -> object:
        if type(value) is not list:
            raise ProtocolError("is not of type list")
        return list(map(each, value))

    return read


def _truth(value: object) -> bool:
    if type(value) is not int or value not in (0, 1):
        raise ProtocolError("is not of type bool")
    return value == 1


def _reader(kind: str) -> Reader:
    """What reads a value of a type, as its annotation has it, and refuses any other."""
    kind = kind.partition(" | ")[0]  # where there may be None, that is read already
    if kind.startswith("list["):
        return _rows(_reader(kind[5:-1]))
    if kind == "bool":
        return _truth
    return _exactly(_PLAIN[kind]) if kind in _PLAIN else _CLASSES[kind.encode()].read


class Message(Fields):
    """What one frame holds."""

    def framed(self, number: int) -> list[Any]:
        """The value of its frame."""
        return [self._name, number, *self]


class HostRequest(Message):
    """From the host."""


class GuestAnswer(Message):
    """From the guest."""


class RequestPart(HostRequest):
    """A piece of a request that no frame takes whole; what follows it is the next piece."""

    data: bytes
    last: bool


def frame(number: int, message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        WireError: they are more than a frame takes.
    """
    return wire.frame(message.framed(number))


def request_frames(number: int, wanted: HostRequest) -> bytes:
    """The bytes of a request: one frame, or where that is too small, one for each `RequestPart`.

    Raises:
        WireError: they are more than `wire.MESSAGE_LIMIT`.
    """
    values = wanted.framed(number)
    try:
        return wire.frame(values)
    except wire.WireError:
        body = wire.encode(values, wire.MESSAGE_LIMIT)
    starts = range(0, len(body), wire.PIECE)
    parts = [RequestPart(data=body[at : at + wire.PIECE], last=at == starts[-1]) for at in starts]
    return b"".join(frame(number, part) for part in parts)


def request(value: wire.Value) -> tuple[int, HostRequest]:
    """A frame from the host: its number and what it says. Raises `ProtocolError`."""
    return _read(value, HostRequest)


class RequestReader:
    """Reads requests off frames; those that come in pieces are put together."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def read(self, value: wire.Value) -> tuple[int, HostRequest] | None:
        """A request and its number; None where more of it is to come. Raises `ProtocolError`."""
        number, wanted = request(value)
        if not isinstance(wanted, RequestPart):
            return number, wanted
        self._parts += wanted.data
        if len(self._parts) > wire.MESSAGE_LIMIT:
            raise ProtocolError("a request is too long")
        if not wanted.last:
            return None
        whole, self._parts = bytes(self._parts), bytearray()
        return request(wire.decode(whole))


def answer(value: wire.Value) -> tuple[int, GuestAnswer]:
    """A frame from the guest: the number of the request that it answers, and what it says.

    Raises:
        ProtocolError: it is none of these messages.
    """
    return _read(value, GuestAnswer)


def _read(value: wire.Value, side: type[R]) -> tuple[int, R]:
    if not isinstance(value, list) or len(value) < 2:
        raise ProtocolError("a frame that is no message")
    name, number, *fields = value
    known = _CLASSES.get(name) if isinstance(name, bytes) else None
    if known is None or not issubclass(known, side):
        raise ProtocolError(f"there is no message {name!r:.40}")
    if type(number) is not int:
        raise ProtocolError(known.__name__ + " is of no request")
    return number, known.read(fields)
