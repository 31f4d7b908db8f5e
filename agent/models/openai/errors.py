"""How the errors of the openai SDK are read: the only module beside the client that imports it.

Owns the kind of each class and name of an error: make the request again, try a shorter one, or end
the run. Refuses to know how often and how long (`agent.models.retrying`), what the run
is told (`agent.models.service_errors`), and what a refusal teaches (`agent.models.openai.dialect`).
The SDK has classes for fewer statuses than services answer with, and a gateway's error may be
anything, so that names and statuses count before classes.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import httpx2
import openai
from openai._exceptions import SubjectTokenProviderError

from agent.models.http_errors import (
    HTTP_CLIENT,
    FailureKind,
    by_advice,
    nearest,
    of_connection,
    of_status,
)
from agent.models.openai.dialect import Complaint
from agent.models.service_errors import ErrorAnswer, ErrorMap
from agent.models.text_calls.detection import no_tools_taken

BY_CLASS: Final[Mapping[type[BaseException], FailureKind]] = {
    openai.OpenAIError: FailureKind.UNAVAILABLE,
    # Raised as it is only for an error within a stream.
    openai.APIError: FailureKind.RETRY,
    openai.APIResponseValidationError: FailureKind.RETRY,
    openai.APIConnectionError: FailureKind.RETRY,
    openai.APITimeoutError: FailureKind.RETRY,
    openai.OAuthError: FailureKind.AUTH,
    # These belong to parts of the SDK that are not used here.
    openai.LengthFinishReasonError: FailureKind.UNAVAILABLE,
    openai.ContentFilterFinishReasonError: FailureKind.UNAVAILABLE,
    openai.InvalidWebhookSignatureError: FailureKind.UNAVAILABLE,
    SubjectTokenProviderError: FailureKind.AUTH,
    openai.WebSocketConnectionClosedError: FailureKind.UNAVAILABLE,
    openai.WebSocketQueueFullError: FailureKind.UNAVAILABLE,
    **HTTP_CLIENT,
}
"""By class, where no status says more; a class that is not listed is of the kind of its nearest
parent."""

BY_NAME: Final[Mapping[str, FailureKind]] = {
    # Mostly with status 429, though no wait mends them: they are about money, not speed.
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
    "invalid_encrypted_content": FailureKind.REFUSED,
    # The SDK's ``types/responses/response_error.py`` (openai 3.54.0): within a stream.
    "data_residency_mismatch": FailureKind.REFUSED,
    "bio_policy": FailureKind.REFUSED,
    "misalignment_policy_violation": FailureKind.REFUSED,
    **dict.fromkeys(
        (
            *("invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url"),
            *("image_too_large", "image_too_small", "image_parse_error", "invalid_image_mode"),
            *("image_content_policy_violation", "image_file_too_large", "empty_image_file"),
            *("unsupported_image_media_type", "failed_to_download_image", "image_file_not_found"),
        ),
        FailureKind.REFUSED,
    ),
    "invalid_request_error": FailureKind.REFUSED,
    "rate_limit_exceeded": FailureKind.RETRY,
    "server_error": FailureKind.RETRY,
    "server_is_overloaded": FailureKind.RETRY,
    "slow_down": FailureKind.RETRY,
    "vector_store_timeout": FailureKind.RETRY,
    "overloaded_error": FailureKind.RETRY,
}
"""By ``error.code``, then ``error.type``: a name is stable where a status is not."""

_BROAD: Final = frozenset({"invalid_request_error", "server_error", "overloaded_error"})
"""Types that fit many causes: they count only where there is no status."""

_LONGEST_BODY: Final = 10_000


def kind_of(error: BaseException) -> FailureKind:
    """By name, then by status, then by class."""
    match error:
        case openai.APIStatusError():
            return _kind_of_answer(error)
        case openai.APIConnectionError() | httpx2.HTTPError():
            return of_connection(error, BY_CLASS)
        case openai.APIResponseValidationError():
            return nearest(error, BY_CLASS)
        case openai.APIError():
            return _kind_within_stream(error)
        case _:
            return nearest(error, BY_CLASS)


def complaint(error: BaseException | None) -> Complaint | None:
    """What a service said against a request that it will not take; None: it was something else."""
    lasting = {FailureKind.REFUSED, FailureKind.TOO_LONG}
    if not isinstance(error, openai.APIError) or kind_of(error) not in lasting:
        return None
    said = _complaint(error)
    if isinstance(error, openai.APIStatusError) and error.status_code in {404, 501}:
        # The Responses API also answers so to an item that it was to remember.
        return said if said.of_an_item else None
    return said


def _complaint(error: openai.APIError) -> Complaint:
    param = _fields(error).get("param")
    return Complaint(
        message=_said(error), code=_code(error), type=_type(error), param=str(param or "")
    )


def _kind_of_answer(error: openai.APIStatusError) -> FailureKind:
    for name in (_code(error), _type(error)):
        if name in BY_NAME and name not in _BROAD:
            return _by_name(str(name), error)
    if error.status_code == 500 and not isinstance(error.body, str):
        # Servers of one's own answer so to what they were not set up for, and to what is too long.
        said = _complaint(error)
        if said.of_a_full_window:
            return FailureKind.TOO_LONG
        if no_tools_taken(said.message):
            return FailureKind.REFUSED
        if said.of_a_setting:
            return FailureKind.DOUBTFUL
    return by_advice(of_status(error.status_code), error.response.headers)


def _kind_within_stream(error: openai.APIError) -> FailureKind:
    """After status 200: the code is a name, or a status by number."""
    code = _code(error)
    if code.isascii() and code.isdigit() and len(code) == 3:
        return of_status(int(code))
    for name in (code, _type(error)):
        if name in BY_NAME:
            return _by_name(name, error)
    return FailureKind.RETRY


def _by_name(name: str, error: openai.APIError) -> FailureKind:
    found = BY_NAME[name]
    # Services call a rate what no wait mends: one request above the rate by itself.
    alone = found is FailureKind.RETRY and _said(error).startswith("Request too large")
    return FailureKind.REFUSED if alone else found


def _answer(error: BaseException) -> ErrorAnswer | None:
    if not isinstance(error, openai.APIError) or isinstance(
        error, openai.APIConnectionError | openai.APIResponseValidationError
    ):
        return None
    code = _code(error)
    # A code that is a number says no more than the status.
    name = code if code and not code.isdigit() else _type(error)
    if not isinstance(error, openai.APIStatusError):
        return ErrorAnswer(name=name, said=_said(error), response=None)
    return ErrorAnswer(
        name=name, said=_said(error), response=error.response, request_id=error.request_id or ""
    )


def _said(error: openai.APIError) -> str:
    """The service's own words. Where they have a form that only some services use, all of it; of a
    proxy's page nothing."""
    fields = _fields(error)
    if fields or isinstance(error.body, Mapping | list):
        words = (fields.get(key) for key in ("message", "detail", "error"))
        said = next((each for each in words if each), "")
        return (said if isinstance(said, str) else json.dumps(said))[:_LONGEST_BODY]
    if isinstance(error, openai.APIStatusError):
        kind = error.response.headers.get("content-type", "")
        return error.body[:_LONGEST_BODY] if isinstance(error.body, str) and "json" in kind else ""
    return error.message[:_LONGEST_BODY]


def _fields(error: openai.APIError) -> Mapping[str, Any]:
    """What the body says of the error. Gemini sends a list of one object with it."""
    body = error.body
    if isinstance(body, list):
        body = next((each for each in body if isinstance(each, Mapping)), None)
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error")
    return inner if isinstance(inner, Mapping) else body


def _code(error: openai.APIError) -> str:
    code = _fields(error).get("code")
    return str(code) if isinstance(code, str | int) and code else ""


def _type(error: openai.APIError) -> str:
    kind = _fields(error).get("type")
    return kind if isinstance(kind, str) else ""


def failed(error: Any, response: httpx2.Response) -> openai.APIError:
    """The SDK's error for one that a service told with status 200."""
    return openai.APIError(str(error), request=response.request, body=error)


ERRORS: Final = ErrorMap(
    sdk=openai.OpenAIError,
    connection=openai.APIConnectionError,
    kind=kind_of,
    answer=_answer,
    of_body=failed,
)
