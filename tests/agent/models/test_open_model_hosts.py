"""Who runs a model: by the configuration, and by a base URL in the environment."""

import pytest

from agent.config.values import AnthropicApi, Bedrock, Configuration, OpenAIService, Vertex
from agent.models.open_model import Host, host_of

CLAUDE = "anthropic:claude-opus-5-5"
LOCAL = "http://localhost:11434/v1"


@pytest.mark.parametrize(
    ("model", "configuration", "environ", "host"),
    [
        (CLAUDE, Configuration(), {}, Host.PROVIDER),
        (
            CLAUDE,
            Configuration(anthropic=AnthropicApi(base_url="https://api.anthropic.com")),
            {},
            Host.PROVIDER,
        ),
        (
            CLAUDE,
            Configuration(anthropic=AnthropicApi(base_url="https://llm.example")),
            {},
            Host.GATEWAY,
        ),
        (CLAUDE, Configuration(), {"ANTHROPIC_BASE_URL": LOCAL}, Host.GATEWAY),
        (CLAUDE, Configuration(), {"ANTHROPIC_BASE_URL": ""}, Host.PROVIDER),
        (CLAUDE, Configuration(anthropic=Bedrock()), {"ANTHROPIC_BASE_URL": LOCAL}, Host.BEDROCK),
        (CLAUDE, Configuration(anthropic=Vertex()), {}, Host.VERTEX),
        ("openai:gpt-4o", Configuration(anthropic=Vertex()), {}, Host.PROVIDER),
        ("openai:gpt-4o", Configuration(), {"OPENAI_BASE_URL": LOCAL}, Host.GATEWAY),
        ("openai:x", Configuration(openai=OpenAIService(base_url=LOCAL)), {}, Host.GATEWAY),
        (
            "openai:x",
            Configuration(),
            {"OPENAI_BASE_URL": "https://eu.api.openai.com/v1"},
            Host.PROVIDER,
        ),
        (
            "openai:x",
            Configuration(),
            {"OPENAI_BASE_URL": "https://evilapi.openai.com"},
            Host.GATEWAY,
        ),
        (
            CLAUDE,
            Configuration(),
            {"ANTHROPIC_BASE_URL": "https://api.anthropic.com.evil.example"},
            Host.GATEWAY,
        ),
        (CLAUDE, Configuration(), {"ANTHROPIC_BASE_URL": "http://[::1"}, Host.GATEWAY),
        ("script:a.yaml", Configuration(anthropic=Bedrock()), {}, Host.PROVIDER),
        ("", Configuration(), {}, Host.PROVIDER),
    ],
)
def test_it_is_known_before_anything_is_asked(
    model: str, configuration: Configuration, environ: dict[str, str], host: Host
) -> None:
    assert host_of(model, environ=environ, configuration=configuration) is host
