"""From what the operator writes after ``-m`` to a model.

Owns the list of providers, the default model, and which environment variable goes to which. The
environment comes as an argument, from the CLI. A provider's SDK is imported when it is asked for:
the import alone takes most of a second.
"""

from collections.abc import Callable, Mapping
from typing import Final

from agent.errors import UsageError
from agent.messages import Model

DEFAULT_MODEL: Final = "anthropic:claude-opus-5-5"
"""Source: listed in the SDK's ``types/model_param.py`` and used in its README (anthropic 2.11.0);
the API's models overview (October 2026) calls it the current Opus, for long-running coding."""

DEFAULT_MAX_TOKENS: Final = 32_000
"""For `agent.messages.Request.max_tokens`. Source: the API's models overview (October 2026): the
smallest output limit of the models that the SDK lists is 64,000. It bounds thinking and text
together; half of the smallest limit leaves room for both and for a large file in one call."""


def open_model(spec: str, *, environ: Mapping[str, str]) -> Model:
    """Open ``PROVIDER:NAME``. Connects to nothing yet.

    Raises:
        UsageError: no such provider, no name after it, or a script that can't be read.
        ModelAuth: the provider needs a credential that ``environ`` does not hold.
    """
    provider, _, name = spec.partition(":")
    opener = _OPENERS.get(provider)
    if opener is None or not name.strip():
        raise UsageError(_not_a_model(spec, provider))
    return opener(name.strip(), environ)


def providers() -> tuple[str, ...]:
    """The forms that ``-m`` takes."""
    return tuple(f"{provider}:{_NOUNS[provider]}" for provider in _OPENERS)


def _anthropic(name: str, environ: Mapping[str, str]) -> Model:
    from agent.models.anthropic import AnthropicModel  # noqa: PLC0415 - see the module's docstring

    return AnthropicModel.open(
        name,
        api_key=environ.get("ANTHROPIC_API_KEY"),
        auth_token=environ.get("ANTHROPIC_AUTH_TOKEN"),
        base_url=environ.get("ANTHROPIC_BASE_URL"),
    )


def _openai(name: str, environ: Mapping[str, str]) -> Model:
    try:
        from agent.models.openai import OpenAIModel  # noqa: PLC0415 - as above, and an extra
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise UsageError(
            "openai:NAME needs the openai package: pip install 'moonpool[openai]'"
        ) from error
    return OpenAIModel.open(
        name, api_key=environ.get("OPENAI_API_KEY"), base_url=environ.get("OPENAI_BASE_URL")
    )


def _script(name: str, environ: Mapping[str, str]) -> Model:  # noqa: ARG001 - one signature for all
    from agent.models.script import ScriptModel  # noqa: PLC0415 - as above: pydantic and YAML

    return ScriptModel.open(name)


_OPENERS: Final[Mapping[str, Callable[[str, Mapping[str, str]], Model]]] = {
    "anthropic": _anthropic,
    "openai": _openai,
    "script": _script,
}

_NOUNS: Final = {"anthropic": "NAME", "openai": "NAME", "script": "FILE"}


def _not_a_model(spec: str, provider: str) -> str:
    *others, last = providers()
    known = f"{', '.join(others)} or {last}"
    if provider in _OPENERS:
        return f"{spec!r} names no model: write {provider}:{_NOUNS[provider]}"
    if ":" not in spec and spec.startswith("claude"):
        return f"{spec!r} has no provider: write anthropic:{spec}"
    return f"{spec!r} is not a model: write {known}"
