"""The HTTP client that each provider's SDK is given: bounded, paced, and kept to its own host.

Owns what no answer may do whatever an SDK allows: take for ever, grow without end, unfold from few
bytes into many, or send the request and its key on to another host. Refuses to know any API. Reads
no environment; the proxy and certificate variables, which its HTTP library reads, are the
operator's.
"""

import functools
import ipaddress
import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import httpx2

from agent.errors import ModelAuth, UsageError

CONNECT_TIMEOUT_S: Final = 10.0

READ_TIMEOUT_S: Final = 180.0
"""Longest silence, not even a ping: the stream hangs. Services ping while the model thinks."""

REPLY_TIMEOUT_S: Final = 1200.0
"""Longest one whole reply may take, pings or not: 32,000 tokens at 27 a second."""

LARGEST_REPLY_BYTES: Final = 64 * 1024 * 1024
"""Bytes on the wire. The longest reply is 128,000 tokens, which are some 30 MB of events."""

_NEVER_PROXIED: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")

_PLAIN: Final = frozenset({"", "identity"})


class ReplyTooLongError(Exception):
    """More bytes than any reply has."""


class NotTheApiError(Exception):
    """An answer that is not the API's; the message says what it was."""


class _Paced(httpx2.SyncByteStream):
    """A response's bytes, given up when the whole takes too long or grows too large.

    The client's own timeout is for silence only; a stream of nothing but pings passes it.
    """

    def __init__(self, inner: httpx2.SyncByteStream, *, timeout_s: float, encoding: str) -> None:
        self._inner = inner
        self._deadline_s = time.monotonic() + timeout_s
        self._encoding = encoding

    def __iter__(self) -> Iterator[bytes]:
        if self._encoding not in _PLAIN:
            # Not asked for, and a thousand times what it is on the wire: no bound would hold.
            raise NotTheApiError(f"answered compressed ({self._encoding[:20]!r})")
        size = 0
        for chunk in self._inner:
            size += len(chunk)
            if size > LARGEST_REPLY_BYTES:
                raise ReplyTooLongError(f"a reply of more than {LARGEST_REPLY_BYTES} bytes")
            yield chunk
            if time.monotonic() > self._deadline_s:
                raise httpx2.ReadTimeout("the reply took too long")

    def close(self) -> None:
        self._inner.close()


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The authorities, read once: a batch has a client for each run, and each would read them."""
    return httpx2.create_ssl_context()


def guarded(make: Callable[..., httpx2.Client], *, reply_timeout_s: float) -> httpx2.Client:
    """A client of the SDK's own kind (``make``), whose answers are as this module says."""

    def pace(response: httpx2.Response) -> None:
        response.stream = _Paced(
            cast("httpx2.SyncByteStream", response.stream),
            timeout_s=reply_timeout_s,
            encoding=response.headers.get("content-encoding", "").strip().lower(),
        )

    return make(
        event_hooks={"response": [pace]},
        headers={"accept-encoding": "identity"},
        # A redirect sends the whole conversation to a host that nobody named, with every header
        # but Authorization; from http to https, with that too.
        follow_redirects=False,
        # A service on this machine is never behind a proxy, whatever the environment says.
        mounts=dict.fromkeys(_NEVER_PROXIED),
        verify=_trusted(),
    )


def timeouts(read_timeout_s: float) -> httpx2.Timeout:
    return httpx2.Timeout(read_timeout_s, connect=CONNECT_TIMEOUT_S)


def check_events(response: httpx2.Response, *more: str) -> None:
    """Raise `NotTheApiError` for what is no event stream; ``more``: other names of one."""
    kind = response.headers.get("content-type", "")
    if not any(name in kind for name in ("event-stream", *more)):
        raise NotTheApiError(f"answered with {kind[:60] or 'no content type'!r}, not with events")


def decoded(answer: bytes) -> Any:
    """Raises NotTheApiError where it is no JSON, such as a proxy's page."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise NotTheApiError("answered with something else than JSON") from error


def credential(name: str, value: str | None) -> str | None:
    """A credential as it was given; None where there is none.

    Raises:
        ModelAuth: no header could carry it.
    """
    if not value:
        return None
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ModelAuth(f"{name} holds a space, line break or other character that no key has")
    return value


def url(text: str) -> str:
    """A base URL as it was given, once it is found to be one.

    Raises:
        UsageError: it is no base URL.
    """
    try:
        parsed = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise UsageError(f"the base URL {text!r} is not a URL: {error}") from error
    if parsed.userinfo or parsed.query or parsed.fragment:
        # A base URL stands in messages, and so would they.
        raise UsageError(
            "the base URL holds a user, a password or a query: a key goes into its own variable"
        )
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise UsageError(f"the base URL {text!r} is not one: write it as https://HOST")
    return text


def on_this_machine(text: str) -> bool:
    """Whether a URL is of this machine, by its host as written and not as a name server says."""
    host = httpx2.URL(text).host
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
