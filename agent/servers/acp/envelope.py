"""Whether one line of a client is a message of JSON-RPC at all. Pure.

The SDK's connection ends at a message that is no object, and at an answer whose id is none. So what
gets to it has been looked at here, and for the rest there is the protocol's own error.
"""

import json
from collections.abc import Mapping
from typing import Any

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
MOST_OPEN = 64
"""Requests of a client that have no answer yet."""
_LONGEST_ID = 256
_META = "_meta"

Message = dict[str, Any]


class NoMessage(Exception):
    """A line that is no message; the answer to it is `error`."""

    def __init__(self, code: int, why: str, request_id: object = None) -> None:
        super().__init__(code, why, request_id)
        self.error: Message = {
            "jsonrpc": "2.0",
            "id": request_id,
            "error": {"code": code, "message": why},
        }

    def __str__(self) -> str:
        return str(self.args[1])


def read(line: bytes) -> Message:
    """The message of a line, without what it has beside the protocol's own words.

    Raises:
        NoMessage: it is none.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NoMessage(PARSE_ERROR, "Parse error: a line is one JSON object") from error
    if not isinstance(message, dict):
        raise NoMessage(INVALID_REQUEST, "Invalid request: a message is an object, in no batch")
    request_id = message.get("id")
    if not _is_id(request_id):
        raise NoMessage(INVALID_REQUEST, "Invalid request: an id is a number or a short text")
    if "method" not in message:
        return _answer(message)
    if message.get("jsonrpc") != "2.0":
        raise NoMessage(INVALID_REQUEST, "Invalid request: jsonrpc is not 2.0", request_id)
    if not isinstance(message["method"], str):
        raise NoMessage(INVALID_REQUEST, "Invalid request: a method is a text", request_id)
    params = message.get("params")
    if not isinstance(params, dict | None):
        raise NoMessage(INVALID_REQUEST, "Invalid request: params are an object", request_id)
    # The SDK would take what stands in `_meta` for arguments, by their names.
    kept = {name: value for name, value in (params or {}).items() if name != _META}
    return {**message, "params": kept}


def _answer(message: Mapping[str, Any]) -> Message:
    request_id = message.get("id")
    # The SDK counts its own requests, from 0: an answer to anything else answers nothing.
    if type(request_id) is not int or not ("result" in message or "error" in message):
        raise NoMessage(INVALID_REQUEST, "Invalid request: neither a request nor an answer")
    if "error" not in message:
        return dict(message)
    error = message["error"]
    code = error.get("code") if isinstance(error, dict) else None
    words = error.get("message") if isinstance(error, dict) else None
    return {
        "id": request_id,
        "error": {
            "code": code if isinstance(code, int) else -32603,
            "message": words if isinstance(words, str) else "Error",
        },
    }


def _is_id(value: object) -> bool:
    if value is None or type(value) is int:
        return True
    return isinstance(value, str) and len(value) <= _LONGEST_ID
