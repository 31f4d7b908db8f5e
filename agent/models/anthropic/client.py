"""Claude through the anthropic SDK: the only module that imports it (beside its error map).

Owns the client, and how one reply is got: streamed, each attempt whole or not at all. Refuses to
know the conversation's rules (`anthropic_request`), how events become a reply (`anthropic_stream`),
what an error means (`anthropic_errors`), how long to wait (`retrying`) and what an answer may do to
us (`transport`).

Reads no environment: credentials and base URL come through `AnthropicModel.open`. The SDK itself
reads ``ANTHROPIC_CUSTOM_HEADERS`` and the proxy and certificate variables of its HTTP client; those
are the operator's. So are the places where the libraries of AWS and Google look for credentials,
once the operator chose one of the two. The SDK's OpenTelemetry spans are off, whatever the
environment says, until `AnthropicModel.trace_with`.
"""

import time
import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any, Final, cast

import anthropic
from anthropic.types import RawMessageStreamEvent

from agent.errors import ModelAuth, UsageError
from agent.models.anthropic import listing as anthropic_listing
from agent.models.anthropic import request as anthropic_request
from agent.models.anthropic.cloud_errors import AWS, GOOGLE, Cloud, need, settled_with
from agent.models.anthropic.errors import translated
from agent.models.anthropic.stream import AnthropicReplyStream
from agent.models.http_errors import ServiceWords
from agent.models.interface import Discarded, Reply, Request, StreamEvent
from agent.models.listing import OfferedModel
from agent.models.retrying import Retrier, RetryLimits, TransientError
from agent.models.transport import (
    READ_TIMEOUT_S,
    REPLY_TIMEOUT_S,
    check_events,
    credential,
    decoded,
    guarded,
    timeouts,
    url,
)

PUBLIC_URL: Final = "https://api.anthropic.com"
"""The SDK's own default; given explicitly, so that the SDK does not look into the environment."""

Client = anthropic.Anthropic | anthropic.AnthropicBedrock | anthropic.AnthropicVertex


class AnthropicModel:
    """One model of one service. Not for use by several threads at once."""

    def __init__(
        self,
        client: Client,
        *,
        model: str,
        cloud: Cloud | None = None,
        key: str = "",
        credential: str = "",
        limits: RetryLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``client`` becomes this object's own: closed with it. Its own retries must be off."""
        self._client = client
        self._model = model
        self._cloud = cloud
        self._service = ServiceWords(
            model=model,
            base_url=str(client.base_url).rstrip("/"),
            credential=credential,
            key=key,
        )
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
        credential_name: str = "",
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
        key = credential("ANTHROPIC_API_KEY", api_key)
        token = None if key else credential("ANTHROPIC_AUTH_TOKEN", auth_token)
        if key is None and token is None:
            raise ModelAuth(
                "no API key: set ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN), "
                "or use a recorded model with -m script:FILE"
            )
        client = anthropic.Anthropic(
            api_key=key,
            auth_token=token,
            base_url=url(base_url or PUBLIC_URL),
            max_retries=0,
            timeout=timeouts(read_timeout_s),
            open_telemetry=False,
            http_client=guarded(anthropic.DefaultHttpxClient, reply_timeout_s=reply_timeout_s),
        )
        return cls(
            client,
            model=model,
            key=key or token or "",
            credential=credential_name,
            limits=limits,
            sleep=sleep,
        )

    @classmethod
    def open_bedrock(
        cls,
        model: str,
        *,
        region: str,
        api_key: str | None = None,
        base_url: str | None = None,
        limits: RetryLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "AnthropicModel":
        """Claude on Amazon Bedrock; ``model`` is its id or inference profile there.

        Args:
            api_key: one of Bedrock's own; None: what the AWS SDK finds signs each request.

        Raises:
            UsageError: the AWS SDK is not installed, or the base URL is none.
        """
        need(AWS)
        client = anthropic.AnthropicBedrock(
            aws_region=region,
            api_key=credential("AWS_BEARER_TOKEN_BEDROCK", api_key),
            base_url=url(base_url or f"https://bedrock-runtime.{region}.amazonaws.com"),
            max_retries=0,
            timeout=timeouts(READ_TIMEOUT_S),
            open_telemetry=False,
            http_client=guarded(anthropic.DefaultHttpxClient, reply_timeout_s=REPLY_TIMEOUT_S),
        )
        named = AWS.credentials if api_key is None else "AWS_BEARER_TOKEN_BEDROCK"
        return cls(
            client,
            model=model,
            cloud=AWS,
            key=api_key or "",
            credential=named,
            limits=limits,
            sleep=sleep,
        )

    @classmethod
    def open_vertex(
        cls,
        model: str,
        *,
        project: str,
        region: str,
        base_url: str | None = None,
        limits: RetryLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "AnthropicModel":
        """Claude on Google's Vertex AI, with the application default credentials.

        Raises:
            UsageError: Google's library is not installed, or the base URL is none.
        """
        need(GOOGLE)
        client = anthropic.AnthropicVertex(
            region=region,
            project_id=project,
            base_url=None if base_url is None else url(base_url),
            max_retries=0,
            timeout=timeouts(READ_TIMEOUT_S),
            open_telemetry=False,
            http_client=guarded(anthropic.DefaultHttpxClient, reply_timeout_s=REPLY_TIMEOUT_S),
        )
        return cls(
            client,
            model=model,
            cloud=GOOGLE,
            credential=GOOGLE.credentials,
            limits=limits,
            sleep=sleep,
        )

    @property
    def name(self) -> str:
        return f"{anthropic_request.PROVIDER}:{self._model}"

    def trace_with(self, tracer_provider: object) -> None:
        """Let the SDK make a span of each attempt (`agent.telemetry`). Without contents, and
        without telling the service of the trace."""
        # A copy that shares the connections.
        self._client = self._client.with_options(
            open_telemetry={
                "tracer_provider": cast("Any", tracer_provider),
                "propagation": False,
                "traces": {"enabled": True, "content_mode": "metadata_only"},
            }
        )

    def close(self) -> None:
        """Close the connections; also done when the object or the process ends."""
        self._finalizer()

    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        """One whole reply; a broken attempt is void and made again.

        Raises:
            ModelError: one of its children, by what went wrong; see `agent.errors`.
        """
        body = anthropic_request.body(request, model=self._model)
        needed = anthropic_request.betas(request)
        if needed:
            body["betas"] = list(needed)
        return self._retrier.run(lambda number: self._attempt(body, number, on_event), on_event)

    def offered(self, on_event: Callable[[StreamEvent], None]) -> tuple[OfferedModel, ...]:
        """The models that the service lists; this one need not be among them.

        Raises:
            UsageError: this service has no such list.
            ModelError: as for a reply.
        """
        client = self._client
        if not isinstance(client, anthropic.Anthropic):
            where = "" if self._cloud is None else f" on {self._cloud.name}"
            raise UsageError(
                f"Claude{where} has no list of models here: the names stand in the cloud's console"
            )
        service = self._service

        def page(after: str | None) -> Any:
            with translated(service, reading=False):
                raw = client.models.with_raw_response.list(
                    limit=anthropic_listing.PAGE,
                    after_id=anthropic.omit if after is None else after,
                )
            return decoded(raw.http_response.content)

        def attempt(_number: int) -> tuple[OfferedModel, ...]:
            with translated(service, reading=True):
                return anthropic_listing.offered(page)

        return self._retrier.run(attempt, on_event)

    def _attempt(
        self, body: Mapping[str, Any], number: int, on_event: Callable[[StreamEvent], None]
    ) -> Reply:
        stream = AnthropicReplyStream()
        answer = _AnthropicExchange(self._client, self._service, self._cloud, body)
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


class _AnthropicExchange:
    """One HTTP exchange. What its reader raises never passes through the translation."""

    def __init__(
        self, client: Client, service: ServiceWords, cloud: Cloud | None, body: Mapping[str, Any]
    ) -> None:
        self._client = client
        self._service = service
        self._cloud = cloud
        self._body = body
        self.request_id = ""

    def events(self) -> Generator[Mapping[str, Any]]:
        with translated(self._service, reading=False), settled_with(self._cloud):
            client = self._client
            # Any: the body is plain values; the tests' stand-in checks it against the SDK's types.
            # Only the beta part of the SDK sends the header of what is not stable yet.
            create: Any = client.beta.messages if "betas" in self._body else client.messages
            stream = cast(
                "anthropic.Stream[RawMessageStreamEvent]",
                create.create(**self._body, stream=True),
            )
        with stream:
            self.request_id = stream.response.headers.get("request-id", "")
            with translated(self._service, reading=True):
                # How the same events come from Bedrock.
                check_events(stream.response, "vnd.amazon.eventstream")
            iterator = iter(stream)
            while True:
                with translated(self._service, reading=True), settled_with(self._cloud):
                    event: Any = next(iterator, None)
                    # Without warnings: an event of a newer API does not fit the SDK's types.
                    plain = event if event is None else _plain(event)
                if plain is None:
                    return
                yield plain


def _plain(event: Any) -> Mapping[str, Any]:
    # What fits none of the SDK's types comes as it was sent: a list, a text, a number.
    dump = getattr(event, "to_dict", None)
    plain = event if dump is None else dump(mode="json", warnings=False)
    if not isinstance(plain, Mapping):
        raise TypeError("an event that is no object")
    return plain


def _discard(stream: AnthropicReplyStream, on_event: Callable[[StreamEvent], None]) -> None:
    if stream.started:
        on_event(Discarded(usage=stream.usage))
