"""The one place where what went wrong with a request to the engine becomes an error of ours."""

from collections.abc import Generator
from contextlib import contextmanager

from sandbox.engine.api import NOT_FOUND, EngineRefused, Malformed, Unreachable
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
