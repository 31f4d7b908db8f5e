"""Runs as a process on a service that fails, says the key back, bills by another list or counts
nothing: on each provider, through the command line alone."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from command_line.running import Shell, Start, patch
from fakes.long import files, turns
from fakes.services import SERVICES, ProviderService
from standins.exchange.replies import Call, Refuse, answer
from standins.exchange.server import Exchange
from standins.openai.quirks import Quirk
from standins.openai.server import StandInOpenAI

pytestmark = pytest.mark.slow

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere.sock"}
KEY = "team-access-value-1"
WRITE = Call("write_file", {"path": "made.txt", "content": "by the agent\n"})


@dataclass(frozen=True, kw_only=True)
class Service:
    api: Exchange
    model: str
    key_name: str

    @property
    def environ(self) -> dict[str, str]:
        url = self.key_name.replace("API_KEY", "BASE_URL")
        return {url: self.api.url, self.key_name: self.api.key}


@pytest.fixture(params=SERVICES, ids=lambda service: service.provider)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    of: ProviderService = request.param
    with of.stand_in(key=KEY) as api:
        yield Service(api=api, model=of.model, key_name=of.key_name)


@pytest.fixture
def configure(moonpool: Shell, tmp_path: Path) -> Callable[[str], None]:
    def write(text: str) -> None:
        file = tmp_path / "config.yaml"
        file.write_text(f"version: 1\n{text}\n")
        moonpool.environ["MOONPOOL_CONFIG"] = str(file)

    return write


# -- waiting -------------------------------------------------------------------------------------


def test_a_signal_in_a_long_wait_for_the_service_leaves_with_the_patch(
    start: Start, service: Service
) -> None:
    service.api.queue(answer(WRITE), Refuse(429, {"retry-after": "299"}))
    # The wait is longer than any test waits.
    going = start(model=service.model, env=service.environ)
    going.until("model_retry")
    going.process.send_signal(signal.SIGINT)
    code, summary, _ = going.end()
    assert code == 130
    assert summary["outcome"] == "interrupted"
    assert b"by the agent" in patch(summary)
    assert len(service.api.requests) == 2


def test_a_wait_past_the_runs_time_ends_it_with_the_patch(start: Start, service: Service) -> None:
    service.api.queue(answer(WRITE), Refuse(503, {"retry-after": "299"}))
    going = start(model=service.model, env=service.environ, policy="limits: {time: 4m}")
    code, summary, _ = going.end()
    assert code == 1
    assert summary["outcome"] == "limit: time"
    assert "to be asked again in" in summary["detail"]
    assert b"by the agent" in patch(summary)


# -- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["screen", "json"])
def test_a_configured_key_that_the_service_says_back_is_nowhere(
    moonpool: Shell,
    service: Service,
    configure: Callable[[str], None],
    image: str,
    as_json: list[str],
) -> None:
    provider = service.model.partition(":")[0]
    # Both APIs of one service stand under one name.
    section = "anthropic" if provider == "anthropic" else "openai"
    configure(
        f"providers: {{{section}: {{base_url: '{service.api.url}', api_key_env: TEAM_ACCESS}}}}"
    )
    echo = {"request-id": KEY, "x-request-id": KEY, "retry-after": "0"}
    said = f"no account for key {KEY} (Bearer {KEY})"
    service.api.queue(
        answer(f"I was told {KEY}.", WRITE),
        Refuse(503, echo, message=said),
        Refuse(401, echo, message=said, code=KEY),
        Refuse(402, echo, message=said, code=KEY),
    )
    env = {"TEAM_ACCESS": KEY}
    done = moonpool("run", f"use {KEY}", "-m", service.model, *as_json, env=env)
    assert done.returncode == 4, done.stdout + done.stderr
    listed = moonpool("models", provider, *as_json, env=env)
    assert (listed.returncode, listed.stdout) == (4, "")
    assert "402" in listed.stderr
    assert KEY not in listed.stderr
    state = Path(moonpool.environ["MOONPOOL_HOME"])
    for file in state.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
    assert list(state.rglob("run.log"))
    assert "401" in done.stdout
    assert "moonpool: model failed: 401" in done.stderr
    assert KEY not in done.stdout
    # What the model itself says is shown as it comes; what the service says of us is not.
    told = [line for line in done.stderr.splitlines() if "I was told" not in line]
    assert any("503" in line for line in told) or as_json
    assert KEY not in "".join(told)


# -- prices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cloud", "name"),
    [
        ("{service: bedrock, region: eu-central-1}", "Bedrock"),
        ("{service: vertex, region: eu, project: p}", "Vertex AI"),
    ],
)
def test_a_cloud_has_no_price_of_anthropics_list_and_none_of_its_tools(
    moonpool: Shell, tmp_path: Path, configure: Callable[[str], None], cloud: str, name: str
) -> None:
    configure(f"providers: {{anthropic: {cloud}}}")
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nname: t\nextends: default\nbudget: {usd: 5}\n")
    command = ("run", "x", "-p", str(policy), "-m", "anthropic:claude-opus-5-5")
    done = moonpool(*command, env=NO_ENGINE)
    assert done.returncode == 2
    assert f"the price of anthropic:claude-opus-5-5 on {name} is not known" in done.stderr
    prices = tmp_path / "prices.yaml"
    prices.write_text(done.stderr.splitlines()[1])
    supplied = moonpool(*command, "--prices", str(prices), env=NO_ENGINE)
    assert supplied.returncode == 3, "it gets as far as the engine"
    policy.write_text("version: 1\nname: t\nextends: default\nserver_tools: [web_search]\n")
    tools = moonpool(*command, env=NO_ENGINE)
    assert tools.returncode == 2
    assert f"models on {name} have none of these here" in tools.stderr


def test_who_stands_at_another_base_url_may_bill_others_and_that_is_said_once(
    moonpool: Shell, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nname: t\nextends: default\nbudget: {usd: 5}\n")
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "{version: 1, models: [{model: anthropic:claude-opus-5-5, "
        "usd_per_million: {input: 1, output: 2}}]}"
    )
    env = {**NO_ENGINE, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://localhost:9"}
    command = ("run", "x", "-m", "anthropic:claude-opus-5-5")
    said = "list prices of the provider's own API"

    def shown(*more: str, **environ: str) -> str:
        done = moonpool(*command, *more, env={**env, **environ})
        assert done.returncode == 3, done.stderr
        return " ".join(done.stderr.split())

    assert shown("-p", str(policy)).count(said) == 1
    assert said not in shown()
    assert said not in shown("-p", str(policy), "--prices", str(prices))
    assert said not in shown("-p", str(policy), ANTHROPIC_BASE_URL="")


# -- long, and uncounted -------------------------------------------------------------------------


def test_three_hundred_turns_of_a_process_fit_a_small_window(
    moonpool: Shell, tmp_path: Path, image: str, start: Start
) -> None:
    """On a compatible service that counts nothing and refuses what is too long."""
    queued = turns(300, thoughts=0)
    for path, data in files(queued).items():
        (moonpool.directory / path).write_bytes(data)
    prices = tmp_path / "prices.yaml"
    prices.write_text("{version: 1, models: [{model: 'openai:*', context_tokens: 60000}]}")
    (tmp_path / "config.yaml").write_text(f"version: 1\nprices: {prices}\n")
    names = ("turns", "input_tokens", "output_tokens")
    budget = json.dumps({**dict.fromkeys(names, 100_000_000), "widen": names})
    with StandInOpenAI(Quirk.NO_USAGE, key=KEY) as api:
        api.queue(*queued)
        going = start(
            model="openai:gpt-4",
            env={
                "OPENAI_BASE_URL": api.url,
                "OPENAI_API_KEY": KEY,
                "MOONPOOL_CONFIG": str(tmp_path / "config.yaml"),
            },
            policy=f"budget: {budget}",
        )
        code, summary, err = going.end()
        largest = max(len(json.dumps(request.body["messages"])) for request in api.requests)
        faults = [request.fault for request in api.requests if request.fault]
    assert code == 0, err
    assert faults == []
    assert largest / 4 < 60_000
    assert summary["tokens"]["uncounted_replies"] >= 300
    assert summary["tokens"]["output_tokens"] > 300
    told = [row["text"] for row in going.rows if row["event"] == "notice"]
    assert [text for text in told if "estimated" in text] == told[-1:]
