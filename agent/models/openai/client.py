"""Any OpenAI-compatible service through the openai SDK: the only module that imports it, beside its
`errors`.

Owns the client, and how a request is sent with it and written anew where the service refuses a
field. Refuses to know the rules of either API (`agent.models.openai.wire_api`), what an error means
(`agent.models.openai.errors`) and teaches (`agent.models.openai.dialect`), when a request is made
again (`agent.models.service`) and what an answer may do to us (`agent.models.transport`).

Reads no environment: the key and the base URL come through `OpenAIModel.open`. The SDK itself reads
``OPENAI_CUSTOM_HEADERS`` and, for OpenAI's own service, the organisation and the project; its HTTP
client reads the proxy and certificate variables. Those are the operator's.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any, Final, cast

import openai

from agent.errors import ModelAuth, ModelRefusedRequest
from agent.models.http_errors import ServiceWords
from agent.models.interface import (
    AssistantMessage,
    Reply,
    Request,
    Retrying,
    StopReason,
    StreamEvent,
    Usage,
)
from agent.models.listing import OfferedModel
from agent.models.open_model import is_of
from agent.models.openai.dialect import Dialect
from agent.models.openai.errors import ERRORS, complaint
from agent.models.openai.listing import listed
from agent.models.openai.wire_api import WireApi
from agent.models.service import USUAL_TIMING, RequestTiming, ServiceModel
from agent.models.transport import credential, guarded, on_this_machine, timeouts, url

PUBLIC_URL: Final = "https://api.openai.com/v1"
"""The SDK's own default; given explicitly, so that the SDK does not look into the environment."""

_MOST_REWRITES: Final = 8
"""How often the request for one reply is written anew; a service could complain for ever."""


class Key(Enum):
    """In place of a key."""

    NONE = auto()
    """The operator says that the service takes none."""


class OpenAIModel(ServiceModel):
    """Of OpenAI's own service, or of any that speaks one of its APIs."""

    def __init__(
        self,
        client: openai.OpenAI,
        *,
        model: str,
        api: WireApi,
        dialect: Dialect,
        credential_name: str = "",
        timing: RequestTiming,
    ) -> None:
        """``client`` becomes this object's own: closed with it. Its own retries must be off."""
        self._client = client
        self._model = model
        self._api = api
        self._dialect = dialect
        words = ServiceWords(
            model=model,
            base_url=str(client.base_url).rstrip("/"),
            usual_path="/v1",
            key=client.api_key,
            credential=credential_name or "OPENAI_API_KEY",
        )
        name = f"{api.provider}:{model}"
        super().__init__(name, words, ERRORS, close=client.close, timing=timing)

    @classmethod
    def open(
        cls,
        model: str,
        *,
        api: WireApi,
        api_key: str | Key | None = None,
        base_url: str | None = None,
        credential_name: str = "",
        timing: RequestTiming = USUAL_TIMING,
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
                "none), or name a recorded conversation in its place (script:FILE)"
            )
        # Who the operator is at OpenAI is not for others.
        unsent = [] if public else ["OpenAI-Organization", "OpenAI-Project"]
        client = openai.OpenAI(
            api_key=key or "",
            # Empty, so that the SDK does not take one from the environment in a key's place.
            admin_api_key="",
            base_url=where,
            max_retries=0,
            timeout=timeouts(timing.read_timeout_s),
            # As the SDK's own code says it, whatever the parameter's type.
            default_headers=cast("Mapping[str, str]", dict.fromkeys(unsent, openai.Omit())),
            http_client=guarded(openai.DefaultHttpxClient, reply_timeout_s=timing.reply_timeout_s),
        )
        return cls(
            client,
            model=model,
            api=api,
            dialect=api.public if public else api.compatible,
            credential_name=credential_name,
            timing=timing,
        )

    def offered(
        self, on_event: Callable[[StreamEvent], None] = lambda _: None
    ) -> tuple[OfferedModel, ...]:
        def page() -> bytes:
            raw = self._client.models.with_raw_response
            return raw.list(extra_headers=_credentials(self._client)).content

        return self._listed(lambda: listed(self._document(page)), on_event)

    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        """As for every service; a conversation that no longer fits the model's window, which these
        services refuse, is the empty reply that stops for it."""
        tried: set[Dialect] = set()
        return self._retried(
            lambda number: self._attempt(request, number, tried, on_event), on_event
        )

    def _attempt(
        self,
        request: Request,
        number: int,
        tried: set[Dialect],
        on_event: Callable[[StreamEvent], None],
    ) -> Reply:
        """``tried``: the other ways in which this request was written, each of them once."""
        while True:
            body = self._api.body(request, self._model, self._dialect)
            try:
                return self._stream(
                    partial(self._send, body),
                    self._api.stream(body.get(self._dialect.limit)),
                    request,
                    on_event,
                    attempts=number + len(tried),
                    id_headers=("x-request-id",),
                    failure=self._api.failure,
                )
            except ModelRefusedRequest as error:
                said = complaint(error.__cause__)
                if said is None:
                    raise
                better = self._dialect.learnt(said, wanted=request.max_tokens)
                new = better not in {self._dialect, *tried} and len(tried) < _MOST_REWRITES
                if better is not None and new:
                    tried.add(self._dialect)
                    self._dialect = better
                    on_event(Retrying(reason=str(error), wait_s=0.0, attempt=number))
                elif said.of_a_full_window:
                    return _full(error, attempts=number + len(tried))
                else:
                    raise

    def _send(self, body: Mapping[str, Any]) -> openai.Stream[object]:
        # Not by the SDK's own methods, which would fit both ways into OpenAI's own types: the
        # fields of others are lost there, and half a character is an error.
        return self._client.post(
            self._api.path,
            body={**body, "stream": True},
            options={"headers": _credentials(self._client)},
            cast_to=object,
            stream=True,
            stream_cls=openai.Stream[object],
        )


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
