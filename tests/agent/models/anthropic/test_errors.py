"""The anthropic SDK's codes and types; what holds of every SDK's errors is in
`tests.agent.models.test_errors`."""

from typing import Any, get_args

import anthropic
import httpx2
from anthropic import _error_classes
from anthropic.types.shared.error_type import ErrorType

from agent.models.anthropic.errors import BY_CODE, BY_TYPE, ERRORS, kind_of
from agent.models.http_errors import FailureKind

REQUEST = httpx2.Request("POST", "https://api.example.org/v1/messages")


def status_error(status: int, **error: Any) -> anthropic.APIStatusError:
    body = {"type": "error", "error": {"message": "m", **error}}
    response = httpx2.Response(status, request=REQUEST)
    return _error_classes.make_status_error("m", body=body, response=response)


def test_each_error_code_the_sdk_knows_has_a_class_of_its_own() -> None:
    for status, code in _error_classes.ERROR_CLASSES:
        error = status_error(status, details={"error_code": code} if code else None)
        assert isinstance(ERRORS.kind(error), FailureKind)


def test_our_codes_are_codes_the_sdk_knows() -> None:
    assert set(BY_CODE) <= {code for _, code in _error_classes.ERROR_CLASSES}


def test_each_error_type_has_a_kind_for_errors_within_a_stream() -> None:
    assert set(get_args(ErrorType)) <= set(BY_TYPE)


def test_a_billing_error_is_one_under_any_status() -> None:
    assert kind_of(status_error(400, type="billing_error")) is FailureKind.BILLING
