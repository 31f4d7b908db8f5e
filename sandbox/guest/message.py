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
        wire_name: ClassVar[bytes]
        _kinds: ClassVar[dict[str, str]]

    def __init_subclass__(cls) -> None:
        cls.wire_name = cls.__name__.encode()
        cls._kinds = getattr(cls, "__annotations__", {})
        for at, name in enumerate(cls._kinds):
            if at == len(_GETTERS):
                _GETTERS.append(property(itemgetter(at)))
            setattr(cls, name, _GETTERS[at])
        _CLASSES[cls.wire_name] = cls

    def __new__(cls, **fields: object) -> Self:
        return _new(cls, map(fields.__getitem__, cls._kinds))

    @classmethod
    def read(cls, values: object) -> Self:
        """From what came off the wire. Raises `ProtocolError`."""
        if type(values) is not list:
            raise ProtocolError(cls.__name__ + " is no list of fields")
        shape = (cls, *map(type, values))
        readers = _SHAPES.get(shape)
        if readers is None:
            readers = _SHAPES[shape] = cls._readers(shape[1:])
        for at, reader in readers:
            try:
                values[at] = reader(values[at])
            except KeyError:
                raise ProtocolError(
                    f"{cls.__name__}.{[*cls._kinds][at]}: is not of type bool"
                ) from None
            except ProtocolError as error:
                raise ProtocolError(f"{cls.__name__}.{[*cls._kinds][at]}: {error}") from None
        return _new(cls, values)

    @classmethod
    def _readers(cls, types: tuple[type, ...]) -> list[tuple[int, Reader]]:
        """What reads those of values of these types that do not stand as they are."""
        more = len(types) - len(cls._kinds)
        if more > 0:
            raise ProtocolError(f"{cls.__name__} has {more} fields too many")
        if more:
            raise ProtocolError(f"{cls.__name__}.{[*cls._kinds][more]} is missing")
        found = []
        for at, (name, kind) in enumerate(cls._kinds.items()):
            plain, _, rest = kind.partition(" | ")
            if rest and types[at] is type(None):
                continue
            if types[at] is not _PLAIN.get(plain, int if plain == "bool" else list):
                raise ProtocolError(f"{cls.__name__}.{name}: is not of type {plain.split('[')[0]}")
            if plain not in _PLAIN:
                found.append((at, _reader(plain)))
        return found


_CLASSES: dict[bytes, type[Fields]] = {}
_SHAPES: dict[tuple[type, ...], list[tuple[int, Reader]]] = {}
"""By a class and the types of its values, where they fit: most then stand as they are."""

_PLAIN = {"bytes": bytes, "int": int}


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


_TRUTHS: dict[object, object] = {0: False, 1: True}


def _reader(kind: str) -> Reader:
    """What reads a value of a type, as its annotation has it, and refuses any other."""
    if kind.startswith("list["):
        return _rows(_reader(kind[5:-1]))
    if kind == "bool":
        return _TRUTHS.__getitem__
    return _exactly(_PLAIN[kind]) if kind in _PLAIN else _CLASSES[kind.encode()].read


class Message(Fields):
    """What one frame holds."""


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
    return wire.frame([message.wire_name, number, *message])


def request_frames(number: int, wanted: HostRequest) -> bytes:
    """The bytes of a request: one frame, or where that is too small, one for each `RequestPart`.

    Raises:
        WireError: they are more than `wire.MESSAGE_LIMIT`.
    """
    values = [wanted.wire_name, number, *wanted]
    try:
        return wire.frame(values)
    except wire.WireError:
        body = wire.frame(values, wire.MESSAGE_LIMIT)[4:]
    starts = range(0, len(body), wire.PIECE)
    parts = [RequestPart(data=body[at : at + wire.PIECE], last=at == starts[-1]) for at in starts]
    return b"".join(frame(number, part) for part in parts)


class RequestReader:
    """Reads requests off frames; those that come in pieces are put together."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def read(self, value: wire.Value) -> tuple[int, HostRequest] | None:
        """A request and its number; None where more of it is to come. Raises `ProtocolError`."""
        number, wanted = read(value, HostRequest)
        if not isinstance(wanted, RequestPart):
            return number, wanted
        self._parts += wanted.data
        if len(self._parts) > wire.MESSAGE_LIMIT:
            raise ProtocolError("a request is too long")
        if not wanted.last:
            return None
        whole, self._parts = bytes(self._parts), bytearray()
        return read(wire.decode(whole), HostRequest)


def read(value: wire.Value, side: type[R]) -> tuple[int, R]:
    """A frame: the number of the request that it is or answers, and what it says.

    Args:
        side: `HostRequest` or `GuestAnswer`, whichever can come here.

    Raises:
        ProtocolError: it is none of these messages.
    """
    if type(value) is not list or len(value) < 2:
        raise ProtocolError("a frame that is no message")
    name, number = value[:2]
    known = _CLASSES.get(name) if type(name) is bytes else None
    if known is None or not issubclass(known, side):
        raise ProtocolError(f"there is no message {name!r:.40}")
    if type(number) is not int:
        raise ProtocolError(known.__name__ + " is of no request")
    return number, known.read(value[2:])
