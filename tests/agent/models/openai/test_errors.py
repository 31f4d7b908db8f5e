"""Statuses and names by which compatible services fail; what holds of every SDK's errors is in
`tests.agent.models.test_errors`."""

from typing import Any

import httpx2
import openai
import pytest

from agent.models.http_errors import FailureKind
from agent.models.openai.errors import BY_NAME, complaint, kind_of

CLIENT = openai.OpenAI(api_key="k", base_url="https://api.example.org", max_retries=0)
REQUEST = httpx2.Request("POST", "https://api.example.org/v1/chat/completions")


def status_error(status: int, body: object = None, **headers: str) -> openai.APIStatusError:
    sent = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    response = httpx2.Response(status, request=REQUEST, headers=sent)
    return CLIENT._make_status_error("m", body=body or {"error": {}}, response=response)


def stream_error(**body: Any) -> openai.APIError:
    return openai.APIError("m", request=REQUEST, body=body)


@pytest.mark.parametrize("name", BY_NAME)
def test_each_name_speaks_as_code_and_as_type_within_a_stream(name: str) -> None:
    for error in (
        stream_error(code=name),
        stream_error(type=name),
        stream_error(code=name, type="x"),
    ):
        assert kind_of(error) is BY_NAME[name]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, FailureKind.REFUSED),
        ("401", FailureKind.AUTH),
        (402, FailureKind.BILLING),
        (418, FailureKind.REFUSED),
        (429, FailureKind.RETRY),
        (502, FailureKind.RETRY),
        (599, FailureKind.RETRY),
        (-1, FailureKind.RETRY),
        (10**9, FailureKind.RETRY),
        ("²²²", FailureKind.RETRY),
        (None, FailureKind.RETRY),
        ("new_one", FailureKind.RETRY),
    ],
)
def test_a_number_within_a_stream_is_a_status(code: object, expected: FailureKind) -> None:
    assert kind_of(stream_error(code=code)) is expected


def test_a_quota_is_billing_by_its_type_whatever_the_code() -> None:
    body = {"error": {"type": "insufficient_quota", "code": "some_new_limit_exceeded"}}
    assert kind_of(status_error(429, body)) is FailureKind.BILLING


def test_a_request_above_the_rate_by_itself_is_not_waited_for() -> None:
    said = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000."
    body = {"error": {"type": "tokens", "code": "rate_limit_exceeded", "message": said}}
    assert kind_of(status_error(429, body)) is FailureKind.REFUSED
    body["error"]["message"] = "Rate limit reached for gpt-4o on tokens per min (TPM)."
    assert kind_of(status_error(429, body)) is FailureKind.RETRY


@pytest.mark.parametrize(("said", "status"), [("false", 500), ("true", 400)])
def test_a_service_that_says_whether_to_retry_is_believed(said: str, status: int) -> None:
    found = kind_of(status_error(status, x_should_retry=said))
    assert found is (FailureKind.RETRY if said == "true" else FailureKind.UNAVAILABLE)


def test_a_form_of_error_that_only_some_services_have_is_read_too() -> None:
    detail = [{"loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]
    said = complaint(status_error(422, {"detail": detail}))
    assert said is not None
    assert said.refuses("max_completion_tokens")


def test_only_a_refusal_is_a_complaint() -> None:
    for error in (status_error(404), status_error(429), status_error(500), ValueError(), None):
        assert complaint(error) is None
