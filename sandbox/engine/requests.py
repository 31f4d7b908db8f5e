"""Requests to an engine: what counts as done, and the one place where a failure becomes ours."""

import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, cast

from sandbox.engine.api import NOT_FOUND, SLOW_TIMEOUT_S, Api, EngineRefused, Malformed, Unreachable
from sandbox.engine.endpoints import Endpoint
from sandbox.errors import (
    ContainerGone,
    EngineDiskFull,
    EngineError,
    EngineUnavailable,
    VolumeRefused,
)


def unavailable(endpoint: Endpoint, error: Exception) -> str:
    """Why no engine could be reached at an address, and what to do."""
    if "Permission denied" in str(error):
        return (
            f"no permission for the engine at {endpoint.host}: add yourself to the docker group, "
            "use a rootless engine, or run as root"
        )
    if not endpoint.host:
        return f"{endpoint.source} names no engine: see `docker context ls`, or set DOCKER_HOST"
    return (
        f"no engine answers at {endpoint.host} ({endpoint.source}): start it "
        "(on Debian as root: make engine), or set DOCKER_HOST"
    )


@contextmanager
def translated(doing: str) -> Generator[None]:
    """Make errors of a request into ours. `doing` says what was tried, as the message begins."""
    try:
        yield
    except EngineRefused as error:
        what = str(error)
        if error.status == NOT_FOUND and "container" in what.lower():
            raise ContainerGone(f"{doing}: the container is gone ({what})") from error
        raise _engine_error(doing, what) from error
    except Unreachable as error:
        raise EngineUnavailable(
            f"{doing}: the engine went away or does not answer; see `moonpool doctor`"
        ) from error
    except Malformed as error:
        raise _engine_error(doing, str(error)) from error


def _engine_error(doing: str, explanation: str) -> EngineError:
    """The engine has words for what failed, and no codes."""
    if "no space left on device" in explanation:
        return EngineDiskFull(
            f"{doing}: the engine's disk is full; free some space (`moonpool prune`)"
        )
    text = f"{doing}: {explanation}"
    return VolumeRefused(text) if "volume" in text else EngineError(text)


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
