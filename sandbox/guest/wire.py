"""How host and guest write values to each other: the same file on both sides.

A value is an int, bytes, None, or a list of values. A frame is four bytes of length (big endian)
and one value. Not marshal or pickle, which run or crash what reads them, and not JSON, which can't
carry bytes: the host reads frames that a hostile guest wrote, so the reader is total and bounded.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Protocol

    class HasValues(Protocol):
        """Stands for its values, in a list."""

        def values(self) -> list[Any]: ...

    # What comes off the wire, and what may be put on it.
    Value = int | bytes | None | list["Value"]
    Outgoing = int | bytes | None | Sequence["Outgoing"] | HasValues

FRAME_LIMIT = 1 << 20
"""Largest frame either side accepts, in bytes."""

PIECE = 1 << 18
"""How much of a file or stream goes into one frame, in bytes."""

MESSAGE_LIMIT = 1 << 23
"""Largest message of the host, in bytes: what no frame takes goes in pieces. The kernel takes no
command line of more than 6 MiB. A guest says nothing that is larger than a frame."""

_DEPTH_LIMIT = 6


class WireError(ValueError):
    """Bytes that are no frame of ours."""


def _encode(value: Outgoing, out: list[bytes]) -> None:
    if isinstance(value, bytes):
        out.append(b"B" + len(value).to_bytes(4, "big"))
        out.append(value)
    elif isinstance(value, int):
        try:
            out.append(b"I" + value.to_bytes(8, "big", signed=True))
        except OverflowError:
            raise WireError("a number of more than 64 bits") from None
    elif isinstance(value, (list, tuple)):
        out.append(b"L" + len(value).to_bytes(4, "big"))
        for item in value:
            _encode(item, out)
    elif value is None:
        out.append(b"N")
    else:
        _encode(value.values(), out)  # type: ignore[union-attr]  # a list is no other sequence


def encode(value: Outgoing, limit: int) -> bytes:
    """A value as `decode` reads it.

    Raises:
        WireError: it would take more than `limit` bytes, or holds too large a number.
    """
    out: list[bytes] = []
    _encode(value, out)
    size = sum(map(len, out))
    if size > limit:
        raise WireError(f"{size} bytes, and at most {limit} can be sent")
    return b"".join(out)


def frame(value: Outgoing) -> bytes:
    """Bytes of one frame. Raises `WireError` as `encode`."""
    body = encode(value, FRAME_LIMIT)
    return len(body).to_bytes(4, "big") + body


def _decode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    tag = data[at : at + 1]
    if tag == b"B":
        start = at + 5
        end = start + int.from_bytes(data[at + 1 : start], "big")
        if end > len(data) or start > len(data):
            raise WireError("bytes run past the frame")
        return bytes(data[start:end]), end
    if tag == b"I":
        end = at + 9
        if end > len(data):
            raise WireError("number runs past the frame")
        return int.from_bytes(data[at + 1 : end], "big", signed=True), end
    if tag == b"N":
        return None, at + 1
    if tag == b"L":
        if depth >= _DEPTH_LIMIT:
            raise WireError("too deep")
        count = int.from_bytes(data[at + 1 : at + 5], "big")
        at += 5
        # Each item takes a byte at least: a count that lies can't make us allocate.
        if count > len(data) - at:
            raise WireError("list runs past the frame")
        items: list[Value] = []
        for _ in range(count):
            item, at = _decode(data, at, depth + 1)
            items.append(item)
        return items, at
    raise WireError(f"unknown tag {tag!r}")


def decode(data: bytes) -> Value:
    """The value in a frame's body.

    Raises:
        WireError: it is not exactly one value.
    """
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise WireError("bytes after the value")
    return value


class FrameReader:
    """Cuts a stream of bytes into values."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.size = 0
        """Of the frame that was given last, in bytes."""

    def feed(self, data: bytes | memoryview) -> None:
        self._buffer += data

    def __iter__(self) -> Iterator[Value]:
        buffer = self._buffer
        at = 0
        try:
            while len(buffer) - at >= 4:
                size = int.from_bytes(buffer[at : at + 4], "big")
                if size > FRAME_LIMIT:
                    raise WireError(f"frame of {size} bytes announced")
                if len(buffer) - at - 4 < size:
                    break
                body = bytes(buffer[at + 4 : at + 4 + size])
                at += 4 + size
                self.size = size
                yield decode(body)
        finally:
            del buffer[:at]
