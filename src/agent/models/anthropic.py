"""Claude through the anthropic SDK: the only module that imports it (beside its error map).

Owns the client and its timeouts, and how one reply is got: streamed, each attempt whole or not at
all. Refuses to know the conversation's rules (`anthropic_request`), how events become a reply
(`anthropic_stream`), what an error means (`anthropic_errors`) and how long to wait (`retrying`).

Reads no environment: credentials and base URL come through `AnthropicModel.open`. The SDK itself
reads ``ANTHROPIC_CUSTOM_HEADERS`` and the proxy and certificate variables of its HTTP client; those
are the operator's. Its OpenTelemetry spans are off.
"""

import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from typing import Any, Final, cast

import anthropic
import httpx2
from anthropic.types import RawMessageStreamEvent

from agent.errors import ModelAuth, UsageError
from agent.messages import Discarded, Reply, Request, StreamEvent
from agent.models import anthropic_request
from agent.models.anthropic_errors import NotTheApiError, ReplyTooLongError, Service, translated
from agent.models.anthropic_stream import ReplyStream
from agent.models.retrying import Retrier, RetryLimits, TransientError

PUBLIC_URL: Final = "https://api.anthropic.com"
"""The SDK's own default; given explicitly, so that the SDK does not look into the environment."""

CONNECT_TIMEOUT_S: Final = 10.0

READ_TIMEOUT_S: Final = 180.0
"""Longest silence, not even a ping: the stream hangs. The API pings while the model thinks."""

REPLY_TIMEOUT_S: Final = 1200.0
"""Longest one whole reply may take, pings or not: 32,000 tokens at 27 a second."""

LARGEST_REPLY_BYTES: Final = 64 * 1024 * 1024
"""On the wire. The longest reply is 128,000 tokens, some 30 MB of events."""

_NEVER_PROXIED: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class AnthropicModel:
    """One model of one service. Not for use by several threads at once."""

    def __init__(
        self,
        client: anthropic.Anthropic,
        *,
        model: str,
        limits: RetryLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``client`` becomes this object's own: closed with it. Its own retries must be off."""
        self._client = client
        self._model = model
        self._service = Service(model=model, base_url=str(client.base_url).rstrip("/"))
        self._retrier = Retrier(limits or RetryLimits(), sleep=sleep)
        self._finalizer = weakref.finalize(self, client.close)

    @classmethod
    def open(
        cls,
        model: str,
        *,
        api_key: str | None = None,
        auth_token: str | None = None,
        base_url: str | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
        limits: RetryLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "AnthropicModel":
        """Connect to nothing yet. With both credentials the key is used, as the SDK would.

        Raises:
            ModelAuth: there is no credential, or it can't be one.
            UsageError: the base URL is none.
        """
        key = _credential("ANTHROPIC_API_KEY", api_key)
        token = None if key else _credential("ANTHROPIC_AUTH_TOKEN", auth_token)
        if key is None and token is None:
            raise ModelAuth(
                "no API key: set ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN), "
                "or use a recorded model with -m script:FILE"
            )
        client = anthropic.Anthropic(
            api_key=key,
            auth_token=token,
            base_url=_url(base_url or PUBLIC_URL),
            max_retries=0,
            timeout=httpx2.Timeout(read_timeout_s, connect=CONNECT_TIMEOUT_S),
            open_telemetry=False,
            http_client=_http_client(reply_timeout_s),
        )
        return cls(client, model=model, limits=limits, sleep=sleep)

    @property
    def name(self) -> str:
        return f"{anthropic_request.PROVIDER}:{self._model}"

    def close(self) -> None:
        """Close the connections; also done when the object or the process ends."""
        self._finalizer()

    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        """One whole reply; a broken attempt is void and made again.

        Raises:
            ModelError: one of its children, by what went wrong; see `agent.errors`.
        """
        body = anthropic_request.body(request, model=self._model)
        return self._retrier.run(lambda number: self._attempt(body, number, on_event), on_event)

    def _attempt(
        self, body: Mapping[str, Any], number: int, on_event: Callable[[StreamEvent], None]
    ) -> Reply:
        stream = ReplyStream()
        answer = _Answer(self._client, self._service, body)
        try:
            with closing(answer.events()) as events:
                for event in events:
                    shown = stream.feed(event)
                    if shown is not None:
                        on_event(shown)
        except TransientError:
            # Broken after its last event: nothing is missing.
            if not stream.finished:
                _discard(stream, on_event)
                raise
        try:
            return stream.reply(attempts=number, request_id=answer.request_id)
        except TransientError:
            _discard(stream, on_event)
            raise


class _Answer:
    """One HTTP exchange. What its reader raises never passes through the translation."""

    def __init__(
        self, client: anthropic.Anthropic, service: Service, body: Mapping[str, Any]
    ) -> None:
        self._client = client
        self._service = service
        self._body = body
        self.request_id = ""

    def events(self) -> Generator[Mapping[str, Any]]:
        with translated(self._service, reading=False):
            # Any: the body is plain values; the tests' stand-in checks it against the SDK's types.
            stream = cast(
                "anthropic.Stream[RawMessageStreamEvent]",
                self._client.messages.create(**cast("Any", self._body), stream=True),
            )
        with stream:
            self.request_id = stream.response.headers.get("request-id", "")
            with translated(self._service, reading=True):
                _check_kind(stream.response)
            iterator = iter(stream)
            while True:
                with translated(self._service, reading=True):
                    event: Any = next(iterator, None)
                    # Without warnings: an event of a newer API does not fit the SDK's types.
                    plain = event if event is None else _plain(event)
                if plain is None:
                    return
                yield plain


class _Paced(httpx2.SyncByteStream):
    """A response's bytes, given up when the whole takes too long or grows too large.

    The client's own timeout is for silence only; a stream of nothing but pings passes it.
    """

    def __init__(self, inner: httpx2.SyncByteStream, *, timeout_s: float) -> None:
        self._inner = inner
        self._deadline_s = time.monotonic() + timeout_s

    def __iter__(self) -> Iterator[bytes]:
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


def _http_client(reply_timeout_s: float) -> httpx2.Client:
    def pace(response: httpx2.Response) -> None:
        response.stream = _Paced(
            cast("httpx2.SyncByteStream", response.stream), timeout_s=reply_timeout_s
        )

    return anthropic.DefaultHttpxClient(
        event_hooks={"response": [pace]},
        # A service on this machine is never behind a proxy, whatever the environment says.
        mounts=dict.fromkeys(_NEVER_PROXIED),
    )


def _plain(event: Any) -> Mapping[str, Any]:
    # What fits none of the SDK's types comes as it was sent: a list, a text, a number.
    dump = getattr(event, "to_dict", None)
    plain = event if dump is None else dump(mode="json", warnings=False)
    if not isinstance(plain, Mapping):
        raise TypeError("an event that is no object")
    return plain


def _check_kind(response: httpx2.Response) -> None:
    kind = response.headers.get("content-type", "")
    # "vnd.amazon.eventstream" is how the same events come from Bedrock.
    if "event-stream" not in kind and "eventstream" not in kind:
        raise NotTheApiError(f"answered with {kind[:60] or 'no content type'!r}, not with events")


def _discard(stream: ReplyStream, on_event: Callable[[StreamEvent], None]) -> None:
    if stream.started:
        on_event(Discarded(usage=stream.usage))


def _credential(name: str, value: str | None) -> str | None:
    if not value:
        return None
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ModelAuth(f"{name} holds a space, line break or other character that no key has")
    return value


def _url(text: str) -> str:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise UsageError(f"the base URL {text!r} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise UsageError(f"the base URL {text!r} is not one: write it as https://HOST")
    return text
