"""Requests that more than one kind of operation makes, with what counts as done."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from sandbox.engine.api import NOT_FOUND, SLOW_TIMEOUT_S, Api, EngineRefused
from sandbox.engine.api_errors import translated
from sandbox.engine.endpoints import Endpoint
from sandbox.errors import EngineError

_STREAM_END_BYTES = 16 << 20


class EngineRequests:
    """Asks one engine."""

    def __init__(self, endpoint: Endpoint, api: Api) -> None:
        self._endpoint = endpoint
        self._api = api

    def _looked_at(self, path: str) -> dict[str, Any] | None:
        """What the engine says of a thing; None where there is none."""
        try:
            return cast("dict[str, Any]", self._api.json("GET", path))
        except EngineRefused as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _removed(self, path: str, query: Mapping[str, object], *, gone: tuple[int, ...]) -> None:
        try:
            self._api.json("DELETE", path, query=query, timeout_s=SLOW_TIMEOUT_S)
        except EngineRefused as error:
            if error.status not in gone:
                raise

    def _stream_in(
        self, path: str, query: Mapping[str, object], tar: Iterable[bytes], doing: str
    ) -> None:
        """Send a tar of which the engine makes an image. It may answer 200 and then fail."""
        with (
            translated(doing),
            self._api.call("POST", path, query=query, body=tar, timeout_s=SLOW_TIMEOUT_S) as answer,
        ):
            text = answer.read(_STREAM_END_BYTES).decode("utf-8", "replace")
        if '"error"' in text:
            raise EngineError(f"{doing} failed: {text.strip()[-300:]}")


def as_json(value: Mapping[str, object]) -> bytes:
    """The body of a request."""
    return json.dumps(value).encode()


def labelled(label: str) -> dict[str, str]:
    """The query for things that carry a label (``KEY`` or ``KEY=VALUE``)."""
    return {"filters": json.dumps({"label": [label]})}
