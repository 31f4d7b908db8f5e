"""The error map is complete: the SDK's classes, codes and types, and its HTTP client's."""

import builtins
import inspect
import pkgutil
import ssl
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_args

import anthropic
import anthropic.lib.credentials
import httpx2
import pytest
from anthropic import _error_classes, _exceptions
from anthropic.types.shared.error_type import ErrorType

from agent.errors import ModelBilling, ModelError, ModelRefusedRequest, ModelUnavailable
from agent.models.anthropic.errors import (
    BY_CLASS,
    BY_CODE,
    BY_TYPE,
    translate,
    translated,
    verdict,
)
from agent.models.http_errors import FailureKind, ServiceWords
from agent.models.retrying import TransientError

SERVICE = ServiceWords(model="claude-opus-5-5", base_url="https://api.example.org")
REQUEST = httpx2.Request("POST", "https://api.example.org/v1/messages")


def defined_in(module: Any) -> list[type[BaseException]]:
    classes = {value for value in vars(module).values() if inspect.isclass(value)}
    return sorted(
        (kind for kind in classes if issubclass(kind, BaseException)),
        key=lambda kind: kind.__name__,
    )


def descendants(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def status_error(status: int, **error: Any) -> anthropic.APIStatusError:
    body = {"type": "error", "error": {"message": "m", **error}}
    response = httpx2.Response(status, request=REQUEST)
    return _error_classes.make_status_error("m", body=body, response=response)


def test_each_class_of_the_sdks_error_module_has_its_own_row() -> None:
    missing = [kind.__name__ for kind in defined_in(_exceptions) if kind not in BY_CLASS]
    assert missing == []


def test_each_error_class_the_sdk_exports_has_a_row_or_a_parent_that_speaks_for_it() -> None:
    general = {anthropic.AnthropicError, anthropic.APIError, anthropic.APIStatusError}
    for kind in defined_in(anthropic):
        if kind in BY_CLASS or kind.__module__ == builtins.__name__:
            continue
        nearest = next(parent for parent in kind.__mro__ if parent in BY_CLASS)
        assert nearest not in general, kind


def test_each_error_class_anywhere_in_the_sdk_has_a_verdict() -> None:
    for package in (anthropic.types, anthropic.lib):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            if module.name.endswith("_error") or "credentials" in module.name:
                import_module(module.name)
    found = set(descendants(anthropic.AnthropicError))
    assert len(found) > 50
    for kind in found:
        assert any(parent in BY_CLASS for parent in kind.__mro__), kind


def test_each_status_code_becomes_ours() -> None:
    for status in range(400, 600):
        mapped = translate(status_error(status), SERVICE)
        assert isinstance(mapped, ModelError | TransientError), status
        assert (status >= 500) <= (isinstance(mapped, TransientError) or status == 501), (
            f"{status} may pass"
        )


def test_each_error_code_the_sdk_knows_becomes_ours() -> None:
    for status, code in _error_classes.ERROR_CLASSES:
        error = status_error(status, details={"error_code": code} if code else None)
        assert isinstance(translate(error, SERVICE), ModelError | TransientError)


def test_our_codes_are_codes_the_sdk_knows() -> None:
    known = {code for _, code in _error_classes.ERROR_CLASSES}
    assert set(BY_CODE) <= known


def test_each_error_type_has_a_verdict_for_errors_within_a_stream() -> None:
    assert set(get_args(ErrorType)) <= set(BY_TYPE)


def test_each_error_of_the_http_client_becomes_ours() -> None:
    for kind in defined_in(httpx2):
        assert any(parent in BY_CLASS for parent in kind.__mro__), kind


def test_a_billing_error_is_one_under_any_status() -> None:
    assert isinstance(translate(status_error(400, type="billing_error"), SERVICE), ModelBilling)


def wrapped(cause: BaseException) -> anthropic.APIConnectionError:
    error = anthropic.APIConnectionError(request=REQUEST)
    error.__cause__ = httpx2.ConnectError("no")
    error.__cause__.__cause__ = cause
    return error


def test_a_certificate_that_is_not_accepted_is_not_tried_again() -> None:
    mapped = translate(wrapped(ssl.SSLCertVerificationError("self-signed certificate")), SERVICE)
    assert isinstance(mapped, ModelUnavailable)
    assert "self-signed certificate" in str(mapped)


def test_a_header_that_cannot_be_sent_is_not_shown() -> None:
    error = anthropic.APIConnectionError(request=REQUEST)
    error.__cause__ = httpx2.LocalProtocolError("Illegal header value b'Bearer sk-secret '")
    mapped = translate(error, SERVICE)
    assert isinstance(mapped, ModelRefusedRequest)
    assert "sk-secret" not in str(mapped)


def test_a_name_that_does_not_resolve_may_pass() -> None:
    assert verdict(wrapped(OSError("Name or service not known"))) is FailureKind.RETRY


def test_a_cause_that_causes_itself_does_not_hang() -> None:
    first, second = OSError("one"), OSError("two")
    first.__context__, second.__context__ = second, first
    assert isinstance(translate(wrapped(first), SERVICE), TransientError)


@pytest.mark.parametrize("error", [ValueError("no"), TypeError("no")])
def test_what_cannot_be_decoded_is_a_broken_stream_only_once_it_began(error: Exception) -> None:
    with pytest.raises(TransientError), translated(SERVICE, reading=True):
        raise error
    with pytest.raises(ModelError), translated(SERVICE, reading=False):
        raise error


def test_what_is_no_error_of_the_sdk_passes_through() -> None:
    with pytest.raises(KeyError), translated(SERVICE, reading=True):
        raise KeyError
