"""What the errors of all SDKs come to, and those of the HTTP client that is beneath each of them.

Owns the verdicts, the words for a connection that failed, and how a service's own text is made safe
to show: bounded, one line, no control characters. Refuses to know any SDK: the module beside each
one's maps its classes (``anthropic_errors``, ``openai_errors``).
"""

import json
import ssl
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

import httpx2

from agent.errors import ModelRefusedRequest, ModelUnavailable
from agent.models.retrying import TransientError
from agent.models.transport import NotTheApiError, ReplyTooLongError

_LONGEST_TEXT: Final = 300

_SHORTEST_SECRET: Final = 8
"""A shorter key is a word for a service that takes none, such as ``ollama``."""


class FailureKind(Enum):
    RETRY = auto()
    REFUSED = auto()
    AUTH = auto()
    BILLING = auto()
    UNAVAILABLE = auto()
    """The service can't be used, and trying again won't help."""


HTTP_CLIENT: Final[Mapping[type[BaseException], FailureKind]] = {
    # They pass through an SDK as they are while a stream is read.
    httpx2.HTTPError: FailureKind.RETRY,
    httpx2.UnsupportedProtocol: FailureKind.REFUSED,
    httpx2.TooManyRedirects: FailureKind.REFUSED,
    httpx2.LocalProtocolError: FailureKind.REFUSED,
    httpx2.InvalidURL: FailureKind.REFUSED,
    httpx2.CookieConflict: FailureKind.REFUSED,
    httpx2.StreamError: FailureKind.RETRY,
}
"""By class, for the table of each SDK; a class not there has the verdict of its nearest parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceWords:
    """What the messages name."""

    model: str
    base_url: str
    credential: str = ""
    """What to look at where it takes us for nobody; empty: the provider's usual variable."""
    key: str = field(default="", repr=False)
    """Never shown, should the service say it back."""

    def shown(self, text: str) -> str:
        """The service's own words, safe to show."""
        if len(self.key) >= _SHORTEST_SECRET:
            # Before it is cut, and also as it stands in JSON.
            for form in (self.key, json.dumps(self.key)[1:-1]):
                text = text.replace(form, "(the key)")
        return line(text)


@contextmanager
def settled(
    service: ServiceWords,
    *,
    reading: bool,
    sdk: type[Exception],
    translate: Callable[[BaseException, ServiceWords], Exception],
) -> Generator[None]:
    """Raise ours for another's. ``sdk``: the root of an SDK's errors. ``reading``: the answer has
    begun, so that what can't be decoded is a broken stream and not a request that could not be
    written."""
    try:
        yield
    except (sdk, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise translate(error, service) from error
    except (httpx2.StreamError, httpx2.CookieConflict) as error:
        raise translate(error, service) from error
    except ReplyTooLongError as error:
        raise ModelUnavailable(f"{service.base_url}: {error}") from error
    except NotTheApiError as error:
        raise ModelRefusedRequest(
            f"{service.base_url} {error}: check the base URL, and proxies on the way"
        ) from error
    except (ValueError, TypeError) as error:
        if reading:
            raise TransientError("the stream broke (an event is not JSON)") from error
        raise ModelRefusedRequest(f"the request can't be sent: {line(str(error))}") from error
    except RecursionError as error:
        # Of the JSON decoder, on both ways.
        if reading:
            raise TransientError("the stream broke (an event is nested too deeply)") from error
        raise ModelRefusedRequest("the request or its answer is nested too deeply") from error


def nearest(error: BaseException, table: Mapping[type[BaseException], FailureKind]) -> FailureKind:
    known = (table[kind] for kind in type(error).__mro__ if kind in table)
    return next(known, FailureKind.UNAVAILABLE)


def of_connection(
    error: BaseException, table: Mapping[type[BaseException], FailureKind]
) -> FailureKind:
    """An SDK wraps all that goes wrong before the answer; the cause may be beyond mending."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError | ReplyTooLongError):
            return FailureKind.UNAVAILABLE
        if nearest(cause, table) is FailureKind.REFUSED:
            return FailureKind.REFUSED
    return nearest(error, table)


def timed_out(service: ServiceWords) -> str:
    return f"{service.base_url} did not answer in time"


def failed(error: BaseException, service: ServiceWords) -> str:
    """How a connection failed, by the first of all causes."""
    causes = _causes(error)
    if any(isinstance(cause, httpx2.LocalProtocolError) for cause in causes):
        # Its text holds the header, and the key with it.
        return "a header of the request can't be sent"
    root = (causes or [error])[-1]
    return f"the connection to {service.base_url} failed ({line(str(root) or repr(root))})"


def elsewhere(response: httpx2.Response) -> str | None:
    """What to do where the service sends us on, which we don't follow; None: it does not."""
    if not response.is_redirect:
        return None
    try:
        target = httpx2.URL(response.headers.get("location", ""))
    except httpx2.InvalidURL:
        target = httpx2.URL("")
    where = line(f"{target.scheme}://{target.host}") if target.host else "another path"
    return f"it redirects to {where}, which is not followed: give the right base URL"


def phrase(status: int) -> str:
    """For an answer that is not the API's own, such as a proxy's page: not its text."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def line(text: str) -> str:
    """One bounded line that can't steer a terminal."""
    # Cut first: what is cleaned may be megabytes.
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:10_000]).split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"


def _causes(error: BaseException) -> list[BaseException]:
    """What led to it, the first of all last."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        if cause in found:
            break
        found.append(cause)
    return found[1:]
