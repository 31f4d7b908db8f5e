"""What came of a command is its output; what it does and what went wrong stand on standard error.

So ``2>/dev/null`` leaves what can be used, and ``--json`` one thing that a program can read.
"""

import json
from typing import Any

import pytest

from agent.cli.verbs import VERBS, commands
from command_line.running import DONE, Shell, bash
from fakes.model import saying

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere.sock"}


COMMANDS = dict(commands(VERBS))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_mistake_leaves_standard_output_empty(moonpool: Shell, command: tuple[str, ...]) -> None:
    done = moonpool(*command, "--nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option: --nonsense" in done.stderr


def test_what_a_person_reads_a_program_reads_too() -> None:
    """Those without print what is for a program already, or are for a person alone."""
    without = {
        " ".join(words)
        for words in COMMANDS
        if not any("--json" in it.names for it in COMMANDS[words].load().parameters)
    }
    assert without <= {
        *("chat", "init", "review", "schema", "policy schema", "policy learn", "image shell"),
        *("batch pause", "batch resume", "batch cancel", "batch retry", "completion"),
        *("acp", "mcp"),
    }


@pytest.mark.parametrize(
    "command", ["image list", "image build python", "image rm python", "prune", "setup"]
)
def test_without_an_engine_the_error_is_no_output(moonpool: Shell, command: str) -> None:
    for words in (command.split(), [*command.split(), "--json"]):
        done = moonpool(*words, env=NO_ENGINE)
        assert done.returncode in {2, 3}
        assert done.stdout == ""
        assert done.stderr.startswith("moonpool: ")


def test_a_doctor_says_to_a_program_what_is_bad(moonpool: Shell) -> None:
    done = moonpool("doctor", "--json", env=NO_ENGINE)
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr, document["good"]) == (3, "", False)
    states = {check["name"]: check["state"] for check in document["checks"]}
    assert states == {"engine": "bad", "record": "ok", "model": "note"}
    said = moonpool("doctor", env=NO_ENGINE).stdout
    assert [line.split()[0] for line in said.splitlines()] == ["BAD", "ok", "note"]


def test_with_json_every_command_prints_json_alone(moonpool: Shell, image: str) -> None:
    assert image
    model = saying(moonpool.directory.parent / "work.json", bash("echo one > a.txt"), DONE)
    ran = moonpool("run", "x", "-m", model, "--json", "--verify", "cat a.txt")
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (ran.returncode, ran.stderr, rows[-1]["event"]) == (0, "", "summary")

    def of(*words: str, code: int = 0) -> Any:
        done = moonpool(*words, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    checked = of("apply", "last", "--check")
    assert checked["changes"] == [{"kind": "added", "path": "a.txt", "old_path": None}]
    assert (checked["checked_only"], checked["refused"], checked["commit"]) == (True, [], None)
    assert not (moonpool.directory / "a.txt").exists()
    applied = of("apply", "last")
    assert (applied["checked_only"], applied["place"]) == (False, str(moonpool.directory))
    assert (moonpool.directory / "a.txt").read_text() == "one\n"
    assert of("apply", "last")["changes"] == []
    assert of("verify", "last")["holds"] is True
    assert of("blame", "last")
    assert of("show", "last")["run_id"] == rows[-1]["run_id"]
    assert of("runs")["run_id"] == rows[-1]["run_id"]
    assert of("fork", "last")["run_id"] == rows[-1]["run_id"]
    built = of("image", "build", "python")["images"]
    assert [one["image"] for one in built] == ["python"]
    listed = {row["reference"]: row for row in of("image", "list")["images"]}
    assert listed[built[0]["reference"]]["state"] == "ready"
    assert of("doctor")["good"] is True
    assert of("models", "script") == {"provider": "script", "models": []}
    assert of("config", "show")["settings"]


def test_a_patch_that_is_refused_is_told_to_a_program_too(moonpool: Shell, image: str) -> None:
    assert image
    work = bash("mkdir -p .github && echo x > .github/x.yml")
    model = saying(moonpool.directory.parent / "work.json", work, DONE)
    assert moonpool("run", "x", "-m", model).returncode == 5
    done = moonpool("apply", "last", "--json")
    assert done.returncode == 5
    assert "the export gate refused the patch" in done.stderr
    refused = json.loads(done.stdout)["refused"]
    assert [(one["id"], one["path"]) for one in refused] == [("protected-path", ".github/x.yml")]


def test_progress_and_results_part_ways(moonpool: Shell, script: str, image: str) -> None:
    assert image
    ran = moonpool("run", "x", "-m", script)
    assert "Nothing to do." in ran.stdout
    assert "report  " in ran.stdout
    assert "sealed container" not in ran.stdout
    assert "sealed container" in ran.stderr
    replayed = moonpool("replay", "last")
    assert replayed.stdout.startswith("the same patch: ")
    assert "sealed container" in replayed.stderr
