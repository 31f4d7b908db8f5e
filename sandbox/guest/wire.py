"""How host and guest write values to each other: the same file on both sides.

A value is an int, bytes, None, or a list of values. A frame is four bytes of length (big endian)
and one value. Not marshal or pickle, which run or crash what reads them, and not JSON, which can't
carry bytes: the host reads frames that a hostile guest wrote, so the reader is total and bounded.
"""

from __future__ import annotations

from _struct import Struct
from _struct import error as struct_error  # type: ignore[attr-defined]  # `struct` has it thence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    # What comes off the wire, and what may be put on it.
    Value = int | bytes | None | list["Value"]
    Outgoing = int | bytes | None | Sequence["Outgoing"]

FRAME_LIMIT = 1 << 20
"""Largest frame either side accepts, in bytes."""

PIECE = 1 << 18
"""How much of a file or stream goes into one frame, in bytes."""

MESSAGE_LIMIT = 1 << 23
"""Largest message of the host, in bytes: what no frame takes goes in pieces. The kernel takes no
command line of more than 6 MiB. A guest says nothing that is larger than a frame."""

_DEPTH_LIMIT = 6
_HEAD = Struct(">cI")
"""Of bytes or a list: the tag, and how many bytes or items follow."""
_NUMBER = Struct(">cq")
_HEAD_BYTES, _NUMBER_BYTES = _HEAD.size, _NUMBER.size
_BYTES_TAG, _NUMBER_TAG, _NONE_TAG, _LIST_TAG = b"BINL"


class WireError(ValueError):
    """Bytes that are no frame of ours."""


def _encode(values: Sequence[Outgoing], out: list[bytes]) -> None:
    for value in values:
        if type(value) is bytes:
            out += _HEAD.pack(b"B", len(value)), value
        elif value is None:
            out.append(b"N")
        elif isinstance(value, int):
            out.append(_NUMBER.pack(b"I", value))
        else:
            out.append(_HEAD.pack(b"L", len(value)))
            _encode(value, out)


def frame(value: Outgoing, limit: int = FRAME_LIMIT) -> bytes:
    """Bytes of one frame; none of more than `FRAME_LIMIT` is read.

    Raises:
        WireError: its value takes more than `limit` bytes, or holds too large a number.
    """
    out = [b""]
    try:
        _encode((value,), out)
    except struct_error:
        raise WireError("a number of more than 64 bits") from None
    size = sum(map(len, out))
    if size > limit:
        raise WireError(f"{size} bytes, and at most {limit} can be sent")
    out[0] = size.to_bytes(4, "big")
    return b"".join(out)


def _decode(data: bytes, at: int, count: int, depth: int) -> tuple[list[Value], int]:
    """So many values from there, and where they end. One loop: a call costs more than a value."""
    items: list[Value] = []
    for _ in range(count):
        tag = data[at]
        if tag == _NUMBER_TAG:
            items.append(_NUMBER.unpack_from(data, at)[1])
            at += _NUMBER_BYTES
            continue
        if tag == _NONE_TAG:
            items.append(None)
            at += 1
            continue
        size: int = _HEAD.unpack_from(data, at)[1]
        at += _HEAD_BYTES
        # Each item takes a byte at least: a count that lies can't make us allocate.
        if size > len(data) - at:
            raise WireError("a value runs past the frame")
        if tag == _BYTES_TAG:
            items.append(data[at : at + size])
            at += size
        elif tag == _LIST_TAG:
            if depth >= _DEPTH_LIMIT:
                raise WireError("too deep")
            item, at = _decode(data, at, size, depth + 1)
            items.append(item)
        else:
            raise WireError(f"unknown tag {tag}")
    return items, at


def decode(data: bytes) -> Value:
    """The value in a frame's body.

    Raises:
        WireError: it is not exactly one value.
    """
    try:
        (value,), end = _decode(data, 0, 1, 0)
    except (IndexError, struct_error):
        raise WireError("a value runs past the frame") from None
    if end != len(data):
        raise WireError("bytes after the value")
    return value


class FrameReader:
    """Cuts a stream of bytes into values."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.size = 0
        """Of the frame that was given last, in bytes."""

    def read(self, data: bytes | memoryview) -> Iterator[Value]:
        """The values that are whole with this piece of the stream."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            size = int.from_bytes(buffer[:4], "big")
            if size > FRAME_LIMIT:
                raise WireError(f"frame of {size} bytes announced")
            end = 4 + size
            if len(buffer) < end:
                break
            body = bytes(memoryview(buffer)[4:end])
            del buffer[:end]  # which moves nothing: a bytearray begins where its first byte is
            self.size = size
            yield decode(body)
