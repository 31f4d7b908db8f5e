"""How the errors of the anthropic SDK are read: the only module beside the client that imports it.

Owns the kind of each class, error code and error type: make the request again, try a shorter one,
or end the run. Refuses to know how often and how long (`agent.models.retrying`), and what the run
is told (`agent.models.service_errors`).
"""

from collections.abc import Mapping
from typing import Any, Final

import anthropic
import httpx2

from agent.models.http_errors import (
    HTTP_CLIENT,
    FailureKind,
    by_advice,
    nearest,
    of_connection,
    of_status,
    request_id_in,
)
from agent.models.service_errors import ErrorAnswer, ErrorMap

ID_HEADERS: Final = ("request-id", "x-amzn-requestid")
"""Where the API names a request, and where Bedrock does, of which the SDK does not know."""

_TOO_LONG: Final = (
    *("prompt is too long", "exceed context limit", "exceeds the context window"),
    "input is too long",
)
"""How the API says that a conversation does not fit (its page on context windows, and what its
users report), and how Bedrock does. A 400 with none of these words ends the run as any other."""

BY_CLASS: Final[Mapping[type[BaseException], FailureKind]] = {
    anthropic.AnthropicError: FailureKind.UNAVAILABLE,
    anthropic.APIError: FailureKind.UNAVAILABLE,
    anthropic.APIResponseValidationError: FailureKind.RETRY,
    anthropic.APIWebhookValidationError: FailureKind.UNAVAILABLE,
    anthropic.APIConnectionError: FailureKind.RETRY,
    anthropic.APITimeoutError: FailureKind.RETRY,
    anthropic.RetryableError: FailureKind.RETRY,
    anthropic.CredentialsError: FailureKind.AUTH,
    anthropic.IdentityTokenFileError: FailureKind.AUTH,
    anthropic.WorkloadIdentityError: FailureKind.AUTH,
    **HTTP_CLIENT,
}
"""By class, where no status says more; a class that is not listed is of the kind of its nearest
parent."""

BY_CODE: Final[Mapping[str, FailureKind]] = {
    # With status 429, though no wait mends them: they are about money, not speed.
    "contract_spend_limit_reached": FailureKind.BILLING,
    "enforced_spend_limit_reached": FailureKind.BILLING,
    "linked_organization_billing_unavailable": FailureKind.BILLING,
    "linked_organization_spend_limit_reached": FailureKind.BILLING,
    "organization_on_hold": FailureKind.AUTH,
    # Its status is 400, but nothing was done: the body did not arrive in time.
    "request_body_timeout": FailureKind.RETRY,
}
"""By ``error.details.error_code``, which the SDK calls the stable name of the cause."""

BY_TYPE: Final[Mapping[str, FailureKind]] = {
    "invalid_request_error": FailureKind.REFUSED,
    "request_too_large": FailureKind.TOO_LONG,
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
    # Bedrock sends these in the middle of a stream; all its others are worth another attempt.
    "validationException": FailureKind.REFUSED,
    "accessDeniedException": FailureKind.AUTH,
}
"""By ``error.type``, for errors that come as an event after status 200."""


def kind_of(error: BaseException) -> FailureKind:
    """By code, then by what the service itself says, then by status or class."""
    match error:
        case anthropic.APIStatusError():
            kind = _kind_of_answer(error)
            # The API has no code of its own for it: only the words of a 400 tell.
            is_request = isinstance(error, anthropic.BadRequestError)
            too_long = is_request and any(words in _said(error).lower() for words in _TOO_LONG)
            return FailureKind.TOO_LONG if kind is FailureKind.REFUSED and too_long else kind
        case anthropic.APIConnectionError() | httpx2.HTTPError():
            return of_connection(error, BY_CLASS)
        case _:
            return nearest(error, BY_CLASS)


def _kind_of_answer(error: anthropic.APIStatusError) -> FailureKind:
    if error.error_code in BY_CODE:
        return BY_CODE[str(error.error_code)]
    if error.type == "billing_error":
        return FailureKind.BILLING
    if error.response.is_success:
        return BY_TYPE.get(str(error.type), FailureKind.RETRY)
    return by_advice(of_status(error.status_code), error.response.headers)


def _answer(error: BaseException) -> ErrorAnswer | None:
    if not isinstance(error, anthropic.APIStatusError):
        return None
    return ErrorAnswer(
        name=str(error.type or ""),
        said=_said(error),
        response=None if error.response.is_success else error.response,
        request_id=request_id_in(error.response.headers, ID_HEADERS),
    )


def _said(error: anthropic.APIStatusError) -> str:
    """Bedrock's errors are an object with a message and no more."""
    if error.api_message:
        return str(error.api_message)
    body = error.body
    return str(body.get("message", "")) if isinstance(body, dict) else ""


def _of_body(error: Any, response: httpx2.Response) -> anthropic.APIStatusError:
    said = error if isinstance(error, Mapping) else {"message": str(error)}
    body = {"type": "error", "error": dict(said)}
    return anthropic.APIStatusError(str(error), response=response, body=body)


ERRORS: Final = ErrorMap(
    sdk=anthropic.AnthropicError,
    connection=anthropic.APIConnectionError,
    kind=kind_of,
    answer=_answer,
    of_body=_of_body,
)
