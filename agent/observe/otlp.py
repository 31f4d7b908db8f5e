"""Handing finished spans to an OTLP collector: one HTTP request, and what can be wrong with it.

Owns the request. Refuses to know what a span is (`agent.observe.spans`) and who asked for telemetry
(the CLI, from the operator's configuration).

Not OpenTelemetry's own exporter: that one takes headers, certificates, a credential plugin and a
proxy from the environment and a password from ``~/.netrc``, and in earlier versions follows
redirects with all of it. Here nothing is sent but what the configuration names, and to nobody else.
"""

import http.client
import re
import ssl
from collections.abc import Mapping
from dataclasses import field
from urllib.parse import unquote, urlsplit

from agent.errors import UsageError
from policies.frozen import dataclass

_PATH = "/v1/traces"
"""Where OTLP over HTTP takes traces, after the endpoint's own path. Source: OTLP, 1.5."""
_LARGEST_ANSWER = 64 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OK = range(200, 300)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+", re.ASCII)


class NotDeliveredError(Exception):
    """The collector did not take the spans; the message is ours, with no word of its own in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Where a run's spans go: the operator's configuration, made ready."""

    endpoint: str
    """``http://HOST:PORT`` or ``https://HOST``; may have a path of its own."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    """Beside the content type. Secrets: never shown, never recorded."""

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).hostname or ""


def telemetry_settings(
    endpoint: str, headers_env: str | None, environ: Mapping[str, str]
) -> TelemetrySettings:
    """From the configuration's ``telemetry:`` to what is sent.

    Args:
        endpoint: a URL as the configuration's form takes it.
        headers_env: the variable that holds ``name=value,…``, percent-encoded where a value has a
            comma, as OpenTelemetry spells headers.

    Raises:
        UsageError: the variable is not set, or headers would be sent in the clear.
    """
    parts = urlsplit(endpoint)
    headers = _headers(headers_env, environ) if headers_env is not None else {}
    if headers and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise UsageError(f"telemetry: headers would go to {parts.hostname} in the clear: use https")
    return TelemetrySettings(endpoint=endpoint, headers=headers)


def _headers(variable: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for pair in environ.get(variable, "").split(","):
        name, given, value = (unquote(part.strip()) for part in pair.partition("="))
        if not given or not value or not _HEADER_NAME.fullmatch(name):
            raise UsageError(f"telemetry: {variable} must hold name=value,… for the collector")
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"telemetry: {variable} holds a character that no header can have")
        headers[name] = value
    return headers


def post(settings: TelemetrySettings, body: bytes, *, timeout_s: float) -> None:
    """Send one encoded request. No redirect is followed, nothing is sent twice.

    Raises:
        NotDeliveredError: it was not taken.
    """
    parts = urlsplit(settings.endpoint)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    headers = {**settings.headers, "Content-Type": "application/x-protobuf"}
    try:
        connection.request("POST", parts.path.rstrip("/") + _PATH, body, headers)
        answer = connection.getresponse()
        status = answer.status
        answer.read(_LARGEST_ANSWER)
    except TimeoutError as error:
        raise NotDeliveredError(f"no answer within {timeout_s:.0f} s") from error
    except ssl.SSLError as error:
        raise NotDeliveredError("its certificate, or the TLS connection, is no good") from error
    except OSError as error:
        raise NotDeliveredError(error.strerror or "it can't be reached") from error
    except (http.client.HTTPException, ValueError) as error:
        raise NotDeliveredError("it does not speak HTTP") from error
    finally:
        connection.close()
    if status not in _OK:
        moved = ", and is not followed" if status in range(300, 400) else ""
        raise NotDeliveredError(f"it answered {status}{moved}")
