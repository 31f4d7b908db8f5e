"""What goes wrong beneath every SDK: in the HTTP client, and on the way to the service.

Owns the kinds of failure, the words for a connection that failed, and how a service's own text is
made safe to show: bounded, one line, no control characters. Refuses to know any SDK, and which of
our errors a failure becomes (`agent.models.service_errors`).
"""

import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import Enum, auto
from typing import Final

import httpx2

from agent.models.transport import ReplyTooLongError
from policies.frozen import dataclass

_LONGEST_TEXT: Final = 300

_SHORTEST_SECRET: Final = 8
"""A shorter key is a word for a service that takes none, such as ``ollama``."""


class FailureKind(Enum):
    RETRY = auto()
    """The same request may be answered the next time."""
    DOUBTFUL = auto()
    """By its status the request may be answered the next time, by its words it never will be."""
    REFUSED = auto()
    """The service will never take this request."""
    TOO_LONG = auto()
    """The conversation does not fit; a shorter one may."""
    AUTH = auto()
    """The key is missing, not accepted, or may not do this."""
    BILLING = auto()
    """The account can't pay."""
    UNAVAILABLE = auto()
    """The service can't be used, and trying again won't help."""


HTTP_CLIENT: Final[Mapping[type[BaseException], FailureKind]] = {
    # An SDK lets these through as they are while it reads a stream.
    httpx2.HTTPError: FailureKind.RETRY,
    httpx2.UnsupportedProtocol: FailureKind.REFUSED,
    httpx2.TooManyRedirects: FailureKind.REFUSED,
    httpx2.LocalProtocolError: FailureKind.REFUSED,
    httpx2.InvalidURL: FailureKind.REFUSED,
    httpx2.CookieConflict: FailureKind.REFUSED,
    httpx2.StreamError: FailureKind.RETRY,
}
"""The kind of each class of error, for the table of each SDK. A class that is not listed is of the
kind of its nearest parent."""


BY_STATUS: Final[Mapping[int, FailureKind]] = {
    401: FailureKind.AUTH,
    402: FailureKind.BILLING,
    403: FailureKind.AUTH,
    408: FailureKind.RETRY,
    # A lock on the service's side ran out; the SDKs' own policy retries it too.
    409: FailureKind.RETRY,
    413: FailureKind.TOO_LONG,
    425: FailureKind.RETRY,
    429: FailureKind.RETRY,
    # It comes from a proxy that saw us go; we did not.
    499: FailureKind.RETRY,
    501: FailureKind.REFUSED,
    505: FailureKind.REFUSED,
}
"""Every other status from 500 on may pass, and every other below it never will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceWords:
    """What the messages about a service name."""

    model: str
    """As the service is asked for it; empty where only its list of models is wanted."""
    base_url: str
    credential: str
    """What to look at where the service does not accept the key, such as a variable's name."""
    usual_path: str = ""
    """How the base URLs of most services of this kind end; empty: nothing is usual."""
    key: str = field(default="", repr=False)
    """The key itself, which is never shown, should the service say it back."""

    def shown(self, text: str) -> str:
        """The service's own words, safe to show."""
        if len(self.key) >= _SHORTEST_SECRET:
            # Before it is cut, and also as it stands in JSON.
            for form in (self.key, json.dumps(self.key)[1:-1]):
                text = text.replace(form, "(the key)")
        return line(text)


def request_id_in(headers: Mapping[str, str], names: Iterable[str]) -> str:
    """The service's name for a request, under the first of these names; empty: it gives none."""
    return next((headers[name] for name in names if headers.get(name)), "")


def nearest(error: BaseException, table: Mapping[type[BaseException], FailureKind]) -> FailureKind:
    known = (table[kind] for kind in type(error).__mro__ if kind in table)
    return next(known, FailureKind.UNAVAILABLE)


def of_status(status: int) -> FailureKind:
    usual = FailureKind.REFUSED if status < 500 else FailureKind.RETRY
    return BY_STATUS.get(status, usual)


def by_advice(kind: FailureKind, headers: Mapping[str, str]) -> FailureKind:
    """The kind of an error by its status, unless the service says whether to ask again."""
    match kind, headers.get("x-should-retry"):
        case FailureKind.RETRY, "false":
            return FailureKind.UNAVAILABLE
        case FailureKind.REFUSED, "true":
            return FailureKind.RETRY
        case _:
            return kind


def of_connection(
    error: BaseException, table: Mapping[type[BaseException], FailureKind]
) -> FailureKind:
    """The kind of a failed connection. An SDK wraps whatever goes wrong before the answer, and the
    cause within may be one that no further attempt mends."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError | ReplyTooLongError):
            return FailureKind.UNAVAILABLE
        if nearest(cause, table) is FailureKind.REFUSED:
            return FailureKind.REFUSED
    return nearest(error, table)


def connection_failure(error: BaseException, service: ServiceWords) -> str:
    """How a connection failed, by the first of all causes."""
    causes = _causes(error)
    if any(isinstance(each, httpx2.TimeoutException) for each in (error, *causes)):
        return f"{service.base_url} did not answer in time"
    if any(isinstance(cause, httpx2.LocalProtocolError) for cause in causes):
        # Its text holds the header, and the key with it.
        return "a header of the request can't be sent"
    root = (causes or [error])[-1]
    return f"the connection to {service.base_url} failed ({line(str(root) or repr(root))})"


def elsewhere(response: httpx2.Response) -> str | None:
    """What to do about a redirect, which is not followed; None: the answer is none."""
    if not response.is_redirect:
        return None
    try:
        target = httpx2.URL(response.headers.get("location", ""))
    except httpx2.InvalidURL:
        target = httpx2.URL("")
    where = line(f"{target.scheme}://{target.host}") if target.host else "another path"
    return f"it redirects to {where}, which is not followed: give the right base URL"


def line(text: str) -> str:
    """One bounded line that can't steer a terminal."""
    # Cut first: what is cleaned may be megabytes.
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:10_000]).split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"


def _causes(error: BaseException) -> list[BaseException]:
    """The errors that led to this one, from the nearest to the first of all."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        if cause in found:
            break
        found.append(cause)
    return found[1:]
