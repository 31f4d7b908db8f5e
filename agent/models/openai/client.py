"""Any OpenAI-compatible service through the openai SDK: the only module that imports it (beside its
error map).

Owns the client, and how one reply is got: streamed, each attempt whole or not at all, written anew
where the service refuses a field. Refuses to know the conversation's rules (`openai_request`), how
chunks become a reply (`openai_stream`), what an error means (`openai_errors`) and teaches
(`openai_dialect`), how long to wait (`retrying`) and what an answer may do to us (`transport`).

Reads no environment: the key and the base URL come through `OpenAIModel.open`. The SDK itself reads
``OPENAI_CUSTOM_HEADERS`` and, for OpenAI's own service, the organisation and the project; its HTTP
client reads the proxy and certificate variables. Those are the operator's.
"""

import secrets
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from enum import Enum, auto
from typing import Any, Final, cast

import openai

from agent.errors import ModelAuth, ModelRefusedRequest
from agent.models.http_errors import ServiceWords
from agent.models.interface import (
    AssistantMessage,
    Discarded,
    Reply,
    Request,
    Retrying,
    StopReason,
    StreamEvent,
    Usage,
)
from agent.models.listing import OfferedModel
from agent.models.openai import dialect as openai_dialect
from agent.models.openai import request as openai_request
from agent.models.openai.dialect import Complaint, Dialect
from agent.models.openai.errors import complaint, translated
from agent.models.openai.listing import listed
from agent.models.openai.stream import OpenAIReplyStream
from agent.models.retrying import Retrier, RetryLimits, TransientError
from agent.models.transport import (
    READ_TIMEOUT_S,
    REPLY_TIMEOUT_S,
    check_events,
    credential,
    decoded,
    guarded,
    is_of,
    on_this_machine,
    timeouts,
    url,
)

PUBLIC_URL: Final = "https://api.openai.com/v1"
"""The SDK's own default; given explicitly, so that the SDK does not look into the environment."""

_MOST_LESSONS: Final = 8
"""Requests that one reply may be written anew for; a service could teach for ever."""


class Key(Enum):
    """In place of a key."""

    NONE = auto()
    """The operator says that the service takes none."""


class OpenAIModel:
    """One model of one service. Not for use by several threads at once."""

    def __init__(
        self,
        client: openai.OpenAI,
        *,
        model: str,
        dialect: Dialect = openai_dialect.COMPATIBLE,
        credential_name: str = "",
        limits: RetryLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``client`` becomes this object's own: closed with it. Its own retries must be off."""
        self._client = client
        self._model = model
        self._dialect = dialect
        self._service = ServiceWords(
            model=model,
            base_url=str(client.base_url).rstrip("/"),
            key=client.api_key,
            credential=credential_name,
        )
        self._retrier = Retrier(limits or RetryLimits(), sleep=sleep)
        self._finalizer = weakref.finalize(self, client.close)

    @classmethod
    def open(
        cls,
        model: str,
        *,
        api_key: str | Key | None = None,
        base_url: str | None = None,
        credential_name: str = "",
        read_timeout_s: float = READ_TIMEOUT_S,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
        limits: RetryLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "OpenAIModel":
        """Connect to nothing yet. A service on this machine needs no key.

        Raises:
            ModelAuth: there is no key, or it can't be one.
            UsageError: the base URL is none.
        """
        where = url(base_url or PUBLIC_URL)
        public = is_of(where, "api.openai.com")
        key = None if isinstance(api_key, Key) else credential("OPENAI_API_KEY", api_key)
        if key is None and api_key is not Key.NONE and not on_this_machine(where):
            raise ModelAuth(
                f"no API key for {where}: set OPENAI_API_KEY (to any word where the service takes "
                "none), or use a recorded model with -m script:FILE"
            )
        # Who the operator is at OpenAI is not for others.
        unsent = [] if public else ["OpenAI-Organization", "OpenAI-Project"]
        client = openai.OpenAI(
            api_key=key or "",
            # Empty, so that the SDK does not take one from the environment in a key's place.
            admin_api_key="",
            base_url=where,
            max_retries=0,
            timeout=timeouts(read_timeout_s),
            # As the SDK's own code says it, whatever the parameter's type.
            default_headers=cast("Mapping[str, str]", dict.fromkeys(unsent, openai.Omit())),
            http_client=guarded(openai.DefaultHttpxClient, reply_timeout_s=reply_timeout_s),
        )
        dialect = openai_dialect.PUBLIC if public else openai_dialect.COMPATIBLE
        return cls(
            client,
            model=model,
            dialect=dialect,
            credential_name=credential_name,
            limits=limits,
            sleep=sleep,
        )

    @property
    def name(self) -> str:
        return f"{openai_request.PROVIDER}:{self._model}"

    def close(self) -> None:
        """Close the connections; also done when the object or the process ends."""
        self._finalizer()

    def offered(
        self, on_event: Callable[[StreamEvent], None] = lambda _: None
    ) -> tuple[OfferedModel, ...]:
        """What the service lists. ``on_event`` hears of retries.

        Raises:
            ModelError: one of its children, by what went wrong; see `agent.errors`.
        """
        return self._retrier.run(lambda _: self._list(), on_event)

    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        """One whole reply; a broken attempt is void and made again.

        A conversation that no longer fits the model's window, which these services refuse, is the
        empty reply that stops for it.

        Raises:
            ModelError: one of its children, by what went wrong; see `agent.errors`.
        """
        lessons = _RequestRewrites()
        return self._retrier.run(
            lambda number: self._attempt(request, number, lessons, on_event), on_event
        )

    def _list(self) -> tuple[OfferedModel, ...]:
        with translated(self._service, reading=False):
            answer = self._client.models.with_raw_response.list(
                extra_headers=_credentials(self._client)
            )
        with translated(self._service, reading=True):
            return listed(decoded(answer.content))

    def _attempt(
        self,
        request: Request,
        number: int,
        lessons: "_RequestRewrites",
        on_event: Callable[[StreamEvent], None],
    ) -> Reply:
        while True:
            try:
                return self._once(request, number + lessons.count, on_event)
            except ModelRefusedRequest as error:
                said = complaint(error.__cause__)
                if said is None:
                    raise
                better = lessons.taken(self._dialect, said, wanted=request.max_tokens)
                if better is not None:
                    self._dialect = better
                    on_event(Retrying(reason=str(error), wait_s=0.0, attempt=number))
                elif said.of_a_full_window:
                    return _full(error, attempts=number + lessons.count)
                else:
                    raise

    def _once(
        self, request: Request, number: int, on_event: Callable[[StreamEvent], None]
    ) -> Reply:
        stream = OpenAIReplyStream(token=secrets.token_hex(3))
        body = openai_request.body(request, model=self._model, dialect=self._dialect)
        answer = _OpenAIExchange(self._client, self._service, body)
        try:
            with closing(answer.chunks()) as chunks:
                for chunk in chunks:
                    for event in stream.feed(chunk):
                        on_event(event)
        except (TransientError, ModelRefusedRequest):
            # Broken after its last chunk: nothing is missing but, perhaps, the count.
            if not stream.finished:
                _discard(stream, on_event)
                raise
        try:
            return stream.reply(attempts=number, request_id=answer.request_id)
        except TransientError:
            _discard(stream, on_event)
            raise


class _RequestRewrites:
    """What one reply was written anew for."""

    def __init__(self) -> None:
        self._tried: set[Dialect] = set()

    @property
    def count(self) -> int:
        return len(self._tried)

    def taken(self, dialect: Dialect, said: Complaint, *, wanted: int) -> Dialect | None:
        """What to try next, once each."""
        better = dialect.learnt(said, wanted=wanted)
        tried = self._tried | {dialect}
        if better is None or better in tried or len(tried) > _MOST_LESSONS:
            return None
        self._tried = tried
        return better


class _OpenAIExchange:
    """One HTTP exchange. What its reader raises never passes through the translation."""

    def __init__(
        self, client: openai.OpenAI, service: ServiceWords, body: Mapping[str, Any]
    ) -> None:
        self._client = client
        self._service = service
        self._body = body
        self.request_id = ""

    def chunks(self) -> Generator[Mapping[str, Any]]:
        with translated(self._service, reading=False):
            # Not by ``chat.completions.create``, which would fit both ways into OpenAI's own types:
            # the fields of others are lost there, and half a character is an error.
            stream = self._client.post(
                "/chat/completions",
                body={**self._body, "stream": True},
                options={"headers": _credentials(self._client)},
                cast_to=object,
                stream=True,
                stream_cls=openai.Stream[object],
            )
        with stream:
            self.request_id = stream.response.headers.get("x-request-id", "")
            with translated(self._service, reading=True):
                check_events(stream.response)
            iterator = iter(stream)
            while True:
                with translated(self._service, reading=True):
                    chunk = next(iterator, None)
                    if chunk is not None and not isinstance(chunk, Mapping):
                        raise TypeError("a chunk that is no object")
                if chunk is None:
                    return
                yield chunk


def _credentials(client: openai.OpenAI) -> dict[str, str | openai.Omit]:
    """Beside what the client sends: without a key, the SDK wants to be told that none is meant."""
    return {} if client.api_key else {"Authorization": openai.Omit()}


def _full(error: ModelRefusedRequest, *, attempts: int) -> Reply:
    return Reply(
        message=AssistantMessage(blocks=()),
        stop=StopReason.CONTEXT_WINDOW,
        usage=Usage(),
        attempts=attempts,
        detail=str(error),
    )


def _discard(stream: OpenAIReplyStream, on_event: Callable[[StreamEvent], None]) -> None:
    if stream.started:
        on_event(Discarded(usage=stream.usage))
