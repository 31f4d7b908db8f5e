"""What the operator and the workspace tell the model, as a person types it."""

import json
from pathlib import Path
from typing import Any

import pytest

from command_line.running import Shell

SCRIPT = "version: 1\nturns: [{text: Done.}]\n"


@pytest.fixture
def shell(moonpool: Shell) -> Shell:
    (moonpool.directory.parent / "script.yaml").write_text(SCRIPT)
    (moonpool.directory.parent / "mine.md").write_text("Use tabs.\n")
    (moonpool.directory / "AGENTS.md").write_text("Run make test.\n")
    return moonpool


def run(shell: Shell, *options: str) -> Any:
    return shell("run", "paint it", "-m", "script:../script.yaml", *options)


def events(shell: Shell) -> list[dict[str, Any]]:
    (file,) = (shell.directory.parent / "state" / "runs").glob("*/events.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.usefixtures("image")
def test_both_are_recorded_and_told(shell: Shell) -> None:
    done = run(shell, "--instructions", "../mine.md")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "AGENTS.md shown to the model as untrusted context" in done.stderr
    begun, *_ = events(shell)
    assert begun["instructions"]["text"] == "Use tabs."
    (shown,) = [event for event in events(shell) if event["event"] == "context_shown"]
    assert "Run make test." in shown["text"]


@pytest.mark.usefixtures("image")
def test_off_is_off(shell: Shell) -> None:
    done = run(shell, "--no-context-files")
    assert done.returncode == 0
    assert "AGENTS.md" not in done.stdout + done.stderr
    assert all(event["event"] != "context_shown" for event in events(shell))


def test_instructions_in_the_workspace_are_refused_before_there_is_a_run(shell: Shell) -> None:
    done = run(shell, "--instructions", "AGENTS.md")
    assert done.returncode == 2
    assert "lie in the workspace" in done.stderr
    assert "name the copy" in done.stderr
    assert not (shell.directory.parent / "state" / "runs").exists()


def test_server_tools_that_the_model_lacks_are_refused_before_there_is_a_run(
    shell: Shell, tmp_path: Path
) -> None:
    policy = tmp_path / "searching.yaml"
    policy.write_text("version: 1\nname: searching\nextends: default\nserver_tools: [web_search]\n")
    done = run(shell, "-p", str(policy))
    assert done.returncode == 2
    assert "server_tools web_search" in done.stderr
    assert not (shell.directory.parent / "state" / "runs").exists()
    checked = shell("policy", "check", str(policy))
    assert checked.returncode == 0
    assert "the model can search the web: text can leave this way" in checked.stderr
