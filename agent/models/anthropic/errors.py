"""The one place that turns the errors of the anthropic SDK, and of its HTTP client, into ours.

Owns the verdict on each class, error code and error type: make the request again, or end the run
with one line that says what to do. Refuses to know how often and how long (`retrying`). Text that
came from the service is bounded and stripped of control characters before a person sees it.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final

import anthropic
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
    elsewhere,
    failed,
    nearest,
    of_connection,
    phrase,
    settled,
    timed_out,
)
from agent.models.retrying import TransientError, asked_wait_s

_TOO_LONG: Final = (
    *("prompt is too long", "exceed context limit", "exceeds the context window"),
    "input is too long",
)
"""How the API says that a conversation does not fit (its page on context windows, and what its
users report), and how Bedrock does. Where none of them stands in a 400, the run ends as with any
other."""

BY_CLASS: Final[Mapping[type[BaseException], FailureKind]] = {
    anthropic.AnthropicError: FailureKind.UNAVAILABLE,
    anthropic.APIError: FailureKind.UNAVAILABLE,
    anthropic.APIResponseValidationError: FailureKind.RETRY,
    anthropic.APIWebhookValidationError: FailureKind.UNAVAILABLE,
    anthropic.APIStatusError: FailureKind.REFUSED,
    anthropic.APIConnectionError: FailureKind.RETRY,
    anthropic.APITimeoutError: FailureKind.RETRY,
    anthropic.RetryableError: FailureKind.RETRY,
    anthropic.CredentialsError: FailureKind.AUTH,
    anthropic.IdentityTokenFileError: FailureKind.AUTH,
    anthropic.WorkloadIdentityError: FailureKind.AUTH,
    anthropic.BadRequestError: FailureKind.REFUSED,
    anthropic.AuthenticationError: FailureKind.AUTH,
    anthropic.PaymentRequiredError: FailureKind.BILLING,
    anthropic.PermissionDeniedError: FailureKind.AUTH,
    anthropic.NotFoundError: FailureKind.REFUSED,
    anthropic.RequestTimeoutError: FailureKind.RETRY,
    # 409: a lock on the service's side ran out; the SDK's own policy retries it too.
    anthropic.ConflictError: FailureKind.RETRY,
    anthropic.PreconditionFailedError: FailureKind.REFUSED,
    anthropic.ContentTooLargeError: FailureKind.REFUSED,
    anthropic.UnprocessableEntityError: FailureKind.REFUSED,
    anthropic.RateLimitError: FailureKind.RETRY,
    anthropic.RequestHeaderFieldsTooLargeError: FailureKind.REFUSED,
    # 499 comes from a proxy that saw us go; we did not.
    anthropic.ClientClosedRequestError: FailureKind.RETRY,
    anthropic.InternalServerError: FailureKind.RETRY,
    anthropic.HTTPNotImplementedError: FailureKind.REFUSED,
    anthropic.ServiceUnavailableError: FailureKind.RETRY,
    anthropic.GatewayTimeoutError: FailureKind.RETRY,
    anthropic.OverloadedError: FailureKind.RETRY,
    **HTTP_CLIENT,
}
"""By class; a class that is not here has the verdict of its nearest parent."""

BY_CODE: Final[Mapping[str, FailureKind]] = {
    # 429s that no wait mends: money, not speed.
    "contract_spend_limit_reached": FailureKind.BILLING,
    "enforced_spend_limit_reached": FailureKind.BILLING,
    "linked_organization_billing_unavailable": FailureKind.BILLING,
    "linked_organization_spend_limit_reached": FailureKind.BILLING,
    "organization_on_hold": FailureKind.AUTH,
    # A 400 by status, but nothing was done: the body did not arrive in time.
    "request_body_timeout": FailureKind.RETRY,
}
"""By ``error.details.error_code``, which the SDK calls the stable name of the cause."""

BY_TYPE: Final[Mapping[str, FailureKind]] = {
    "invalid_request_error": FailureKind.REFUSED,
    "request_too_large": FailureKind.REFUSED,
    "authentication_error": FailureKind.AUTH,
    "billing_error": FailureKind.BILLING,
    "permission_error": FailureKind.AUTH,
    "not_found_error": FailureKind.REFUSED,
    "rate_limit_error": FailureKind.RETRY,
    "timeout_error": FailureKind.RETRY,
    "api_error": FailureKind.RETRY,
    "overloaded_error": FailureKind.RETRY,
    "memory_precondition_failed_error": FailureKind.REFUSED,
    "memory_path_conflict_error": FailureKind.REFUSED,
    "conflict_error": FailureKind.RETRY,
    # Of Bedrock, in the middle of a stream; all its others are worth another attempt.
    "validationException": FailureKind.REFUSED,
    "accessDeniedException": FailureKind.AUTH,
}
"""By ``error.type``, for errors that come as an event after status 200."""


def translated(service: ServiceWords, *, reading: bool) -> AbstractContextManager[None]:
    """Raise ours for the SDK's; see `settled`."""
    return settled(service, reading=reading, sdk=anthropic.AnthropicError, translate=translate)


def translate(error: BaseException, service: ServiceWords) -> ModelError | TransientError:
    """Ours for one of the SDK's: to be raised by the caller."""
    match verdict(error):
        case FailureKind.RETRY:
            return TransientError(_what(error, service), asked_wait_s=_asked(error))
        case FailureKind.REFUSED if _is_too_long(error):
            return ModelTooLong(_refused(error, service))
        case FailureKind.REFUSED:
            return ModelRefusedRequest(_refused(error, service))
        case FailureKind.AUTH:
            return ModelAuth(_auth(error, service))
        case FailureKind.BILLING:
            return ModelBilling(
                f"{_what(error, service)}: check the account's balance and spend limits"
            )
        case FailureKind.UNAVAILABLE:
            return ModelUnavailable(_what(error, service))


def verdict(error: BaseException) -> FailureKind:
    """By code, then by what the service itself says, then by class."""
    by_class = nearest(error, BY_CLASS)
    match error:
        case anthropic.APIStatusError():
            return _of_status(error, by_class)
        case anthropic.APIConnectionError() | httpx2.HTTPError():
            return of_connection(error, BY_CLASS)
        case _:
            return by_class


def _of_status(error: anthropic.APIStatusError, by_class: FailureKind) -> FailureKind:
    if error.error_code in BY_CODE:
        return BY_CODE[str(error.error_code)]
    if error.type == "billing_error":
        return FailureKind.BILLING
    if error.response.is_success:
        return BY_TYPE.get(str(error.type), FailureKind.RETRY)
    match by_class, error.response.headers.get("x-should-retry"):
        case FailureKind.RETRY, "false":
            return FailureKind.UNAVAILABLE
        case FailureKind.REFUSED, "true":
            return FailureKind.RETRY
        case _:
            return by_class


def _what(error: BaseException, service: ServiceWords) -> str:
    match error:
        case anthropic.APIStatusError():
            said = service.shown(_said(error)) or phrase(error.status_code)
            status = "" if error.response.is_success else f"{error.status_code} "
            named = f" (request {service.shown(error.request_id)})" if error.request_id else ""
            return f"{status}{service.shown(str(error.type or 'error'))}: {said}{named}"
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return timed_out(service)
        case anthropic.APIConnectionError() | httpx2.HTTPError():
            return failed(error, service)
        case _:
            return service.shown(str(error)) or type(error).__name__


def _refused(error: BaseException, service: ServiceWords) -> str:
    what = _what(error, service)
    if isinstance(error, anthropic.NotFoundError) and service.model:
        return f"{what}: is {service.model!r} a model of {service.base_url}?"
    if isinstance(error, anthropic.ContentTooLargeError):
        return f"{what}: the conversation has grown too large; give the task in smaller parts"
    if isinstance(error, anthropic.APIStatusError):
        hint = elsewhere(error.response)
        return what if hint is None else f"{what}: {hint}"
    return f"{what}: check the base URL and the key"


def _said(error: anthropic.APIStatusError) -> str:
    """Bedrock's errors are an object with a message and no more."""
    if error.api_message:
        return str(error.api_message)
    body = error.body
    return str(body.get("message", "")) if isinstance(body, dict) else ""


def _is_too_long(error: BaseException) -> bool:
    """The API has no code of its own for it: 413 by bytes, and a 400 that only its words tell."""
    if isinstance(error, anthropic.ContentTooLargeError):
        return True
    if not isinstance(error, anthropic.BadRequestError):
        return False
    said = _said(error).lower()
    return any(words in said for words in _TOO_LONG)


def _auth(error: BaseException, service: ServiceWords) -> str:
    what = _what(error, service)
    if isinstance(error, anthropic.PermissionDeniedError):
        who = service.credential or "the key"
        return f"{what}: {who} may not use {service.model!r}; use another key or model"
    return f"{what}: check {service.credential or 'ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN)'}"


def _asked(error: BaseException) -> float | None:
    return (
        asked_wait_s(error.response.headers)
        if isinstance(error, anthropic.APIStatusError)
        else None
    )
