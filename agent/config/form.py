"""The keys that ``config.yaml`` may have, and what each may hold.

Owns the form as pydantic reads it. Refuses to know where a complaint about it is shown
(`agent.config.file`) and what the values are for.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import pydantic

from policies.file.document import KeyPath
from policies.file.fields import Size, StrictModel


def _url(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or set(text) & set(" \\\"'<>"):
        raise ValueError("holds a character that no URL has")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not the URL of a service: write it as https://HOST")
    if "@" in parts.netloc:
        raise ValueError("holds credentials: take them out; a key is named by its variable")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("has a query or a fragment: only https://HOST/PATH can be used")
    try:
        none = parts.port == 0
    except ValueError:
        none = True
    if none:
        raise ValueError("has a port that is none")
    return text


def _plain(text: str) -> str:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise ValueError("is empty, or holds characters that can't be seen")
    return text


_Url = Annotated[str, pydantic.AfterValidator(_url)]
_Plain = Annotated[str, pydantic.AfterValidator(_plain)]
_Variable = Annotated[str, pydantic.Field(pattern=r"^[A-Z_][A-Z0-9_]{0,127}$")]
# They become part of a host name or of a path.
_Region = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_Project = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9.:-]{0,99}$")]


class AnthropicForm(StrictModel):
    service: Literal["api", "bedrock", "vertex"] = "api"
    base_url: _Url | None = None
    api_key_env: _Variable | None = None
    auth_token_env: _Variable | None = None
    region: _Region | None = None
    project: _Project | None = None


class OpenAIForm(StrictModel):
    base_url: _Url | None = None
    api_key_env: _Variable | None = None


class ProvidersForm(StrictModel):
    anthropic: AnthropicForm = pydantic.Field(default_factory=AnthropicForm)
    openai: OpenAIForm = pydantic.Field(default_factory=OpenAIForm)


class TelemetryForm(StrictModel):
    otlp_endpoint: _Url
    headers_env: _Variable | None = None


class ConfigForm(StrictModel):
    version: Literal[1]
    model: _Plain | None = None
    policy: _Plain | None = None
    providers: ProvidersForm = pydantic.Field(default_factory=ProvidersForm)
    prices: _Plain | None = None
    instructions: _Plain | None = None
    skills: _Plain | None = None
    context_files: bool = True
    max_output_tokens: Annotated[int, pydantic.Field(ge=256, le=1_000_000)] | None = None
    tool_form: Literal["auto", "native", "text"] | None = None
    cache_budget: Size | None = None
    telemetry: TelemetryForm | None = None


SECTIONS: Final[Mapping[KeyPath, type[pydantic.BaseModel]]] = {
    (): ConfigForm,
    ("providers",): ProvidersForm,
    ("providers", "anthropic"): AnthropicForm,
    ("providers", "openai"): OpenAIForm,
    ("telemetry",): TelemetryForm,
}

KEYS_OF_SERVICE: Final = {
    "api": {"api_key_env", "auth_token_env"},
    "bedrock": {"region"},
    "vertex": {"region", "project"},
}
"""The keys of ``providers.anthropic`` that only some services have."""
