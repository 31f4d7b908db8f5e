"""Claude through the anthropic SDK: the only module that imports it, beside its `errors`.

Owns the client, and how a request is sent with it. Refuses to know the conversation's rules
(`agent.models.anthropic.request`), how events become a reply (`agent.models.anthropic.stream`),
what an error means (`agent.models.anthropic.errors`), when a request is made again
(`agent.models.service`) and what an answer may do to us (`agent.models.transport`).

Reads no environment: credentials and base URL come through `AnthropicModel.open`. The SDK itself
reads ``ANTHROPIC_CUSTOM_HEADERS`` and the proxy and certificate variables of its HTTP client; those
are the operator's. So are the places where the libraries of AWS and Google look for credentials,
once the operator chose one of the two. The SDK's OpenTelemetry spans are off, whatever the
environment says, until `AnthropicModel.trace_with`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast

import anthropic
from anthropic.types import RawMessageStreamEvent

from agent.errors import ModelAuth, UsageError
from agent.models.anthropic import listing
from agent.models.anthropic import request as anthropic_request
from agent.models.anthropic.cloud_errors import AWS, GOOGLE, Cloud, need, translated_for
from agent.models.anthropic.errors import ERRORS, ID_HEADERS
from agent.models.anthropic.stream import AnthropicReplyStream
from agent.models.http_errors import ServiceWords
from agent.models.interface import Reply, Request, StreamEvent
from agent.models.listing import OfferedModel
from agent.models.service import USUAL_TIMING, RequestTiming, ServiceModel
from agent.models.transport import credential, guarded, timeouts, url

PUBLIC_URL: Final = "https://api.anthropic.com"
"""The SDK's own default; given explicitly, so that the SDK does not look into the environment."""

Client = anthropic.Anthropic | anthropic.AnthropicBedrock | anthropic.AnthropicVertex


class AnthropicModel(ServiceModel):
    """Of Anthropic's own API, of a gateway that speaks the same, or of a cloud."""

    def __init__(
        self,
        client: Client,
        *,
        model: str,
        credential: str,
        key: str = "",
        cloud: Cloud | None = None,
        timing: RequestTiming,
    ) -> None:
        """``client`` becomes this object's own: closed with it. Its own retries must be off."""
        self._client = client
        self._model = model
        self._cloud = cloud
        words = ServiceWords(
            model=model,
            base_url=str(client.base_url).rstrip("/"),
            credential=credential,
            key=key,
        )
        super().__init__(
            f"{anthropic_request.PROVIDER}:{model}",
            words,
            ERRORS,
            close=client.close,
            timing=timing,
            beneath=partial(translated_for, cloud),
        )

    @classmethod
    def open(
        cls,
        model: str,
        *,
        api_key: str | None = None,
        auth_token: str | None = None,
        base_url: str | None = None,
        credential_name: str = "",
        timing: RequestTiming = USUAL_TIMING,
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
                "or name a recorded conversation in its place (script:FILE)"
            )
        client = anthropic.Anthropic(
            api_key=key,
            auth_token=token,
            base_url=url(base_url or PUBLIC_URL),
            **_options(timing),
        )
        usual = "ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN)"
        return cls(
            client,
            model=model,
            key=key or token or "",
            credential=credential_name or usual,
            timing=timing,
        )

    @classmethod
    def open_bedrock(
        cls,
        model: str,
        *,
        region: str,
        api_key: str | None = None,
        base_url: str | None = None,
        timing: RequestTiming = USUAL_TIMING,
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
            **_options(timing),
        )
        named = AWS.credentials if api_key is None else "AWS_BEARER_TOKEN_BEDROCK"
        return cls(
            client, model=model, cloud=AWS, key=api_key or "", credential=named, timing=timing
        )

    @classmethod
    def open_vertex(
        cls,
        model: str,
        *,
        project: str,
        region: str,
        base_url: str | None = None,
        timing: RequestTiming = USUAL_TIMING,
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
            **_options(timing),
        )
        return cls(client, model=model, cloud=GOOGLE, credential=GOOGLE.credentials, timing=timing)

    def trace_with(self, tracer_provider: object) -> None:
        """Let the SDK make a span of each attempt (`agent.observe.spans`). Without contents, and
        without telling the service of the trace."""
        # A copy that shares the connections.
        self._client = self._client.with_options(
            open_telemetry={
                "tracer_provider": cast("Any", tracer_provider),
                "propagation": False,
                "traces": {"enabled": True, "content_mode": "metadata_only"},
            }
        )

    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        body = anthropic_request.body(request, model=self._model)
        needed = anthropic_request.betas(request)
        if needed:
            body["betas"] = list(needed)
        return self._retried(
            lambda number: self._stream(
                partial(self._send, body),
                AnthropicReplyStream(),
                request,
                on_event,
                attempts=number,
                id_headers=ID_HEADERS,
                # The same events come so from Bedrock.
                types=("vnd.amazon.eventstream",),
            ),
            on_event,
        )

    def offered(
        self, on_event: Callable[[StreamEvent], None] = lambda _: None
    ) -> tuple[OfferedModel, ...]:
        client = self._client
        if not isinstance(client, anthropic.Anthropic):
            where = "" if self._cloud is None else f" on {self._cloud.name}"
            raise UsageError(
                f"Claude{where} has no list of models here: the names stand in the cloud's console"
            )

        def page(after: str | None) -> bytes:
            raw = client.models.with_raw_response.list(
                limit=listing.PAGE, after_id=anthropic.omit if after is None else after
            )
            return raw.http_response.content

        def read() -> tuple[OfferedModel, ...]:
            return listing.offered(lambda after: self._document(partial(page, after)))

        return self._listed(read, on_event)

    def _send(self, body: Mapping[str, Any]) -> anthropic.Stream[RawMessageStreamEvent]:
        client = self._client
        # Any: the body is plain values; the tests' stand-in checks it against the SDK's types.
        # Only the beta part of the SDK sends the header of what is not stable yet.
        create: Any = client.beta.messages if "betas" in body else client.messages
        return cast("anthropic.Stream[RawMessageStreamEvent]", create.create(**body, stream=True))


def _options(timing: RequestTiming) -> dict[str, Any]:
    """What every client of the SDK is made with."""
    return {
        "max_retries": 0,
        "timeout": timeouts(timing.read_timeout_s),
        "open_telemetry": False,
        "http_client": guarded(
            anthropic.DefaultHttpxClient, reply_timeout_s=timing.reply_timeout_s
        ),
    }
