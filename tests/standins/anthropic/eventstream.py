"""The binary framing in which Bedrock streams, written from its specification.

A frame: total length, length of the headers, a checksum of these two; headers; payload; a checksum
of all that. Source: "Amazon event stream encoding" in the AWS SDK documentation.
"""

import base64
import json
import struct
import zlib
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    written = b"".join(
        bytes([len(name)])
        + name.encode()
        + struct.pack("!BH", _STRING, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(written) + len(payload), len(written))
    start = prelude + struct.pack("!I", zlib.crc32(prelude)) + written + payload
    return start + struct.pack("!I", zlib.crc32(start))


def chunk(data: str) -> bytes:
    """One event of a stream."""
    payload = {"bytes": base64.b64encode(data.encode()).decode(), "p": "abcdefgh"}
    headers = {
        ":event-type": "chunk",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return frame(headers, json.dumps(payload).encode())


def exception(kind: str, message: str) -> bytes:
    """An error in the middle of a stream."""
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, json.dumps({"message": message}).encode())
