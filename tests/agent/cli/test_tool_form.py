"""``tool_form: text`` of a configuration, at the command line: run, fork, replay, verify."""

import json
from pathlib import Path
from typing import Any

import pytest

from command_line.running import DONE, Shell, bash
from fakes.model import saying


@pytest.fixture
def configured(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "config.yaml"
    file.write_text("version: 1\ntool_form: text\n")
    return {"MOONPOOL_CONFIG": str(file)}


def script(tmp_path: Path, *turns: dict[str, Any]) -> str:
    return saying(tmp_path / "script.yaml", *turns, DONE)


def summary(stdout: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return found


def test_a_recorded_model_in_text_runs_forks_and_replays(
    moonpool: Shell, configured: dict[str, str], tmp_path: Path, image: str
) -> None:
    assert image
    expected = {**bash("echo 2 >> a.txt"), "expect": "exit code 0"}
    model = script(tmp_path, bash("echo 1 > a.txt"), expected, bash("cat a.txt"))
    done = moonpool("run", "write it", "-m", model, "--json", env=configured)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    chosen = [event for event in events if event["event"] == "text_form_chosen"]
    assert [event["why"] for event in chosen] == ["configured"]
    started = [
        event["arguments"]["command"] for event in events if event["event"] == "call_started"
    ]
    assert started == ["echo 1 > a.txt", "echo 2 >> a.txt", "cat a.txt"]
    replayed = moonpool("replay", "last", env=configured)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    forked = moonpool(
        *("fork", "last", "--at", "1", "--json", "-m", script(tmp_path, bash("true"), expected)),
        env=configured,
    )
    assert forked.returncode == 0, forked.stdout + forked.stderr
    assert summary(forked.stdout)["outcome"] == "finished"
    assert moonpool("verify", "last", env=configured).returncode == 0


def test_the_setting_is_shown_with_its_line(moonpool: Shell, configured: dict[str, str]) -> None:
    shown = json.loads(moonpool("config", "show", "--json", env=configured).stdout)
    assert shown["settings"]["tool_form"] == {"value": "text", "source": "line 2"}


def test_a_form_that_there_is_not_is_refused(
    moonpool: Shell, configured: dict[str, str], tmp_path: Path
) -> None:
    Path(configured["MOONPOOL_CONFIG"]).write_text("version: 1\ntool_form: yaml\n")
    done = moonpool("run", "x", "-m", script(tmp_path), env=configured)
    assert done.returncode == 2
    assert "tool_form" in done.stderr
