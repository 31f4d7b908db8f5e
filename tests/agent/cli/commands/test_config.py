"""`config.yaml` as a person meets it: what counts, in which order, and where it may not lie."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import agent
from agent.config.form import SECTIONS
from agent.config.values import Configuration
from agent.preparation import model as model_setup
from command_line.running import Shell

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere.sock"}
"""A run gets as far as the engine, which is past all that is told apart here."""


@pytest.fixture
def write(moonpool: Shell) -> Callable[[str], Path]:
    folder = Path(moonpool.environ["HOME"]) / ".config" / "moonpool"
    folder.mkdir(parents=True)

    def writer(text: str) -> Path:
        path = folder / "config.yaml"
        path.write_text(f"version: 1\n{text}\n")
        return path

    return writer


def started(moonpool: Shell, *arguments: str, **env: str) -> dict[str, Any]:
    """The first event of a run."""
    done = moonpool("run", "x", "--json", *arguments, env={**NO_ENGINE, **env})
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return found


def shown(moonpool: Shell, **env: str) -> dict[str, tuple[Any, str]]:
    done = moonpool("config", "show", "--json", env=env)
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)["settings"]
    return {key: (row["value"], row["source"]) for key, row in settings.items()}


def test_model_and_policy_come_from_the_file_and_a_flag_overrules_it(
    moonpool: Shell, write: Callable[[str], Path], script: str, tmp_path: Path
) -> None:
    write(f"model: {script}\npolicy: read-only")
    first = started(moonpool)
    assert (first["model"], first["policy"]) == (script, "read-only")
    other = tmp_path / "other.yaml"
    other.write_text("version: 1\nturns: [{text: Hi.}]\n")
    second = started(moonpool, "-m", f"script:{other}", "-p", "default")
    assert (second["model"], second["policy"]) == (f"script:{other}", "default")


def test_without_a_file_everything_is_as_it_was(moonpool: Shell, script: str) -> None:
    assert started(moonpool, "-m", script)["policy"] == "default"
    assert shown(moonpool)["policy"] == ("default", "built in")


def test_a_policy_file_of_the_configuration_may_not_lie_in_the_workspace(
    moonpool: Shell, write: Callable[[str], Path], script: str
) -> None:
    (moonpool.directory / "mine.yaml").write_text("version: 1\nname: mine\nextends: default\n")
    for key in ("policy", "prices", "instructions"):
        write(f"{key}: {moonpool.directory}/mine.yaml")
        done = moonpool("run", "x", "-m", script)
        assert done.returncode == 2
        assert f"which {key} of" in done.stderr
        assert "lies in the workspace" in done.stderr


def test_a_script_of_the_configuration_lies_beside_it_and_not_where_the_command_is_called(
    moonpool: Shell, write: Callable[[str], Path]
) -> None:
    path = write("model: script:turns.yaml")
    for folder in (moonpool.directory, path.parent):
        (folder / "turns.yaml").write_text("version: 1\nturns: [{text: Hi.}]\n")
    assert started(moonpool)["model"] == f"script:{path.parent}/turns.yaml"
    write(f"model: script:{moonpool.directory}/turns.yaml")
    done = moonpool("run", "x")
    assert done.returncode == 2
    assert "which model of" in done.stderr


def test_a_model_that_is_none_is_told_with_its_line(
    moonpool: Shell, write: Callable[[str], Path]
) -> None:
    path = write("model: mistral:large")
    done = moonpool("run", "x")
    assert done.returncode == 2
    assert done.stderr.startswith(f"moonpool: {path}:2: model: 'mistral:large' is not a model")
    by_flag = moonpool("run", "x", "-m", "mistral:large")
    assert by_flag.stderr.startswith("moonpool: 'mistral:large' is not a model")


def test_every_command_opens_its_model_by_the_one_function() -> None:
    """A command that opened one by itself would forget the configuration. A batch's runs open it
    again, each for itself, with the configuration that the command had opened it by."""
    room = Path(agent.__file__).parent
    opening = [
        str(file.relative_to(room))
        for file in sorted(room.rglob("*.py"))
        if re.search(r"open_model import .*\bopen_model\b|open_model\.open_model", file.read_text())
    ]
    assert opening == ["batch/take_up.py", "preparation/model.py"]


def test_a_file_of_the_workspace_is_never_taken_for_it(moonpool: Shell, script: str) -> None:
    for name in ("config.yaml", ".config/moonpool/config.yaml", ".moonpool/config.yaml"):
        path = moonpool.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("version: 1\nmodel: nonsense\n")
    done = moonpool("run", "x", env=NO_ENGINE)
    assert "no model: set ANTHROPIC_API_KEY" in done.stderr


def by_its_path(inside: Path, _outside: Path) -> Path:
    return inside


def by_a_link_to_it(inside: Path, outside: Path) -> Path:
    outside.symlink_to(inside)
    return outside


def by_a_link_in_it(inside: Path, outside: Path) -> Path:
    inside.rename(outside)
    inside.symlink_to(outside)
    return inside


@pytest.mark.parametrize("named", [by_its_path, by_a_link_to_it, by_a_link_in_it])
def test_a_configuration_in_the_workspace_is_refused_however_it_is_named(
    moonpool: Shell, script: str, named: Callable[[Path, Path], Path]
) -> None:
    inside = moonpool.directory / "mine.yaml"
    inside.write_text("version: 1\n")
    path = named(inside, moonpool.directory.parent / "outside.yaml")
    done = moonpool("run", "x", "-m", script, env={"MOONPOOL_CONFIG": str(path)})
    assert done.returncode == 2
    assert "a repository decides no model" in done.stderr


@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME"])
def test_a_home_in_the_workspace_brings_no_configuration(
    moonpool: Shell, script: str, variable: str
) -> None:
    folder = moonpool.directory / (".config/moonpool" if variable == "HOME" else "moonpool")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("version: 1\nmodel: script:evil.yaml\n")
    done = moonpool("run", "x", env={variable: str(moonpool.directory)})
    assert done.returncode == 2
    assert "a repository decides no model" in done.stderr


def test_a_workspace_around_an_empty_configuration_directory_is_no_offence(
    moonpool: Shell, script: str
) -> None:
    moonpool.environ["HOME"] = str(moonpool.directory)
    assert started(moonpool, "-m", script)["model"] == script


def test_a_named_configuration_that_is_not_there_is_an_error(moonpool: Shell) -> None:
    done = moonpool("config", "show", env={"MOONPOOL_CONFIG": "/nowhere/config.yaml"})
    assert done.returncode == 2
    assert done.stderr == (
        "moonpool: /nowhere/config.yaml: can't be read: No such file or directory\n"
    )


@pytest.mark.parametrize("command", ["run x", "models", "config show", "prune", "resume last"])
def test_no_command_goes_on_with_a_configuration_that_is_wrong(
    moonpool: Shell, write: Callable[[str], Path], command: str
) -> None:
    path = write("modle: anthropic:x")
    done = moonpool(*command.split(), env=NO_ENGINE)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"moonpool: {path}:2:1: modle: unknown key; did you mean `model`?",
        "    modle: anthropic:x",
        "    ^^^^^",
    ]


def test_each_value_is_shown_with_where_it_comes_from(
    moonpool: Shell, write: Callable[[str], Path]
) -> None:
    write(
        "model: anthropic:x\n"
        "providers:\n"
        "  anthropic: {base_url: 'https://a.example', api_key_env: WORK_KEY}\n"
        "context_files: false"
    )
    found = shown(moonpool)
    assert found["model"] == ("anthropic:x", "line 2")
    assert found["context_files"] == (False, "line 5")
    assert found["policy"] == ("default", "built in")
    assert found["providers.anthropic.base_url"] == ("https://a.example", "line 4")
    assert found["providers.anthropic.api_key_env"] == ("WORK_KEY (not set)", "line 4")
    overruled = shown(moonpool, ANTHROPIC_BASE_URL="https://me:secret@b.example", WORK_KEY="secret")
    value, source = overruled["providers.anthropic.base_url"]
    assert source == "ANTHROPIC_BASE_URL"
    assert "secret" not in str(overruled)
    assert "b.example" in str(value)


def test_the_page_for_people_says_the_same_and_no_secret(
    moonpool: Shell, write: Callable[[str], Path]
) -> None:
    path = write("model: openai:x\nproviders: {openai: {api_key_env: WORK_KEY}}")
    done = moonpool("config", "show", env={"WORK_KEY": "very-secret-value"})
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == str(path)
    assert "model openai:x line 2" in lines
    assert "providers.openai.api_key_env WORK_KEY (set) line 3" in lines
    assert "very-secret-value" not in done.stdout


def test_the_help_of_config_show_documents_every_key(moonpool: Shell) -> None:
    text = moonpool("config", "show", "--help").stdout
    for section in SECTIONS.values():
        for key in section.model_fields:
            assert f"{key}:" in text


def test_the_configured_key_does_not_get_into_a_record(
    moonpool: Shell, write: Callable[[str], Path], script: str
) -> None:
    write(
        "providers: {anthropic: {api_key_env: WORK_ACCESS}}\n"
        "telemetry: {otlp_endpoint: 'http://localhost:4318', headers_env: WORK_HEADERS}"
    )
    secrets = ("work-access-value-1", "collector-value-2", "bedrock-value-3")
    done = moonpool(
        *("run", f"say {' '.join(secrets)} and production-eu", "-m", script, "--json"),
        env={
            **NO_ENGINE,
            "WORK_ACCESS": secrets[0],
            "WORK_HEADERS": f"x-tenant=production-eu,authorization=Bearer {secrets[1]}",
            "AWS_BEARER_TOKEN_BEDROCK": secrets[2],
        },
    )
    files = list((Path(moonpool.environ["MOONPOOL_HOME"]) / "runs").rglob("events.jsonl"))
    assert len(files) == 1
    for text in (done.stdout, files[0].read_text()):
        assert "production-eu" in text
        assert not [secret for secret in secrets if secret in text]


def test_instructions_come_from_the_file_and_a_flag_overrules_them(
    moonpool: Shell, write: Callable[[str], Path], script: str
) -> None:
    path = write("instructions: mine.md")
    (path.parent / "mine.md").write_text("Always answer in verse.\n")
    (path.parent / "other.md").write_text("Never answer in verse.\n")
    first = started(moonpool, "-m", script)
    assert "Always answer in verse." in json.dumps(first["instructions"])
    second = started(moonpool, "-m", script, "--instructions", str(path.parent / "other.md"))
    assert "Never answer in verse." in json.dumps(second["instructions"])


@pytest.mark.parametrize(
    ("flag", "said", "counts"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_context_files_are_shown_as_the_flag_says_or_else_the_file(
    tmp_path: Path,
    flag: bool | None,  # noqa: FBT001
    said: bool,  # noqa: FBT001
    counts: bool,  # noqa: FBT001
) -> None:
    configuration = Configuration(context_files=said)
    instructions = model_setup.brief(None, configuration, context_files=flag, workspace=tmp_path)
    assert instructions.context_files is counts
