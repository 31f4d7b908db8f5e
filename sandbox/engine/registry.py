"""Pulls and builds, which need the operator's registry credentials, by the docker SDK.

The one module that imports it: the SDK reads the client's configuration and asks its credential
helpers. It is slow to import, so this module is imported where one of the two calls is made. Owns
turning the SDK's errors into those of `sandbox.engine.api`.
"""

import io
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker
import docker.errors
import docker.tls
import requests

from sandbox.engine.api import SLOW_TIMEOUT_S, EngineRefused, Malformed, Unreachable
from sandbox.engine.endpoints import Endpoint


def pull(endpoint: Endpoint, repository: str, tag: str, *, timeout_s: float) -> None:
    """Pull an image. Raises EngineRefused, Unreachable or Malformed."""
    with _mapped(), _client(endpoint, timeout_s) as client:
        client.pull(repository, tag=tag)


def build(
    endpoint: Endpoint,
    context: bytes,
    *,
    ref: str,
    labels: Mapping[str, str],
    build_args: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Build from a tar that holds a Dockerfile; gives the engine's events. Raises as `pull`."""
    with _mapped(), _client(endpoint, SLOW_TIMEOUT_S) as client:
        yield from client.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=ref,
            rm=True,
            forcerm=True,
            decode=True,
            labels=dict(labels),
            buildargs=dict(build_args),
        )


def _client(endpoint: Endpoint, timeout_s: float) -> docker.APIClient:
    tls: docker.tls.TLSConfig | bool = False
    if endpoint.tls_directory is not None:
        files = endpoint.tls_directory
        tls = docker.tls.TLSConfig(
            client_cert=(str(files / "cert.pem"), str(files / "key.pem")),
            ca_cert=str(files / "ca.pem"),
            verify=endpoint.tls_verify,
        )
    return docker.APIClient(base_url=endpoint.host, tls=tls, timeout=int(timeout_s), version="auto")


@contextmanager
def _mapped() -> Generator[None]:
    try:
        yield
    except docker.errors.APIError as error:
        raise EngineRefused(error.status_code or 0, str(error.explanation or error)) from error
    except (requests.ConnectionError, requests.Timeout, ConnectionError) as error:
        raise Unreachable(str(error)) from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise Malformed(str(error)) from error
