"""From what the operator writes after ``-m`` to a model.

Owns the list of providers, the default model, which environment variable and which part of the
configuration goes to which, and who runs a model: the provider itself, a cloud, or somebody behind
another base URL. The same name costs and can do different things with each of them. Environment and
configuration come as arguments, from the CLI. A provider's SDK is imported when it is asked for:
the import alone takes most of a second.

A key of the configuration goes where the configuration says, or to the public service, and nowhere
else: where the environment names another base URL, the environment's own key counts.

To add a provider, as ``openai:NAME`` was added (another API of the same SDK is one
`agent.models.openai.wire_api.WireApi`, as ``responses:NAME``):

1. Its ``client`` is the only module that imports the SDK. Its class is an
   `agent.models.service.ServiceModel` that gets every credential through its constructor, and turns
   the SDK's own retries off.
2. Its ``errors`` is an `agent.models.service_errors.ErrorMap`; a test proves it complete over the
   SDK's classes.
3. Its ``request`` and ``stream`` are pure. A history is append-only: what was sent once is sent the
   same again, blocks of other providers are left out, and what only this provider understands is an
   `agent.models.interface.Opaque`. A reply exists only where the provider said that it is complete;
   a call whose arguments are no JSON object, or which was cut off, carries a ``problem``.
4. What its models cost and hold goes into ``prices.yaml``, with source and date, or stays unknown.
5. It gets a line in the tables of this module and in the help of ``--model``, and a stand-in and a
   line in ``tests/fakes/services.py``: by that each suite of what holds of all runs on it.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from agent.config.values import AnthropicApi, Bedrock, Configuration, OpenAIService, Vertex
from agent.errors import ModelAuth, UsageError, extra_missing
from agent.models.interface import Model, StreamEvent

if TYPE_CHECKING:
    from agent.models.listing import OfferedModel
    from agent.models.openai.wire_api import WireApi
    from agent.models.service import ServiceModel

_PUBLIC_HOSTS: Final = {
    "anthropic": "api.anthropic.com",
    "openai": "api.openai.com",
    "responses": "api.openai.com",
}
_URL_VARIABLES: Final = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "responses": "OPENAI_BASE_URL",
}

DEFAULT_MODEL: Final = "anthropic:claude-opus-5-5"
"""Source: listed in the SDK's ``types/model_param.py`` and used in its README (anthropic 2.11.0);
the API's models overview (October 2026) calls it the current Opus, for long-running coding."""

DEFAULT_MAX_TOKENS: Final = 32_000
"""For `agent.models.interface.Request.max_tokens`. It bounds thinking and text together, and leaves
space for both and for a large file in one call. Source: the API's models overview (October 2026):
the smallest output limit of the models that the SDK lists is 64,000; this is half of it."""

AWS_REGION: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
GOOGLE_REGION: Final = ("CLOUD_ML_REGION",)
GOOGLE_PROJECT: Final = ("ANTHROPIC_VERTEX_PROJECT_ID",)
_PLACE: Final = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}\Z")


class Host(Enum):
    PROVIDER = "the provider"
    BEDROCK = "Bedrock"
    VERTEX = "Vertex AI"
    GATEWAY = "another base URL"
    """Whoever stands there may bill as it likes."""

    @property
    def is_cloud(self) -> bool:
        return self in {Host.BEDROCK, Host.VERTEX}


def host_of(model: str, *, environ: Mapping[str, str], configuration: Configuration) -> Host:
    """Who runs the model ``PROVIDER:NAME``."""
    provider = model.partition(":")[0]
    if provider not in _PUBLIC_HOSTS:
        return Host.PROVIDER
    service = configuration.anthropic if provider == "anthropic" else configuration.openai
    match service:
        case Bedrock():
            return Host.BEDROCK
        case Vertex():
            return Host.VERTEX
    url = environ.get(_URL_VARIABLES[provider]) or service.base_url
    return Host.PROVIDER if url is None or is_of(url, _PUBLIC_HOSTS[provider]) else Host.GATEWAY


def is_of(url: str, domain: str) -> bool:
    """Whether a URL is of that domain, or of a region of it."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host == domain or host.endswith(f".{domain}")


def open_model(spec: str, *, environ: Mapping[str, str], configuration: Configuration) -> Model:
    """Open ``PROVIDER:NAME``. Connects to nothing yet.

    Raises:
        UsageError: no such provider, no name after it, or a script that can't be read.
        ModelAuth: the provider needs a credential that ``environ`` does not hold.
    """
    provider, _, name = spec.partition(":")
    opener = _OPENERS.get(provider)
    if opener is None or not name.strip():
        raise UsageError(_not_a_model(spec, provider))
    return opener(name.strip(), environ, configuration)


def providers() -> tuple[str, ...]:
    """The forms that ``-m`` takes."""
    return tuple(f"{provider}:{_noun(provider)}" for provider in _OPENERS)


def offered(
    provider: str,
    *,
    environ: Mapping[str, str],
    configuration: Configuration,
    on_event: Callable[[StreamEvent], None],
) -> "tuple[OfferedModel, ...]":
    """The models that a provider's service lists. ``on_event`` hears of retries.

    Raises:
        UsageError: no such provider, or its service has no list.
        ModelError: as for a run.
    """
    if provider == "script":
        return ()
    opener = _SERVICES.get(provider)
    if opener is None:
        known = " or ".join(_OPENERS)
        from policies.suggestion import did_you_mean  # noqa: PLC0415 - for a mistake only

        near = did_you_mean(provider, _OPENERS)
        raise UsageError(f"{provider!r} is not a provider: write {known}{near}")
    return opener("", environ, configuration).offered(on_event)


def credential(environ: Mapping[str, str], configured: str | None, usual: str) -> str | None:
    """What the configured variable holds, or the usual one where none is configured.

    Raises:
        ModelAuth: the configured one holds nothing. The usual one was not meant, so is not sent.
    """
    if configured is None:
        return environ.get(usual)
    if not environ.get(configured):
        raise ModelAuth(f"{configured} is not set, and config.yaml says that it holds the key")
    return environ[configured]


def _anthropic(
    name: str, environ: Mapping[str, str], configuration: Configuration
) -> "ServiceModel":
    from agent.models.anthropic.client import AnthropicModel  # noqa: PLC0415 - see the module's docstring

    match configuration.anthropic:
        case AnthropicApi() as service:
            return _anthropic_api(name, environ, service)
        case Bedrock(region=region, base_url=base_url):
            return AnthropicModel.open_bedrock(
                name,
                region=_place("bedrock", "region", region, environ, AWS_REGION),
                api_key=environ.get("AWS_BEARER_TOKEN_BEDROCK"),
                base_url=environ.get("ANTHROPIC_BEDROCK_BASE_URL") or base_url,
            )
        case Vertex(project=project, region=region, base_url=base_url):
            return AnthropicModel.open_vertex(
                name,
                project=_place("vertex", "project", project, environ, GOOGLE_PROJECT),
                region=_place("vertex", "region", region, environ, GOOGLE_REGION),
                base_url=environ.get("ANTHROPIC_VERTEX_BASE_URL") or base_url,
            )


def _anthropic_api(name: str, environ: Mapping[str, str], service: AnthropicApi) -> "ServiceModel":
    from agent.models.anthropic.client import AnthropicModel  # noqa: PLC0415 - see the module's docstring

    elsewhere = environ.get("ANTHROPIC_BASE_URL")
    if elsewhere and elsewhere != service.base_url:
        service = AnthropicApi(base_url=elsewhere)
    key = token = None
    if service.auth_token_env is None:
        key = credential(environ, service.api_key_env, "ANTHROPIC_API_KEY")
    if service.api_key_env is None:
        token = credential(environ, service.auth_token_env, "ANTHROPIC_AUTH_TOKEN")
    return AnthropicModel.open(
        name,
        api_key=key,
        auth_token=token,
        base_url=service.base_url,
        credential_name=service.api_key_env or service.auth_token_env or "",
    )


def _place(
    service: str,
    key: str,
    configured: str | None,
    environ: Mapping[str, str],
    variables: tuple[str, ...],
) -> str:
    """A region or project. The configuration counts first: it says where the code may go, and the
    cloud's variables are set for other work too.

    Raises:
        UsageError: nothing names it, or what does is not a name.
    """
    given = (environ[name] for name in variables if environ.get(name))
    place = configured or next(given, None)
    if place is None:
        raise UsageError(
            f"{service} needs a {key}: write providers.anthropic.{key} in config.yaml, or set "
            f"{variables[0]}"
        )
    if not _PLACE.match(place):
        # It becomes part of a host name or of a path.
        raise UsageError(f"{place!r} is not the name of a {key} ({' or '.join(variables)})")
    return place


def _openai(name: str, environ: Mapping[str, str], configuration: Configuration) -> "ServiceModel":
    from agent.models.openai.chat import CHAT  # noqa: PLC0415 - see the module's docstring

    return _openai_service(name, CHAT, environ, configuration.openai)


def _responses(
    name: str, environ: Mapping[str, str], configuration: Configuration
) -> "ServiceModel":
    from agent.models.openai.responses.api import RESPONSES  # noqa: PLC0415 - as above

    return _openai_service(name, RESPONSES, environ, configuration.openai)


def _openai_service(
    name: str, api: "WireApi", environ: Mapping[str, str], service: OpenAIService
) -> "ServiceModel":
    """One service, one key, whichever of its two APIs is spoken."""
    try:
        from agent.models.openai.client import OpenAIModel  # noqa: PLC0415 - as above, and an extra
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        what = f"{api.provider}:NAME needs the openai package"
        raise extra_missing(what, "openai") from error
    elsewhere = environ.get("OPENAI_BASE_URL")
    if elsewhere and elsewhere != service.base_url:
        service = OpenAIService(base_url=elsewhere)
    return OpenAIModel.open(
        name,
        api=api,
        api_key=credential(environ, service.api_key_env, "OPENAI_API_KEY"),
        base_url=service.base_url,
        credential_name=service.api_key_env or "",
    )


def _script(name: str, environ: Mapping[str, str], configuration: Configuration) -> Model:  # noqa: ARG001 - one signature for all
    from agent.models.script import ScriptModel  # noqa: PLC0415 - as above: pydantic and YAML

    return ScriptModel.open(name)


_SERVICES: Final[
    Mapping[str, Callable[[str, Mapping[str, str], Configuration], "ServiceModel"]]
] = {"anthropic": _anthropic, "openai": _openai, "responses": _responses}

_OPENERS: Final[Mapping[str, Callable[[str, Mapping[str, str], Configuration], Model]]] = {
    **_SERVICES,
    "script": _script,
}


def _noun(provider: str) -> str:
    return "NAME" if provider in _SERVICES else "FILE"


def _not_a_model(spec: str, provider: str) -> str:
    *others, last = providers()
    known = f"{', '.join(others)} or {last}"
    if provider in _OPENERS:
        return f"{spec!r} names no model: write {provider}:{_noun(provider)}"
    if ":" not in spec and spec.startswith("claude"):
        return f"{spec!r} has no provider: write anthropic:{spec}"
    return f"{spec!r} is not a model: write {known}{_meant(spec, provider)}"


def _meant(spec: str, provider: str) -> str:
    """A provider that is spelled wrong, or a name that one of ours has."""
    from policies.suggestion import did_you_mean, nearest  # noqa: PLC0415 - for a mistake only

    if ":" in spec:
        return did_you_mean(provider, (f"{known}:" for known in _OPENERS))
    from agent.models.pricing import listed_models  # noqa: PLC0415 - for a mistake only

    by_name = {model.partition(":")[2]: model for model in listed_models()}
    near = nearest(spec, by_name)
    return f"; did you mean `{by_name[near[0]]}`?" if near else ""
