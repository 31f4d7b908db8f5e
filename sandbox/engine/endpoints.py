"""Where a container engine may listen, in the order the docker client looks.

Owns the search. Knows no SDK: it reads the client's own files and gives addresses.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from policies.frozen import dataclass

_FILE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address to try."""

    source: str
    """What named it, for messages: ``DOCKER_HOST``, ``context NAME``, or ``default``."""
    host: str
    """``unix:///…``, ``tcp://…``, ``ssh://…`` or ``npipe://…``."""
    tls_directory: Path | None = None
    """Holds ``ca.pem``, ``cert.pem``, ``key.pem``; None: no client certificates."""
    tls_verify: bool = True


def candidates(environ: Mapping[str, str], *, home: Path) -> tuple[Endpoint, ...]:
    """Addresses to try, best first.

    What a person set (``DOCKER_HOST``, ``DOCKER_CONTEXT``, the current context) is the only
    candidate: falling through to another engine would run things where they did not ask for it.
    """
    config_directory = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    if host := environ.get("DOCKER_HOST"):
        tls = environ.get("DOCKER_CERT_PATH")
        if not tls and environ.get("DOCKER_TLS_VERIFY"):
            tls = str(config_directory)
        return (
            Endpoint(
                source="DOCKER_HOST",
                host=host,
                tls_directory=Path(tls) if tls else None,
                tls_verify=bool(environ.get("DOCKER_TLS_VERIFY")),
            ),
        )
    context = environ.get("DOCKER_CONTEXT") or _current_context(config_directory)
    if context and context != "default":
        return (_context_endpoint(config_directory, context),)
    if sys.platform == "win32":
        return (Endpoint(source="default", host="npipe:////./pipe/docker_engine"),)
    sockets = [Path("/var/run/docker.sock")]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        sockets.append(Path(runtime) / "docker.sock")
    sockets += [home / ".docker/run/docker.sock", home / ".docker/desktop/docker.sock"]
    return tuple(
        Endpoint(source="default", host=f"unix://{path}") for path in sockets if path.exists()
    )


def _read_json(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_FILE_LIMIT_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _current_context(config_directory: Path) -> str | None:
    name = _read_json(config_directory / "config.json").get("currentContext")
    return name if isinstance(name, str) else None


def _context_endpoint(config_directory: Path, name: str) -> Endpoint:
    # The client files a context under the sha256 of its name.
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    meta = _read_json(config_directory / "contexts/meta" / digest / "meta.json")
    endpoints = meta.get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    host = docker.get("Host") if isinstance(docker, dict) else None
    skip_verify = docker.get("SkipTLSVerify") if isinstance(docker, dict) else False
    tls = config_directory / "contexts/tls" / digest / "docker"
    return Endpoint(
        source=f"context {name}",
        host=host if isinstance(host, str) else "",
        tls_directory=tls if tls.is_dir() else None,
        tls_verify=not skip_verify,
    )
