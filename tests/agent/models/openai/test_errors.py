"""The error map is complete: the SDK's classes, each status, and the names that services use."""

import builtins
import pkgutil
import ssl
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import httpx2
import openai
import pytest
from openai import _exceptions

from agent.errors import (
    ModelAuth,
    ModelBilling,
    ModelError,
    ModelRefusedRequest,
    ModelUnavailable,
)
from agent.models.http_errors import FailureKind, ServiceWords
from agent.models.openai.errors import BY_CLASS, BY_NAME, complaint, translate, translated, verdict
from agent.models.retrying import TransientError
from fakes.providers import ProviderConversation
from standins.anthropic import Break, How, Refuse, answer
from standins.openai import StandInOpenAI

SERVICE = ServiceWords(model="gpt-5.4", base_url="https://api.example.org", key="sk-very-secret")
CLIENT = openai.OpenAI(api_key="k", base_url=SERVICE.base_url, max_retries=0)
REQUEST = httpx2.Request("POST", "https://api.example.org/v1/chat/completions")


def defined_in(module: Any) -> list[type[BaseException]]:
    # Not by `isinstance`, which makes the SDK load what stands there by proxy.
    classes = {value for value in list(vars(module).values()) if issubclass(type(value), type)}
    return sorted(
        (kind for kind in classes if issubclass(kind, BaseException)),
        key=lambda kind: kind.__name__,
    )


def descendants(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def status_error(status: int, body: object = None, **headers: str) -> openai.APIStatusError:
    sent = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    response = httpx2.Response(status, request=REQUEST, headers=sent)
    return CLIENT._make_status_error("m", body=body or {"error": {}}, response=response)


def stream_error(**body: Any) -> openai.APIError:
    return openai.APIError("m", request=REQUEST, body=body)


def test_each_class_of_the_sdks_error_module_has_its_own_row() -> None:
    # The SDK gives those that it exports its own name.
    own = [kind for kind in defined_in(_exceptions) if kind.__module__.startswith("openai")]
    assert len(own) > 15
    assert [kind.__name__ for kind in own if kind not in BY_CLASS] == []


def test_each_error_class_the_sdk_exports_has_a_row_or_a_parent_that_speaks_for_it() -> None:
    general = {openai.APIError, openai.APIStatusError}
    for kind in defined_in(openai):
        if kind in BY_CLASS or kind.__module__ == builtins.__name__:
            continue
        nearest = next(parent for parent in kind.__mro__ if parent in BY_CLASS)
        assert nearest not in general, kind


def test_each_error_class_anywhere_in_the_sdk_has_a_verdict() -> None:
    for module in pkgutil.walk_packages(openai.auth.__path__, "openai.auth."):
        import_module(module.name)
    found = set(descendants(openai.OpenAIError))
    assert len(found) > 20
    for kind in found:
        assert any(parent in BY_CLASS for parent in kind.__mro__), kind


def test_each_error_of_the_http_client_becomes_ours() -> None:
    for kind in defined_in(httpx2):
        assert any(parent in BY_CLASS for parent in kind.__mro__), kind


def test_each_status_code_becomes_ours() -> None:
    for status in range(300, 600):
        mapped = translate(status_error(status), SERVICE)
        assert isinstance(mapped, ModelError | TransientError), status
        passing = status >= 500 and status not in {501, 505}
        assert passing <= isinstance(mapped, TransientError), f"{status} may pass"


@pytest.mark.parametrize("name", BY_NAME)
def test_each_name_speaks_as_code_and_as_type_within_a_stream(name: str) -> None:
    for error in (
        stream_error(code=name),
        stream_error(type=name),
        stream_error(code=name, type="x"),
    ):
        assert verdict(error) is BY_NAME[name]


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
    assert verdict(stream_error(code=code)) is expected


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "insufficient_quota", ModelBilling),
        (429, "billing_hard_limit_reached", ModelBilling),
        (400, "billing_not_active", ModelBilling),
        (429, "account_deactivated", ModelAuth),
        (400, "content_policy_violation", ModelRefusedRequest),
    ],
)
def test_a_code_that_names_a_lasting_cause_beats_the_status(
    openai_api: StandInOpenAI,
    openai_conversation: ProviderConversation,
    status: int,
    code: str,
    kind: type[ModelError],
) -> None:
    openai_api.queue(Refuse(status, {"retry-after": "1"}, code=code))
    with pytest.raises(kind):
        openai_conversation.say()
    assert (openai_conversation.waits, len(openai_api.requests)) == ([], 1)


def test_a_quota_is_billing_by_its_type_whatever_the_code() -> None:
    body = {"error": {"type": "insufficient_quota", "code": "some_new_limit_exceeded"}}
    assert verdict(status_error(429, body)) is FailureKind.BILLING


def test_a_request_above_the_rate_by_itself_is_not_waited_for() -> None:
    said = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000."
    body = {"error": {"type": "tokens", "code": "rate_limit_exceeded", "message": said}}
    assert verdict(status_error(429, body)) is FailureKind.REFUSED
    body["error"]["message"] = "Rate limit reached for gpt-4o on tokens per min (TPM)."
    assert verdict(status_error(429, body)) is FailureKind.RETRY


@pytest.mark.parametrize(("said", "status"), [("false", 500), ("true", 400)])
def test_a_service_that_says_whether_to_retry_is_believed(said: str, status: int) -> None:
    found = verdict(status_error(status, x_should_retry=said))
    assert found is (FailureKind.RETRY if said == "true" else FailureKind.UNAVAILABLE)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("invalid_request_error", ModelRefusedRequest),
        ("authentication_error", ModelAuth),
        ("insufficient_quota", ModelBilling),
    ],
)
def test_an_error_event_that_no_retry_mends_ends_the_run(
    openai_api: StandInOpenAI,
    openai_conversation: ProviderConversation,
    error: str,
    kind: type[ModelError],
) -> None:
    openai_api.queue(Break(How.ERROR, before="finish", error=error))
    with pytest.raises(kind, match="as the test asked"):
        openai_conversation.say()
    assert len(openai_api.requests) == 1


@pytest.mark.parametrize("error", ["server_error", "overloaded_error", "new_one"])
def test_an_error_event_that_may_pass_is_made_again(
    openai_api: StandInOpenAI, openai_conversation: ProviderConversation, error: str
) -> None:
    openai_api.queue(Break(How.ERROR, before="finish", error=error), answer("Better."))
    assert openai_conversation.say().attempts == 2


def test_a_key_that_the_service_says_back_is_not_shown() -> None:
    body = {"error": {"message": f"Bad key: {SERVICE.key}"}}
    for error in (status_error(401, body), stream_error(code=401, **body["error"])):
        assert "sk-very-secret" not in str(translate(error, SERVICE))
        assert "(the key)" in str(translate(error, SERVICE))
    assert "sk-very-secret" not in repr(SERVICE)


def test_a_form_of_error_that_only_some_services_have_is_read_too() -> None:
    detail = [{"loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]
    said = complaint(status_error(422, {"detail": detail}))
    assert said is not None
    assert said.refuses("max_completion_tokens")


def test_only_a_refusal_is_a_complaint() -> None:
    for error in (status_error(404), status_error(429), status_error(500), ValueError(), None):
        assert complaint(error) is None


def wrapped(cause: BaseException) -> openai.APIConnectionError:
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = httpx2.ConnectError("no")
    error.__cause__.__cause__ = cause
    return error


def test_a_certificate_that_is_not_accepted_is_not_tried_again() -> None:
    mapped = translate(wrapped(ssl.SSLCertVerificationError("self-signed certificate")), SERVICE)
    assert isinstance(mapped, ModelUnavailable)
    assert "self-signed certificate" in str(mapped)


def test_a_header_that_cannot_be_sent_is_not_shown() -> None:
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = httpx2.LocalProtocolError("Illegal header value b'Bearer sk-secret '")
    mapped = translate(error, SERVICE)
    assert isinstance(mapped, ModelRefusedRequest)
    assert "sk-secret" not in str(mapped)


@pytest.mark.parametrize("error", [ValueError("no"), TypeError("no"), RecursionError("no")])
def test_what_cannot_be_decoded_is_a_broken_stream_only_once_it_began(error: Exception) -> None:
    with pytest.raises(TransientError), translated(SERVICE, reading=True):
        raise error
    with pytest.raises(ModelError), translated(SERVICE, reading=False):
        raise error
