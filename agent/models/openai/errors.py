"""The one place that turns the errors of the openai SDK, and of its HTTP client, into ours.

Owns the verdict on each class, status and name of an error: make the request again, or end the run
with one line that says what to do. Refuses to know how often and how long (`retrying`), and what a
refusal teaches (`openai_dialect`). The SDK names fewer statuses than services answer with, and a
gateway's error may be anything, so that names and statuses speak before classes. Text that came
from the service is bounded and stripped of control characters before a person sees it.
"""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final

import httpx2
import openai
from openai._exceptions import SubjectTokenProviderError

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
from agent.models.openai.dialect import Complaint
from agent.models.retrying import TransientError, asked_wait_s

BY_CLASS: Final[Mapping[type[BaseException], FailureKind]] = {
    openai.OpenAIError: FailureKind.UNAVAILABLE,
    # As it is, only from an error within a stream.
    openai.APIError: FailureKind.RETRY,
    openai.APIResponseValidationError: FailureKind.RETRY,
    openai.APIStatusError: FailureKind.REFUSED,
    openai.APIConnectionError: FailureKind.RETRY,
    openai.APITimeoutError: FailureKind.RETRY,
    openai.BadRequestError: FailureKind.REFUSED,
    openai.AuthenticationError: FailureKind.AUTH,
    openai.OAuthError: FailureKind.AUTH,
    openai.PermissionDeniedError: FailureKind.AUTH,
    openai.NotFoundError: FailureKind.REFUSED,
    # 409: a lock on the service's side ran out; the SDK's own policy retries it too.
    openai.ConflictError: FailureKind.RETRY,
    openai.UnprocessableEntityError: FailureKind.REFUSED,
    openai.RateLimitError: FailureKind.RETRY,
    openai.InternalServerError: FailureKind.RETRY,
    # Of parts of the SDK that are not used here.
    openai.LengthFinishReasonError: FailureKind.UNAVAILABLE,
    openai.ContentFilterFinishReasonError: FailureKind.UNAVAILABLE,
    openai.InvalidWebhookSignatureError: FailureKind.UNAVAILABLE,
    SubjectTokenProviderError: FailureKind.AUTH,
    openai.WebSocketConnectionClosedError: FailureKind.UNAVAILABLE,
    openai.WebSocketQueueFullError: FailureKind.UNAVAILABLE,
    **HTTP_CLIENT,
}
"""By class; a class that is not here has the verdict of its nearest parent."""

BY_STATUS: Final[Mapping[int, FailureKind]] = {
    400: FailureKind.REFUSED,
    401: FailureKind.AUTH,
    402: FailureKind.BILLING,
    403: FailureKind.AUTH,
    404: FailureKind.REFUSED,
    408: FailureKind.RETRY,
    409: FailureKind.RETRY,
    413: FailureKind.REFUSED,
    422: FailureKind.REFUSED,
    425: FailureKind.RETRY,
    429: FailureKind.RETRY,
    # From a proxy that saw us go; we did not.
    499: FailureKind.RETRY,
    501: FailureKind.REFUSED,
    505: FailureKind.REFUSED,
}
"""Those that the SDK has no class for, those where its class is wrong, and those that gateways
write as the code of an error within a stream."""

BY_NAME: Final[Mapping[str, FailureKind]] = {
    # 429s, mostly, that no wait mends: money, not speed.
    "insufficient_quota": FailureKind.BILLING,
    "billing_hard_limit_reached": FailureKind.BILLING,
    "billing_not_active": FailureKind.BILLING,
    "credit_balance_exhausted": FailureKind.BILLING,
    "organization_spend_limit_exceeded": FailureKind.BILLING,
    "project_spend_limit_exceeded": FailureKind.BILLING,
    "insufficient_credits": FailureKind.BILLING,
    "insufficient_balance": FailureKind.BILLING,
    "billing_error": FailureKind.BILLING,
    "account_deactivated": FailureKind.AUTH,
    "access_terminated": FailureKind.AUTH,
    "invalid_api_key": FailureKind.AUTH,
    "authentication_error": FailureKind.AUTH,
    "permission_error": FailureKind.AUTH,
    "context_length_exceeded": FailureKind.REFUSED,
    "exceed_context_size_error": FailureKind.REFUSED,
    "model_not_found": FailureKind.REFUSED,
    "content_policy_violation": FailureKind.REFUSED,
    "invalid_prompt": FailureKind.REFUSED,
    "invalid_request_error": FailureKind.REFUSED,
    "rate_limit_exceeded": FailureKind.RETRY,
    "server_error": FailureKind.RETRY,
    "server_is_overloaded": FailureKind.RETRY,
    "slow_down": FailureKind.RETRY,
    "overloaded_error": FailureKind.RETRY,
}
"""By ``error.code``, then ``error.type``: a name is stable where a status is not. Those of a type
that is true of many causes speak only where there is no status."""

_BROAD: Final = frozenset({"invalid_request_error", "server_error", "overloaded_error"})

_LONGEST_BODY: Final = 10_000


def translated(service: ServiceWords, *, reading: bool) -> AbstractContextManager[None]:
    """Raise ours for the SDK's; see `settled`."""
    return settled(service, reading=reading, sdk=openai.OpenAIError, translate=translate)


def translate(error: BaseException, service: ServiceWords) -> ModelError | TransientError:
    """Ours for one of the SDK's: to be raised by the caller."""
    match verdict(error):
        case FailureKind.RETRY:
            return TransientError(_what(error, service), asked_wait_s=_asked(error))
        case FailureKind.REFUSED if _is_too_large(error):
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
    """By name, then by status, then by class."""
    match error:
        case openai.APIStatusError():
            return _of_status(error)
        case openai.APIConnectionError() | httpx2.HTTPError():
            return of_connection(error, BY_CLASS)
        case openai.APIResponseValidationError():
            return nearest(error, BY_CLASS)
        case openai.APIError():
            return _of_stream(error)
        case _:
            return nearest(error, BY_CLASS)


def complaint(error: BaseException | None) -> Complaint | None:
    """What a service said against a request that it will not take; None: it was something else."""
    if not isinstance(error, openai.APIError) or verdict(error) is not FailureKind.REFUSED:
        return None
    if isinstance(error, openai.APIStatusError) and error.status_code in {404, 501}:
        return None
    return Complaint(
        message=_said(error), code=error.code or "", type=_type(error), param=str(error.param or "")
    )


def _of_status(error: openai.APIStatusError) -> FailureKind:
    for name in (error.code, _type(error)):
        if name in BY_NAME and name not in _BROAD:
            found = BY_NAME[str(name)]
            # Services call a rate what no wait mends: one request above the rate by itself.
            alone = found is FailureKind.RETRY and _said(error).startswith("Request too large")
            return FailureKind.REFUSED if alone else found
    by_class = BY_STATUS.get(error.status_code, nearest(error, BY_CLASS))
    match by_class, error.response.headers.get("x-should-retry"):
        case FailureKind.RETRY, "false":
            return FailureKind.UNAVAILABLE
        case FailureKind.REFUSED, "true":
            return FailureKind.RETRY
        case _:
            return by_class


def _of_stream(error: openai.APIError) -> FailureKind:
    """After status 200: the code is a name, or a status by number."""
    code = error.code or ""
    if code.isascii() and code.isdigit() and len(code) == 3:
        return BY_STATUS.get(int(code), FailureKind.REFUSED if code < "500" else FailureKind.RETRY)
    for name in (code, _type(error)):
        if name in BY_NAME:
            return BY_NAME[name]
    return FailureKind.RETRY


def _what(error: BaseException, service: ServiceWords) -> str:
    match error:
        case openai.APIStatusError():
            said = service.shown(_said(error)) or phrase(error.status_code)
            named = f" (request {service.shown(error.request_id)})" if error.request_id else ""
            return f"{error.status_code} {_name(error, service)}: {said}{named}"
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return timed_out(service)
        case openai.APIConnectionError() | httpx2.HTTPError():
            return failed(error, service)
        case openai.APIError():
            return f"{_name(error, service)}: {service.shown(_said(error)) or 'no reason given'}"
        case _:
            return service.shown(str(error)) or type(error).__name__


def _refused(error: BaseException, service: ServiceWords) -> str:
    what = _what(error, service)
    if isinstance(error, openai.NotFoundError):
        hint = "" if service.base_url.endswith("/v1") else " (most base URLs end in /v1)"
        return f"{what}: is {service.model!r} a model of {service.base_url}?{hint}"
    if not isinstance(error, openai.APIError):
        return f"{what}: check the base URL and the key"
    if not isinstance(error, openai.APIStatusError):
        return what
    if _is_too_large(error):
        return f"{what}: the conversation has grown too large; give the task in smaller parts"
    hint_ = elsewhere(error.response)
    return what if hint_ is None else f"{what}: {hint_}"


def _auth(error: BaseException, service: ServiceWords) -> str:
    what = _what(error, service)
    if isinstance(error, openai.PermissionDeniedError):
        return f"{what}: the key may not use {service.model!r}; use another key or model"
    return f"{what}: set {service.credential or 'OPENAI_API_KEY'} to a key of {service.base_url}"


def _is_too_large(error: BaseException) -> bool:
    """By bytes. What is too long by tokens is a `Complaint`: services say it in many ways."""
    return isinstance(error, openai.APIStatusError) and error.status_code == 413


def _said(error: openai.APIError) -> str:
    """The service's own words; of a form that only some services have, all of it.

    Nothing of a proxy's page.
    """
    if isinstance(error.body, Mapping):
        for key in ("message", "detail", "error"):
            said = error.body.get(key)
            if said:
                text = said if isinstance(said, str) else json.dumps(said)
                return text[:_LONGEST_BODY]
        return ""
    if isinstance(error, openai.APIStatusError):
        kind = error.response.headers.get("content-type", "")
        return error.body[:_LONGEST_BODY] if isinstance(error.body, str) and "json" in kind else ""
    return error.message[:_LONGEST_BODY]


def _type(error: openai.APIError) -> str:
    return error.type if isinstance(error.type, str) else ""


def _name(error: openai.APIError, service: ServiceWords) -> str:
    """Of the error: its code where that says more than a number."""
    code = error.code or ""
    said = service.shown(code if code and not code.isdigit() else _type(error))
    return said[:60] or "error"


def _asked(error: BaseException) -> float | None:
    return (
        asked_wait_s(error.response.headers) if isinstance(error, openai.APIStatusError) else None
    )
