"""Telemetry from the command line: only where ``config.yaml`` says so."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line.running import DONE, SLEEP, Shell, Start, bash
from fakes.collector import Collector, Manner

CANARY = "canary-of-the-collector"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found


def configure(moonpool: Shell, tmp_path: Path, url: str, more: str = "") -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"version: 1\ntelemetry: {{otlp_endpoint: '{url}'{more}}}\n")
    moonpool.environ["MOONPOOL_CONFIG"] = str(config)


@pytest.mark.usefixtures("image")
def test_without_a_configuration_the_environment_switches_nothing_on(
    moonpool: Shell, script: str, collector: Collector
) -> None:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
        "OTEL_TRACES_EXPORTER": "otlp",
        "ANTHROPIC_OPEN_TELEMETRY": "true",
    }
    assert moonpool("run", "x", "-m", script, env=env).returncode == 0
    assert collector.bodies == []


@pytest.mark.usefixtures("image")
def test_with_one_a_run_sends_its_tree_and_its_headers(
    moonpool: Shell, script: str, tmp_path: Path, collector: Collector
) -> None:
    configure(moonpool, tmp_path, collector.url, ", headers_env: OTEL_TEAM")
    done = moonpool("run", "x", "-m", script, env={"OTEL_TEAM": f"x-team-key={CANARY}"})
    assert done.returncode == 0
    assert "telemetry" not in done.stderr
    assert collector.tree() == "invoke_agent moonpool\n  turn\n    chat script"
    assert collector.headers[0]["x-team-key"] == CANARY
    written = [
        path for path in Path(moonpool.environ["MOONPOOL_HOME"]).rglob("*") if path.is_file()
    ]
    assert not [path for path in written if CANARY.encode() in path.read_bytes()]


@pytest.mark.usefixtures("image")
def test_a_collector_that_hangs_is_a_line_on_standard_error_and_no_more(
    moonpool: Shell, script: str, tmp_path: Path
) -> None:
    with Collector(manner=Manner.HANG) as collector:
        configure(moonpool, tmp_path, collector.url)
        done = moonpool("run", "x", "-m", script, "--json")
    assert done.returncode == 0
    assert done.stderr.startswith("moonpool: telemetry: 127.0.0.1 did not take")
    assert done.stderr.count("\n") == 1
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "summary"
    (log,) = Path(moonpool.environ["MOONPOOL_HOME"]).rglob("run.log")
    assert "WARNING telemetry: 127.0.0.1 did not take" in log.read_text()


def test_a_resumed_run_goes_on_in_the_trace_of_the_killed_one(
    start: Start, moonpool: Shell, tmp_path: Path, collector: Collector
) -> None:
    configure(moonpool, tmp_path, collector.url)
    going = start(bash("true"), bash(SLEEP), {"expect": "look before", **bash("true")}, DONE)
    going.until("call_started", "sleep 60")
    going.kill()
    code, _, err = going.resume()
    assert (code, err) == (0, "")
    assert len({span.trace for span in collector.spans}) == 1
    assert collector.one("invoke_agent moonpool").status == 0


def test_an_endpoint_that_is_none_is_told_before_the_run(
    moonpool: Shell, script: str, tmp_path: Path
) -> None:
    configure(moonpool, tmp_path, "http://otel.test?key=x")
    done = moonpool("run", "x", "-m", script)
    assert done.returncode == 2
    assert not Path(moonpool.environ["MOONPOOL_HOME"], "runs").exists()
