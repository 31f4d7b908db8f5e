"""One way from what an SDK raises to our own errors, whichever SDK it is.

Owns which of our errors each kind of failure becomes, and the line that says what to do. Refuses
to know the classes of any SDK: the module ``errors`` of each provider says of what kind an error is
and what the service answered. Text that came from the service is bounded and stripped of control
characters before a person sees it.
"""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx2

from agent.errors import (
    ModelAuth,
    ModelBilling,
    ModelError,
    ModelRefusedRequest,
    ModelTooLong,
    ModelUnavailable,
)
from agent.models.http_errors import (
    HTTP_CLIENT,
    FailureKind,
    ServiceWords,
    connection_failure,
    elsewhere,
    line,
)
from agent.models.retrying import TransientError, asked_wait_s
from agent.models.transport import NotTheApiError, ReplyTooLongError, decoded
from policies.frozen import dataclass

_LONGEST_NAME = 60
_OVERLOAD: Final = (429, 503, 529)
_OVERLOAD_NAME: Final = re.compile(r"overload|rate.?limit|too.?many.?(?:req|tok)|throttl|capacity")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """What a service answered in place of a reply: hostile text until `ServiceWords.shown`."""

    name: str
    """The service's own name for the error, a code or a type; empty: it gave none."""
    said: str
    """The service's own words; empty: it gave none."""
    response: httpx2.Response | None
    """None: the error came within a stream that had begun with status 200."""
    request_id: str = ""

    @property
    def status(self) -> int | None:
        return None if self.response is None else self.response.status_code


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMap:
    """How the errors of one SDK are read."""

    sdk: type[Exception]
    """The root of the SDK's errors."""
    connection: type[Exception]
    """The SDK's error for a connection that failed."""
    kind: Callable[[BaseException], FailureKind]
    answer: Callable[[BaseException], ErrorAnswer | None]
    """What the service answered; None: the error is of another source."""
    of_body: Callable[[Any, httpx2.Response], Exception]
    """The SDK's error for an error that a service sent as JSON with status 200."""

    @contextmanager
    def translated(self, service: ServiceWords, *, reading: bool) -> Generator[None]:
        """Raise ours for whatever the SDK and its HTTP client raise.

        Args:
            reading: the answer has begun, so that what can't be decoded is a broken stream and not
                a request that could not be written.
        """
        try:
            yield
        except (self.sdk, *HTTP_CLIENT) as error:
            raise self.translate(error, service) from error
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
            # The JSON decoder raises it on the way out and on the way in.
            if reading:
                raise TransientError("the stream broke (an event is nested too deeply)") from error
            raise ModelRefusedRequest("the request or its answer is nested too deeply") from error

    def refuse_error(self, response: httpx2.Response) -> None:
        """Raise the SDK's error where an answer with status 200 is one, as gateways send it."""
        if "json" in response.headers.get("content-type", ""):
            found = _error_in(decoded(response.read()))
            if found is not None:
                raise self.of_body(found, response)

    def translate(self, error: BaseException, service: ServiceWords) -> ModelError | TransientError:
        """Ours for one of the SDK's or of its HTTP client's, for the caller to raise."""
        answer = self.answer(error)
        what = self._what(error, answer, service)
        match self.kind(error):
            case FailureKind.RETRY:
                response = None if answer is None else answer.response
                asked_s = None if response is None else asked_wait_s(response.headers)
                return TransientError(what, asked_wait_s=asked_s, overload=_is_overload(answer))
            case FailureKind.DOUBTFUL:
                lasting = ModelRefusedRequest(_refusal(what, answer, service))
                return TransientError(what, lasting=lasting)
            case FailureKind.TOO_LONG | FailureKind.REFUSED as kind:
                ours = ModelTooLong if kind is FailureKind.TOO_LONG else ModelRefusedRequest
                return ours(_refusal(what, answer, service))
            case FailureKind.AUTH:
                return ModelAuth(f"{what}: {_about_key(answer, service)}")
            case FailureKind.BILLING:
                return ModelBilling(f"{what}: check the account's balance and spend limits")
            case FailureKind.UNAVAILABLE:
                return ModelUnavailable(what)

    def _what(self, error: BaseException, answer: ErrorAnswer | None, service: ServiceWords) -> str:
        if answer is not None:
            status = "" if answer.status is None else f"{answer.status} "
            name = service.shown(answer.name)[:_LONGEST_NAME] or "error"
            # A proxy's page is not shown: the usual words for its status are.
            usual = httpx2.codes.get_reason_phrase(answer.status or 0) or "no reason given"
            said = service.shown(answer.said) or usual
            request = service.shown(answer.request_id)
            return f"{status}{name}: {said}" + (f" (request {request})" if request else "")
        if isinstance(error, self.connection | httpx2.HTTPError):
            return connection_failure(error, service)
        return service.shown(str(error)) or type(error).__name__


def _is_overload(answer: ErrorAnswer | None) -> bool:
    if answer is None:
        return False
    # Within a stream there is no status, and only the name says it.
    return answer.status in _OVERLOAD or _OVERLOAD_NAME.search(answer.name.lower()) is not None


def _error_in(body: Any) -> Any:
    if isinstance(body, list):
        body = next((each for each in body if isinstance(each, Mapping)), None)
    if not isinstance(body, Mapping):
        return None
    if body.get("error"):
        return body["error"]
    return body if body.get("object") == "error" or body.get("type") == "error" else None


def _refusal(what: str, answer: ErrorAnswer | None, service: ServiceWords) -> str:
    if answer is None:
        return f"{what}: check the base URL and the key"
    if answer.response is None:
        return what
    if answer.status == 404 and service.model:
        usual = service.usual_path
        hint = "" if service.base_url.endswith(usual) else f" (most base URLs end in {usual})"
        return f"{what}: is {service.model!r} a model of {service.base_url}?{hint}"
    if answer.status == 413:
        return f"{what}: the conversation has grown too large; give the task in smaller parts"
    redirect = elsewhere(answer.response)
    return what if redirect is None else f"{what}: {redirect}"


def _about_key(answer: ErrorAnswer | None, service: ServiceWords) -> str:
    if answer is not None and answer.status == 403:
        return f"{service.credential} may not use {service.model!r}; use another key or model"
    return f"check {service.credential} for {service.base_url}"
