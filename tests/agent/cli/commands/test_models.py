"""`moonpool models`, against a service on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line.running import Shell
from standins.anthropic import listing
from standins.anthropic.server import StandIn
from standins.exchange.replies import Page, Refuse
from standins.openai.server import StandInOpenAI


@pytest.fixture
def api(moonpool: Shell) -> Iterator[StandIn]:
    with StandIn() as standin:
        standin.models = [
            listing.model(
                "claude-opus-5-5",
                "Claude Opus 5.5",
                max_input_tokens=1_000_000,
                max_tokens=128_000,
            ),
            listing.model("claude-old", "Claude Old", lifecycle="deprecated"),
        ]
        moonpool.environ |= {"ANTHROPIC_BASE_URL": standin.url, "ANTHROPIC_API_KEY": standin.key}
        yield standin


@pytest.mark.parametrize("provider", [[], ["anthropic"]])
def test_models_are_listed_as_m_takes_them(
    moonpool: Shell, api: StandIn, provider: list[str]
) -> None:
    done = moonpool("models", *provider)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "MODEL NAME READS WRITES",
        "anthropic:claude-opus-5-5 Claude Opus 5.5 1,000,000 128,000",
        "anthropic:claude-old Claude Old deprecated",
    ]


def test_as_json_it_is_one_object_with_all_that_is_known(moonpool: Shell, api: StandIn) -> None:
    api.models[0]["capabilities"] = {"image_input": {"supported": True}}
    found = json.loads(moonpool("models", "--json").stdout)
    assert found["provider"] == "anthropic"
    assert found["models"][0] == {
        "model": "anthropic:claude-opus-5-5",
        "name": "Claude Opus 5.5",
        "context_tokens": 1_000_000,
        "output_tokens": 128_000,
        "capabilities": ["image_input"],
        "lifecycle": "active",
    }


def test_what_a_hostile_service_calls_its_models_is_made_visible(
    moonpool: Shell, api: StandIn
) -> None:
    api.models = [
        listing.model("m\x1b[2J\n", "its id can be no model's"),
        listing.model("[red]evil[/red]", "a\u202eb\r\x07" + "x" * 100_000),
    ]
    done = moonpool("models")
    assert done.returncode == 0
    assert not {"\x1b", "\r", "\x07", "\u202e"} & set(done.stdout)
    assert "[red]evil[/red]" in done.stdout
    assert done.stdout.count("anthropic:") == 1
    assert len(done.stdout) < 5000


def test_errors_are_those_of_a_run(moonpool: Shell, api: StandIn) -> None:
    wrong = moonpool("models", env={"ANTHROPIC_API_KEY": "wrong-key-1234"})
    assert wrong.returncode == 4
    assert wrong.stderr == (
        "moonpool: 401 authentication_error: invalid x-api-key (request req_0001): check "
        f"ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN) for {api.url}\n"
    )
    api.queue(Refuse(402, message="your balance is empty"))
    poor = moonpool("models")
    assert poor.returncode == 4
    assert "check the account's balance" in poor.stderr
    api.queue(Page(200))
    page = moonpool("models")
    assert page.returncode == 4
    assert page.stderr.count("\n") == 1


def test_no_key_and_no_provider_are_told_apart(moonpool: Shell) -> None:
    nothing = moonpool("models")
    assert nothing.returncode == 2
    assert "no model: set ANTHROPIC_API_KEY" in nothing.stderr
    no_key = moonpool("models", "anthropic")
    assert no_key.returncode == 4
    assert "no API key" in no_key.stderr
    unknown = moonpool("models", "mistral")
    assert unknown.returncode == 2
    assert "'mistral' is not a provider" in unknown.stderr


def test_a_compatible_service_is_asked_by_its_configuration(
    moonpool: Shell, tmp_path: Path
) -> None:
    with StandInOpenAI(key="team-key-1234") as gateway:
        gateway.models = [{"id": "qwen3:8b"}, {"id": "big", "context_length": 262_144}]
        file = tmp_path / "config.yaml"
        file.write_text(
            "version: 1\nmodel: openai:big\n"
            f"providers: {{openai: {{base_url: '{gateway.url}', api_key_env: TEAM_KEY}}}}\n"
        )
        environ = {"MOONPOOL_CONFIG": str(file), "TEAM_KEY": gateway.key}
        done = moonpool("models", env=environ)
        gateway.queue(Refuse(402, message="your balance is 0"))
        poor = moonpool("models", "openai", "--json", env=environ)
        other = moonpool("models", "responses", env=environ)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert sorted(lines[1:]) == ["openai:big 262,144", "openai:qwen3:8b"]
    assert (poor.returncode, poor.stdout) == (4, "")
    assert "your balance is 0" in poor.stderr
    lines = [" ".join(line.split()) for line in other.stdout.splitlines()]
    assert sorted(lines[1:]) == ["responses:big 262,144", "responses:qwen3:8b"]


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_doctor_says_what_may_be_named_where_only_openais_variables_are_set(
    moonpool: Shell, name: str
) -> None:
    env = {"DOCKER_HOST": "unix:///nowhere.sock", name: "http://localhost:1/v1"}
    assert "-m openai:NAME or responses:NAME" in moonpool("doctor", env=env).stdout


@pytest.mark.parametrize(
    ("config", "state", "detail"),
    [
        ("", "note", "no model: set ANTHROPIC_API_KEY"),
        ("model: anthropic:m\n", "ok", "anthropic:m, for runs"),
        ("model: anthropic:m\nmodle: x\n", "note", "config.yaml:3"),
    ],
)
def test_doctor_names_the_model_of_the_configuration_and_takes_its_key(
    moonpool: Shell, tmp_path: Path, config: str, state: str, detail: str
) -> None:
    file = tmp_path / "config.yaml"
    own = "providers: {anthropic: {api_key_env: OWN_KEY}}\n" if state == "ok" else ""
    file.write_text(f"version: 1\n{config}{own}")
    env = {
        "MOONPOOL_CONFIG": str(file),
        "OWN_KEY": "k" * 20,
        "DOCKER_HOST": f"unix://{tmp_path}/nowhere.sock",
    }
    done = moonpool("doctor", "--json", env=env)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["engine"]["state"] == "bad"
    assert checks["model"]["state"] == state
    assert detail in checks["model"]["detail"]


def test_a_script_is_on_no_list(moonpool: Shell) -> None:
    done = moonpool("models", "script")
    assert (done.returncode, done.stderr) == (0, "")
    assert "script:FILE" in done.stdout
    as_json = moonpool("models", "script", "--json")
    assert json.loads(as_json.stdout) == {"provider": "script", "models": []}
