"""The map of each SDK's errors is complete, and what all of them come to is the same."""

import builtins
import pkgutil
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import anthropic
import anthropic._exceptions
import anthropic.lib.credentials
import httpx2
import openai
import openai._exceptions
import pytest
from anthropic import _error_classes

from agent.errors import ModelError, ModelRefusedRequest, ModelUnavailable
from agent.models.anthropic import errors as anthropic_errors
from agent.models.http_errors import FailureKind, ServiceWords
from agent.models.openai import errors as openai_errors
from agent.models.retrying import TransientError
from agent.models.service_errors import ErrorMap

WORDS = ServiceWords(
    model="a-model",
    base_url="https://api.example.org",
    key="sk-very-secret",
    credential="SOME_API_KEY",
)
REQUEST = httpx2.Request("POST", "https://api.example.org/v1/messages")


@dataclass(frozen=True, kw_only=True)
class Sdk:
    name: str
    module: ModuleType
    exceptions: ModuleType
    errors: ErrorMap
    by_class: dict[type[BaseException], FailureKind]
    general: set[type[BaseException]]
    """Classes that say nothing of what went wrong."""
    parts: tuple[str, ...]
    """Packages that define errors which the SDK does not export."""
    least_errors: int
    status_error: Callable[[int, dict[str, Any]], Exception]

    def __str__(self) -> str:
        return self.name

    def wrapped(self, cause: BaseException) -> Exception:
        error: Exception = self.module.APIConnectionError(request=REQUEST)
        error.__cause__ = httpx2.ConnectError("no")
        error.__cause__.__cause__ = cause
        return error

    def kind(self, error: BaseException) -> FailureKind:
        return self.errors.kind(error)

    def translate(self, error: BaseException) -> ModelError | TransientError:
        return self.errors.translate(error, WORDS)


def _of_anthropic(status: int, error: dict[str, Any]) -> Exception:
    body = {"type": "error", "error": {"message": "m", **error}}
    response = httpx2.Response(status, request=REQUEST)
    return _error_classes.make_status_error("m", body=body, response=response)


CLIENT = openai.OpenAI(api_key="k", base_url=WORDS.base_url, max_retries=0)


def _of_openai(status: int, error: dict[str, Any]) -> Exception:
    headers = {"content-type": "application/json"}
    response = httpx2.Response(status, request=REQUEST, headers=headers)
    return CLIENT._make_status_error("m", body={"error": error}, response=response)


ANTHROPIC = Sdk(
    name="anthropic",
    module=anthropic,
    exceptions=anthropic._exceptions,
    errors=anthropic_errors.ERRORS,
    by_class=dict(anthropic_errors.BY_CLASS),
    general={anthropic.AnthropicError, anthropic.APIError},
    parts=("anthropic.types", "anthropic.lib", "anthropic.lib.credentials"),
    least_errors=50,
    status_error=_of_anthropic,
)
OPENAI = Sdk(
    name="openai",
    module=openai,
    exceptions=openai._exceptions,
    errors=openai_errors.ERRORS,
    by_class=dict(openai_errors.BY_CLASS),
    general={openai.APIError},
    parts=("openai.auth",),
    least_errors=20,
    status_error=_of_openai,
)


@pytest.fixture(params=[ANTHROPIC, OPENAI], ids=str)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    found = request.param
    assert isinstance(found, Sdk)
    return found


def defined_in(module: ModuleType) -> list[type[BaseException]]:
    # Not by `isinstance`, which makes an SDK load what stands there by proxy.
    classes = {value for value in list(vars(module).values()) if issubclass(type(value), type)}
    return sorted(
        (kind for kind in classes if issubclass(kind, BaseException)),
        key=lambda kind: kind.__name__,
    )


def descendants(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def test_each_class_of_the_sdks_error_module_has_its_own_row_or_a_status(sdk: Sdk) -> None:
    # The SDK gives those that it exports its own name.
    own = [kind for kind in defined_in(sdk.exceptions) if kind.__module__.startswith(sdk.name)]
    assert len(own) > 15
    by_status = sdk.module.APIStatusError
    rest = [kind for kind in own if kind not in sdk.by_class]
    assert [kind.__name__ for kind in rest if not issubclass(kind, by_status)] == []


def test_each_error_class_the_sdk_exports_has_a_row_or_a_parent_that_speaks_for_it(
    sdk: Sdk,
) -> None:
    for kind in defined_in(sdk.module):
        if kind in sdk.by_class or kind.__module__ == builtins.__name__:
            continue
        if issubclass(kind, sdk.module.APIStatusError):
            continue  # its status says it
        nearest = next(parent for parent in kind.__mro__ if parent in sdk.by_class)
        assert nearest not in sdk.general, kind


def test_each_error_class_anywhere_in_the_sdk_has_a_kind(sdk: Sdk) -> None:
    for name in sdk.parts:
        package = import_module(name)
        for module in pkgutil.iter_modules(package.__path__, f"{name}."):
            if name != "anthropic.types" or module.name.endswith("_error"):
                import_module(module.name)
    found = set(descendants(sdk.errors.sdk))
    assert len(found) > sdk.least_errors
    for kind in found:
        assert any(parent in sdk.by_class for parent in kind.__mro__), kind


def test_each_error_of_the_http_client_becomes_ours(sdk: Sdk) -> None:
    for kind in defined_in(httpx2):
        assert any(parent in sdk.by_class for parent in kind.__mro__), kind


def test_each_status_code_becomes_ours(sdk: Sdk) -> None:
    for status in range(300, 600):
        mapped = sdk.translate(sdk.status_error(status, {}))
        assert isinstance(mapped, ModelError | TransientError), status
        passing = status >= 500 and status not in {501, 505}
        assert passing <= isinstance(mapped, TransientError), f"{status} may pass"


def test_a_key_that_the_service_says_back_is_not_shown(sdk: Sdk) -> None:
    mapped = sdk.translate(sdk.status_error(401, {"message": f"Bad key: {WORDS.key}"}))
    assert WORDS.key not in str(mapped)
    assert "(the key)" in str(mapped)
    assert WORDS.key not in repr(WORDS)


def test_a_certificate_that_is_not_accepted_is_not_tried_again(sdk: Sdk) -> None:
    mapped = sdk.translate(sdk.wrapped(ssl.SSLCertVerificationError("self-signed certificate")))
    assert isinstance(mapped, ModelUnavailable)
    assert "self-signed certificate" in str(mapped)


def test_a_header_that_cannot_be_sent_is_not_shown(sdk: Sdk) -> None:
    error = sdk.module.APIConnectionError(request=REQUEST)
    error.__cause__ = httpx2.LocalProtocolError("Illegal header value b'Bearer sk-secret '")
    mapped = sdk.translate(error)
    assert isinstance(mapped, ModelRefusedRequest)
    assert "sk-secret" not in str(mapped)


def test_a_name_that_does_not_resolve_may_pass(sdk: Sdk) -> None:
    assert sdk.kind(sdk.wrapped(OSError("Name or service not known"))) is FailureKind.RETRY


def test_a_cause_that_causes_itself_does_not_hang(sdk: Sdk) -> None:
    first, second = OSError("one"), OSError("two")
    first.__context__, second.__context__ = second, first
    assert isinstance(sdk.translate(sdk.wrapped(first)), TransientError)


@pytest.mark.parametrize("error", [ValueError("no"), TypeError("no"), RecursionError("no")])
def test_what_cannot_be_decoded_is_a_broken_stream_only_once_it_began(
    sdk: Sdk, error: Exception
) -> None:
    with pytest.raises(TransientError), sdk.errors.translated(WORDS, reading=True):
        raise error
    with pytest.raises(ModelError), sdk.errors.translated(WORDS, reading=False):
        raise error


def test_what_is_no_error_of_the_sdk_passes_through(sdk: Sdk) -> None:
    with pytest.raises(KeyError), sdk.errors.translated(WORDS, reading=True):
        raise KeyError
