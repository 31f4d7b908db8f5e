"""The one place that turns the errors of the anthropic SDK, and of its HTTP client, into ours.

Owns the verdict on each class, error code and error type: make the request again, or end the run
with one line that says what to do. Refuses to know how often and how long (`retrying`). Text that
came from the service is bounded and stripped of control characters before a person sees it.
"""

import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

import anthropic
import httpx2

from agent.errors import ModelAuth, ModelBilling, ModelError, ModelRefusedRequest, ModelUnavailable
from agent.models.retrying import TransientError, asked_wait_s

_LONGEST_TEXT: Final = 300


class ReplyTooLongError(Exception):
    """More bytes than any reply has."""


class NotTheApiError(Exception):
    """An answer that is no event stream; the message says what it was."""


class Verdict(Enum):
    RETRY = auto()
    REFUSED = auto()
    AUTH = auto()
    BILLING = auto()
    UNAVAILABLE = auto()
    """The service can't be used, and trying again won't help."""


BY_CLASS: Final[Mapping[type[BaseException], Verdict]] = {
    anthropic.AnthropicError: Verdict.UNAVAILABLE,
    anthropic.APIError: Verdict.UNAVAILABLE,
    anthropic.APIResponseValidationError: Verdict.RETRY,
    anthropic.APIWebhookValidationError: Verdict.UNAVAILABLE,
    anthropic.APIStatusError: Verdict.REFUSED,
    anthropic.APIConnectionError: Verdict.RETRY,
    anthropic.APITimeoutError: Verdict.RETRY,
    anthropic.RetryableError: Verdict.RETRY,
    anthropic.CredentialsError: Verdict.AUTH,
    anthropic.IdentityTokenFileError: Verdict.AUTH,
    anthropic.WorkloadIdentityError: Verdict.AUTH,
    anthropic.BadRequestError: Verdict.REFUSED,
    anthropic.AuthenticationError: Verdict.AUTH,
    anthropic.PaymentRequiredError: Verdict.BILLING,
    anthropic.PermissionDeniedError: Verdict.AUTH,
    anthropic.NotFoundError: Verdict.REFUSED,
    anthropic.RequestTimeoutError: Verdict.RETRY,
    # 409: a lock on the service's side ran out; the SDK's own policy retries it too.
    anthropic.ConflictError: Verdict.RETRY,
    anthropic.PreconditionFailedError: Verdict.REFUSED,
    anthropic.ContentTooLargeError: Verdict.REFUSED,
    anthropic.UnprocessableEntityError: Verdict.REFUSED,
    anthropic.RateLimitError: Verdict.RETRY,
    anthropic.RequestHeaderFieldsTooLargeError: Verdict.REFUSED,
    # 499 comes from a proxy that saw us go; we did not.
    anthropic.ClientClosedRequestError: Verdict.RETRY,
    anthropic.InternalServerError: Verdict.RETRY,
    anthropic.HTTPNotImplementedError: Verdict.REFUSED,
    anthropic.ServiceUnavailableError: Verdict.RETRY,
    anthropic.GatewayTimeoutError: Verdict.RETRY,
    anthropic.OverloadedError: Verdict.RETRY,
    # Of the HTTP client: they pass through the SDK as they are while a stream is read.
    httpx2.HTTPError: Verdict.RETRY,
    httpx2.UnsupportedProtocol: Verdict.REFUSED,
    httpx2.TooManyRedirects: Verdict.REFUSED,
    httpx2.LocalProtocolError: Verdict.REFUSED,
    httpx2.InvalidURL: Verdict.REFUSED,
    httpx2.CookieConflict: Verdict.REFUSED,
    httpx2.StreamError: Verdict.RETRY,
}
"""By class; a class that is not here has the verdict of its nearest parent."""

BY_CODE: Final[Mapping[str, Verdict]] = {
    # 429s that no wait mends: money, not speed.
    "contract_spend_limit_reached": Verdict.BILLING,
    "enforced_spend_limit_reached": Verdict.BILLING,
    "linked_organization_billing_unavailable": Verdict.BILLING,
    "linked_organization_spend_limit_reached": Verdict.BILLING,
    "organization_on_hold": Verdict.AUTH,
    # A 400 by status, but nothing was done: the body did not arrive in time.
    "request_body_timeout": Verdict.RETRY,
}
"""By ``error.details.error_code``, which the SDK calls the stable name of the cause."""

BY_TYPE: Final[Mapping[str, Verdict]] = {
    "invalid_request_error": Verdict.REFUSED,
    "request_too_large": Verdict.REFUSED,
    "authentication_error": Verdict.AUTH,
    "billing_error": Verdict.BILLING,
    "permission_error": Verdict.AUTH,
    "not_found_error": Verdict.REFUSED,
    "rate_limit_error": Verdict.RETRY,
    "timeout_error": Verdict.RETRY,
    "api_error": Verdict.RETRY,
    "overloaded_error": Verdict.RETRY,
    "memory_precondition_failed_error": Verdict.REFUSED,
    "memory_path_conflict_error": Verdict.REFUSED,
    "conflict_error": Verdict.RETRY,
}
"""By ``error.type``, for errors that come as an event after status 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the messages name."""

    model: str
    base_url: str


@contextmanager
def translated(service: Service, *, reading: bool) -> Generator[None]:
    """Raise ours for the SDK's. ``reading``: the answer has begun, so that what can't be decoded is
    a broken stream and not a request that could not be written."""
    try:
        yield
    except (anthropic.AnthropicError, httpx2.HTTPError, httpx2.InvalidURL) as error:
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
        raise ModelRefusedRequest(f"the request can't be sent: {_line(str(error))}") from error


def translate(error: BaseException, service: Service) -> ModelError | TransientError:
    """Ours for one of the SDK's: to be raised by the caller."""
    match verdict(error):
        case Verdict.RETRY:
            return TransientError(_what(error, service), asked_wait_s=_asked(error))
        case Verdict.REFUSED:
            return ModelRefusedRequest(_refused(error, service))
        case Verdict.AUTH:
            return ModelAuth(_auth(error, service))
        case Verdict.BILLING:
            return ModelBilling(
                f"{_what(error, service)}: check the account's balance and spend limits"
            )
        case Verdict.UNAVAILABLE:
            return ModelUnavailable(_what(error, service))


def verdict(error: BaseException) -> Verdict:
    """By code, then by what the service itself says, then by class."""
    by_class = _by_class(error)
    match error:
        case anthropic.APIStatusError():
            return _of_status(error, by_class)
        case anthropic.APIConnectionError() | httpx2.HTTPError():
            return _of_connection(error, by_class)
        case _:
            return by_class


def _by_class(error: BaseException) -> Verdict:
    known = (BY_CLASS[kind] for kind in type(error).__mro__ if kind in BY_CLASS)
    return next(known, Verdict.UNAVAILABLE)


def _of_status(error: anthropic.APIStatusError, by_class: Verdict) -> Verdict:
    if error.error_code in BY_CODE:
        return BY_CODE[str(error.error_code)]
    if error.type == "billing_error":
        return Verdict.BILLING
    if error.response.is_success:
        return BY_TYPE.get(str(error.type), Verdict.RETRY)
    match by_class, error.response.headers.get("x-should-retry"):
        case Verdict.RETRY, "false":
            return Verdict.UNAVAILABLE
        case Verdict.REFUSED, "true":
            return Verdict.RETRY
        case _:
            return by_class


def _of_connection(error: BaseException, by_class: Verdict) -> Verdict:
    """The SDK wraps all that goes wrong before the answer; the cause may be beyond mending."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Verdict.UNAVAILABLE
        if _by_class(cause) is Verdict.REFUSED:
            return Verdict.REFUSED
    return by_class


def _causes(error: BaseException) -> list[BaseException]:
    """What led to it, the first of all last."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        if cause in found:
            break
        found.append(cause)
    return found[1:]


def _what(error: BaseException, service: Service) -> str:
    match error:
        case anthropic.APIStatusError():
            said = _line(error.api_message or "") or _phrase(error)
            status = "" if error.response.is_success else f"{error.status_code} "
            named = f" (request {_line(error.request_id)})" if error.request_id else ""
            return f"{status}{error.type or 'error'}: {said}{named}"
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return f"{service.base_url} did not answer in time"
        case anthropic.APIConnectionError() | httpx2.HTTPError():
            if any(isinstance(cause, httpx2.LocalProtocolError) for cause in _causes(error)):
                # Its text holds the header, and the key with it.
                return "a header of the request can't be sent"
            root = (_causes(error) or [error])[-1]
            return f"the connection to {service.base_url} failed ({_line(str(root) or repr(root))})"
        case _:
            return _line(str(error)) or type(error).__name__


def _refused(error: BaseException, service: Service) -> str:
    what = _what(error, service)
    if isinstance(error, anthropic.NotFoundError):
        return f"{what}: is {service.model!r} a model of {service.base_url}?"
    if isinstance(error, anthropic.ContentTooLargeError):
        return f"{what}: the conversation has grown too large; give the task in smaller parts"
    if isinstance(error, anthropic.APIStatusError):
        return what
    return f"{what}: check the base URL and the key"


def _auth(error: BaseException, service: Service) -> str:
    what = _what(error, service)
    if isinstance(error, anthropic.PermissionDeniedError):
        return f"{what}: the key may not use {service.model!r}; use another key or model"
    return f"{what}: check ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN)"


def _asked(error: BaseException) -> float | None:
    return (
        asked_wait_s(error.response.headers)
        if isinstance(error, anthropic.APIStatusError)
        else None
    )


def _phrase(error: anthropic.APIStatusError) -> str:
    """For an answer that is not the API's own, such as a proxy's page: not its text."""
    try:
        return HTTPStatus(error.status_code).phrase
    except ValueError:
        return "no reason given"


def _line(text: str) -> str:
    """One bounded line that can't steer a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"
