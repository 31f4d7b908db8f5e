"""From what the operator writes after -m to a model."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS
from anthropic.types.model_param import ModelParam

from agent.config.values import Configuration
from agent.errors import ModelAuth, UsageError
from agent.models.interface import Request
from agent.models.open_model import DEFAULT_MAX_TOKENS, DEFAULT_MODEL, open_model, providers
from fakes.providers import user
from standins.anthropic.server import StandIn
from standins.exchange.replies import answer
from standins.openai.server import StandInOpenAI


def test_the_environment_given_says_where_and_with_which_key(api: StandIn) -> None:
    environ = {"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.url}
    model = open_model(DEFAULT_MODEL, environ=environ, configuration=Configuration())
    api.queue(answer("Hello."))
    request = Request(system="s", tools=(), messages=(user("Hi."),), max_tokens=DEFAULT_MAX_TOKENS)
    assert model.reply(request, lambda event: None).attempts == 1
    assert model.name == DEFAULT_MODEL


def test_an_openai_compatible_service_is_one_by_its_base_url(openai_api: StandInOpenAI) -> None:
    environ = {"OPENAI_API_KEY": openai_api.key, "OPENAI_BASE_URL": openai_api.url}
    model = open_model("openai:gpt-4o", environ=environ, configuration=Configuration())
    openai_api.queue(answer("Hello."))
    request = Request(system="s", tools=(), messages=(user("Hi."),), max_tokens=DEFAULT_MAX_TOKENS)
    assert model.reply(request, lambda event: None).attempts == 1
    assert model.name == "openai:gpt-4o"


def test_a_name_may_hold_colons_as_ollamas_do() -> None:
    environ = {"OPENAI_BASE_URL": "http://localhost:11434/v1"}
    model = open_model("openai:qwen3:8b", environ=environ, configuration=Configuration())
    assert model.name == "openai:qwen3:8b"


def test_without_the_openai_package_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from agent.errors import UsageError\n"
        "from agent.models.open_model import open_model\n"
        "from agent.config.values import Configuration\n"
        "try:\n"
        "    environ = {'OPENAI_API_KEY': 'k'}\n"
        "    open_model('openai:gpt-5.4', environ=environ, configuration=Configuration())\n"
        "except UsageError as error:\n"
        "    print(error)"
    )
    command = [sys.executable, "-P", "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (
        told.stdout
        == "openai:NAME needs the openai package: pip install '.[openai]' in Moonpool's checkout\n"
    )


def test_the_default_model_is_one_the_sdk_lists_and_does_not_retire() -> None:
    name = DEFAULT_MODEL.removeprefix("anthropic:")
    assert name in get_args(get_args(ModelParam)[0])
    assert name not in DEPRECATED_MODELS


def test_without_a_key_it_says_so() -> None:
    with pytest.raises(ModelAuth, match="set ANTHROPIC_API_KEY"):
        open_model(DEFAULT_MODEL, environ={}, configuration=Configuration())


def test_without_an_openai_key_it_says_so() -> None:
    with pytest.raises(ModelAuth, match="set OPENAI_API_KEY"):
        open_model("openai:gpt-5.4", environ={}, configuration=Configuration())


def test_a_script_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a:b.yaml"
    path.write_text("version: 1\nturns: [{text: Hi.}]")
    assert (
        open_model(f"script:{path}", environ={}, configuration=Configuration()).name
        == f"script:{path}"
    )


@pytest.mark.parametrize("spec", ["", ":", "gpt", "mistral:large", "Anthropic:x", "script", " "])
def test_an_unknown_provider_is_refused_with_those_that_exist(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_model(spec, environ={}, configuration=Configuration())
    assert any(known.partition(":")[0] in str(caught.value) for known in providers())


@pytest.mark.parametrize("spec", ["anthropic:", "openai:", "script:", "anthropic:  "])
def test_a_provider_without_a_name_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="names no model: write"):
        open_model(spec, environ={}, configuration=Configuration())


def test_a_model_without_its_provider_gets_the_right_spelling() -> None:
    with pytest.raises(UsageError, match="write anthropic:claude-opus-5-5"):
        open_model("claude-opus-5-5", environ={}, configuration=Configuration())


def test_the_sdk_is_not_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, agent.models.open_model as r; from agent.config.values import Configuration;"
        "r.open_model('script:' + sys.argv[1], environ={}, configuration=Configuration()); "
        "print([m for m in ('anthropic', 'httpx2', 'openai') if m in sys.modules])"
    )
    script = Path(__file__).parent / "hello.yaml"
    command = [sys.executable, "-P", "-c", code, str(script)]
    answer_ = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert answer_.stdout.strip() == "[]"


IMPORTED = """
import sys
from agent.config.values import Configuration
from agent.models.open_model import open_model
environ = {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}
open_model(sys.argv[1], environ=environ, configuration=Configuration())
print("\\n".join(sys.modules))
"""


@pytest.mark.parametrize(
    ("spec", "never"),
    [
        ("script", ("anthropic", "openai", "agent.models.anthropic", "agent.models.openai")),
        ("anthropic:claude-opus-5-5", ("openai", "agent.models.openai")),
        ("openai:gpt-5.4", ("anthropic", "agent.models.openai.responses")),
        ("responses:gpt-5.4", ("anthropic", "agent.models.openai.chat", "agent.models.anthropic")),
    ],
)
def test_a_model_imports_nothing_of_the_others(spec: str, never: tuple[str, ...]) -> None:
    if spec == "script":
        spec = f"script:{Path(__file__).parent / 'hello.yaml'}"
    command = [sys.executable, "-P", "-c", IMPORTED, spec]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    loaded = told.stdout.split()
    assert "agent.models.open_model" in loaded
    found = [name for name in loaded if any(f"{name}.".startswith(f"{each}.") for each in never)]
    assert found == []
