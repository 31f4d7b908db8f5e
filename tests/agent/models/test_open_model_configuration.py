"""Which key goes where: the configuration, the environment, and both at once."""

from collections.abc import Iterator

import pytest

from agent.config.values import AnthropicApi, Configuration, OpenAIService
from agent.errors import ModelAuth, ModelError, UsageError
from agent.models.interface import Request
from agent.models.open_model import offered, open_model
from fakes.providers import user
from standins.anthropic.server import StandIn
from standins.exchange.replies import answer
from standins.openai.server import StandInOpenAI

REQUEST = Request(system="s", tools=(), messages=(user("Hi."),), max_tokens=100)


@pytest.fixture
def other() -> Iterator[StandIn]:
    with StandIn(key="another-key-5678") as standin:
        yield standin


def ask(service: AnthropicApi, **environ: str) -> None:
    configuration = Configuration(anthropic=service)
    model = open_model("anthropic:claude-opus-5-5", environ=environ, configuration=configuration)
    model.reply(REQUEST, lambda _: None)


def keys(api: StandIn) -> list[str]:
    """What each request was sent with, in whichever header."""
    names = ("x-api-key", "authorization")
    return [
        sent.headers[name].removeprefix("Bearer ")
        for sent in api.requests
        for name in names
        if name in sent.headers
    ]


def test_the_configured_key_goes_to_the_configured_service(api: StandIn) -> None:
    api.queue(answer("Hi."))
    service = AnthropicApi(base_url=api.url, api_key_env="GATEWAY_KEY")
    ask(service, GATEWAY_KEY=api.key, ANTHROPIC_API_KEY="not-this-one")
    assert keys(api) == [api.key]


def test_a_configured_token_goes_as_one_and_no_key_with_it(api: StandIn) -> None:
    api.queue(answer("Hi."))
    service = AnthropicApi(base_url=api.url, auth_token_env="TEAM_TOKEN")
    ask(service, TEAM_TOKEN=api.key, ANTHROPIC_API_KEY="not-this-one")
    assert keys(api) == [api.key]


def test_the_environment_s_service_counts_before_the_configured_one(
    api: StandIn, other: StandIn
) -> None:
    other.queue(answer("Hi."))
    ask(AnthropicApi(base_url=api.url), ANTHROPIC_BASE_URL=other.url, ANTHROPIC_API_KEY=other.key)
    assert (len(api.requests), len(other.requests)) == (0, 1)


def test_a_configured_key_never_goes_where_the_environment_says(
    api: StandIn, other: StandIn
) -> None:
    service = AnthropicApi(base_url=api.url, api_key_env="GATEWAY_KEY")
    with pytest.raises(ModelAuth, match="no API key"):
        ask(service, GATEWAY_KEY=api.key, ANTHROPIC_BASE_URL=other.url)
    other.queue(answer("Hi."))
    ask(
        service,
        GATEWAY_KEY=api.key,
        ANTHROPIC_BASE_URL=other.url,
        ANTHROPIC_API_KEY=other.key,
    )
    assert keys(other) == [other.key]


def test_an_openai_service_and_its_key_come_from_the_configuration(
    openai_api: StandInOpenAI, other: StandIn
) -> None:
    openai_api.queue(answer("Hi."))
    service = OpenAIService(base_url=openai_api.url, api_key_env="LOCAL_KEY")
    environ = {"LOCAL_KEY": openai_api.key, "OPENAI_API_KEY": "not-this-one"}
    configuration = Configuration(openai=service)
    model = open_model("openai:gpt-4o", environ=environ, configuration=configuration)
    model.reply(REQUEST, lambda _: None)
    assert openai_api.requests[0].headers["authorization"] == f"Bearer {openai_api.key}"
    environ = {"LOCAL_KEY": openai_api.key, "OPENAI_BASE_URL": f"{other.url}/v1"}
    model = open_model("openai:gpt-4o", environ=environ, configuration=configuration)
    with pytest.raises(ModelError):
        model.reply(REQUEST, lambda _: None)
    assert openai_api.key not in str(other.requests)


def test_where_both_name_the_same_service_the_configured_key_goes_there(api: StandIn) -> None:
    api.queue(answer("Hi."))
    service = AnthropicApi(base_url=api.url, api_key_env="GATEWAY_KEY")
    ask(service, GATEWAY_KEY=api.key, ANTHROPIC_BASE_URL=api.url)
    assert api.requests[0].fault is None


@pytest.mark.parametrize("spec", ["anthropic:claude-opus-5-5", "openai:x"])
def test_a_configured_variable_that_is_not_set_is_named_and_no_other_key_sent(spec: str) -> None:
    configuration = Configuration(
        anthropic=AnthropicApi(api_key_env="WORK_KEY"), openai=OpenAIService(api_key_env="WORK_KEY")
    )
    environ = {"ANTHROPIC_API_KEY": "k" * 20, "OPENAI_API_KEY": "k" * 20}
    with pytest.raises(ModelAuth, match=r"^WORK_KEY is not set, and config\.yaml says"):
        open_model(spec, environ=environ, configuration=configuration)


def test_a_key_that_is_refused_is_called_by_its_variable(api: StandIn) -> None:
    with pytest.raises(ModelAuth, match="check WORK_KEY for http"):
        ask(AnthropicApi(base_url=api.url, api_key_env="WORK_KEY"), WORK_KEY="wrong-key-1234")


def test_a_key_that_an_openai_service_refuses_is_called_by_its_variable(
    openai_api: StandInOpenAI,
) -> None:
    service = OpenAIService(base_url=openai_api.url, api_key_env="WORK_KEY")
    model = open_model(
        "openai:gpt-4o",
        environ={"WORK_KEY": "wrong-key-1234"},
        configuration=Configuration(openai=service),
    )
    with pytest.raises(ModelAuth, match="check WORK_KEY for http"):
        model.reply(REQUEST, lambda _: None)


def test_an_unknown_provider_has_no_list() -> None:
    known = "anthropic or openai or responses or script"
    with pytest.raises(UsageError, match=f"is not a provider: write {known}"):
        offered("mistral", environ={}, configuration=Configuration(), on_event=lambda _: None)
