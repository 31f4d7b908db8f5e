"""What an operator wrote down once for every run: the values of ``config.yaml``, and no more.

Owns their names and what counts where nothing is said. Refuses to know how the file reads
(`agent.config.file`), where it lies and what a flag or the environment says instead (the CLI), and
any secret: a key is named by the environment variable that holds it.
"""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicApi:
    """Anthropic's own API, or a gateway that speaks it."""

    base_url: str | None = None
    """None: ``ANTHROPIC_BASE_URL``, or the public one."""
    api_key_env: str | None = None
    """The variable that holds the key; None: ``ANTHROPIC_API_KEY``."""
    auth_token_env: str | None = None
    """The variable that holds a bearer token instead; None: ``ANTHROPIC_AUTH_TOKEN``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bedrock:
    """Claude on Amazon Bedrock, with the credentials that the AWS SDK finds."""

    base_url: str | None = None
    region: str | None = None
    """None: ``AWS_REGION`` or ``AWS_DEFAULT_REGION``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """Claude on Google's Vertex AI, with the application default credentials."""

    base_url: str | None = None
    project: str | None = None
    """None: ``ANTHROPIC_VERTEX_PROJECT_ID``."""
    region: str | None = None
    """None: ``CLOUD_ML_REGION``."""


AnthropicService = AnthropicApi | Bedrock | Vertex


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIService:
    """A service that speaks OpenAI's API."""

    base_url: str | None = None
    """None: ``OPENAI_BASE_URL``, or the public one."""
    api_key_env: str | None = None
    """The variable that holds the key; None: ``OPENAI_API_KEY``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """Where spans go. Nothing goes anywhere unless this is configured."""

    otlp_endpoint: str
    """The base URL of an OTLP/HTTP collector."""
    headers_env: str | None = None
    """The variable that holds ``name=value,…``, where the collector asks for a header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything is optional. A flag, and where it says so the environment, count before it."""

    file: Path | None = None
    """None: there is no file."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where in the file each key stands, by its path: ``providers.anthropic.region``."""
    model: str | None = None
    """For ``-m``; a script's path is absolute."""
    policy: str | None = None
    """For ``-p``: a name, or an absolute path."""
    anthropic: AnthropicService = field(default_factory=AnthropicApi)
    openai: OpenAIService = field(default_factory=OpenAIService)
    prices: Path | None = None
    """A file of prices. Absolute, as every path here."""
    instructions: Path | None = None
    """A file of the operator's own instructions to the model."""
    skills: Path | None = None
    """The folder of their skills; None: ``skills`` in the configuration directory."""
    context_files: bool = True
    """Are files such as AGENTS.md in the workspace shown to the model?"""
    max_output_tokens: int | None = None
    """The most tokens that one reply is asked for; None: 32,000, or fewer where the model gives
    fewer. It only lowers that."""
    tool_form: Literal["auto", "native", "text"] | None = None
    """How a model is offered tools (`agent.models.interface.ToolForm`); None: ``auto``."""
    cache_budget_bytes: int | None = None
    """For all that the engine keeps of ours and that can be made again; None: 20 GiB."""
    telemetry: TelemetryConfig | None = None

    def paths(self) -> Mapping[str, Path]:
        """The files it names, by key."""
        provider, _, name = (self.model or "").partition(":")
        named = {
            "model": Path(name) if provider == "script" else None,
            "policy": Path(self.policy) if self.policy and "/" in self.policy else None,
            "prices": self.prices,
            "instructions": self.instructions,
            "skills": self.skills,
        }
        return {key: path for key, path in named.items() if path is not None}

    def secret_variables(self) -> tuple[str, ...]:
        """Environment variables whose values must never be written or shown."""
        named: list[str | None] = [self.openai.api_key_env]
        if isinstance(self.anthropic, AnthropicApi):
            named += [self.anthropic.api_key_env, self.anthropic.auth_token_env]
        if self.telemetry is not None:
            named.append(self.telemetry.headers_env)
        return tuple(name for name in named if name is not None)
