"""The one place where the docker SDK's errors become ours."""

from collections.abc import Generator
from contextlib import contextmanager

import docker.errors
import requests

from sandbox.engine.endpoints import Endpoint
from sandbox.errors import ContainerGone, EngineError, EngineUnavailable


def unavailable(endpoint: Endpoint, error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text or isinstance(error, PermissionError):
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
    """The one place where the SDK's errors become ours."""
    try:
        yield
    except docker.errors.NotFound as error:
        what = error.explanation or str(error)
        if "container" in str(what).lower():
            raise ContainerGone(f"{doing}: the container is gone ({what})") from error
        raise EngineError(f"{doing}: {what}") from error
    except docker.errors.APIError as error:
        raise EngineError(_explained(doing, error)) from error
    except (requests.ConnectionError, requests.Timeout, ConnectionError, BrokenPipeError) as error:
        raise EngineUnavailable(
            f"{doing}: the engine went away or does not answer; see `moonpool doctor`"
        ) from error
    except docker.errors.DockerException as error:
        raise EngineError(f"{doing}: {error}") from error
    except requests.RequestException as error:
        raise EngineError(f"{doing}: {error}") from error


def _explained(doing: str, error: docker.errors.APIError) -> str:
    explanation = str(error.explanation or error)
    if "no space left on device" in explanation:
        return f"{doing}: the engine's disk is full; free some space (`moonpool prune`)"
    return f"{doing}: {explanation}"
