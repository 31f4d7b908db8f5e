"""A user's mistakes: exit code 2, one or two lines that say what to do, never a traceback."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli.verbs import VERBS, commands
from command_line.running import SCRIPT, Shell

COMMANDS = [words for words, _ in commands(VERBS)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(moonpool: Shell, command: tuple[str, ...]) -> None:
    done = moonpool(*command, "--help")
    assert done.returncode == 0
    assert f"Example: moonpool {' '.join(command)}" in done.stdout


def test_help_loads_no_sdk(moonpool: Shell) -> None:
    done = moonpool("--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "agent.cli.verbs" in loaded
    assert not loaded & {
        *("anthropic", "docker", "pydantic", "yaml", "jinja2", "rich", "dataclasses"),
        *("sandbox", "policies", "images", "agent.cli.commands.run"),
    }


def test_the_version_is_told(moonpool: Shell) -> None:
    assert moonpool("--version").stdout.startswith("moonpool 0.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frobnicate"], "No such command"),
        (["aply"], "No such command 'aply'; did you mean `apply`?"),
        (["polcy"], "did you mean `policy`?"),
        (["policy", "chck"], "did you mean `check`?"),
        (["--hlp"], "No such option: --hlp; did you mean `--help`?"),
        (["run", "x", "-p", "defualt"], "did you mean `default`?"),
        (["run", "x", "-m", "antropic:x"], "did you mean `anthropic:`?"),
        (["run", "x", "-m", "opus-5-5"], "did you mean `anthropic:claude-opus-5-5`?"),
        (["run", "x", "--accept-risk", "symlnk"], "did you mean `symlink`?"),
        (["models", "antropic"], "did you mean `anthropic`?"),
        (["show", "20260101", "-w", "."], "says whose `last` is meant"),
        (["show", "last", "-w", "."], "there is no run of"),
        (["review", "x" * 400], "there are no runs yet"),
        (["batch", "run", f"{'x' * 400}.yaml", "-o", "out"], "there is no tasks file"),
        (["run"], "Missing argument 'TASK'"),
        (["run", "   "], "an empty task"),
        (["run", "x", "-w", "nowhere"], "no workspace nowhere"),
        (["run", "x", "-w", "/etc/hostname"], "is not a directory"),
        (["run", "x"], "no model: set ANTHROPIC_API_KEY"),
        (["run", "x", "-m", "gpt"], "is not a model"),
        (["run", "x", "-m", "script:nowhere.yaml"], "counts from where you are"),
        (["run", "x", "-p", "nope"], "there is no policy 'nope'"),
        (["run", "x", "--kernel-policy", "maybe"], "maybe"),
        (["run", "x", "-o", "/etc/hostname"], "-o /etc/hostname is not a directory"),
        (["run", "x", "--accept-risk", "nope"], "no such finding. There are: agent-instructions"),
        (["run", "x", "--accept-risk", "max-bytes"], "raise export.max_bytes"),
        (["show", "last"], "there are no runs yet"),
        (["apply", "20991231"], "there are no runs yet"),
        (["policy", "check", "/nowhere.yaml"], "no such file"),
        (["policy", "show", "nope"], "there is no policy"),
        (["policy", "show", "default", "--ceiling", "nope.yaml"], "no such file"),
        (["policy", "diff", "default", "nope"], "there is no policy"),
        (["policy", "learn", "last"], "there are no runs yet"),
        (["policy", "learn", "./nowhere"], "there are no runs yet"),
        (["run", "x", "--ceiling", "/nope.yaml"], "no such file"),
    ],
)
def test_a_mistake_ends_with_2_and_says_what(
    moonpool: Shell, arguments: list[str], says: str
) -> None:
    done = moonpool(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "x", "-w", "repo", "-p", "loop.yaml"], "loop.yaml"),
        (["run", "x", "-w", "repo", "--ceiling", "loop.yaml"], "loop.yaml"),
        (["run", "x", "-w", "repo", "-m", "script:s.yaml", "-o", "loop"], "-o loop"),
        (["init", "-w", "repo", "-o", "loop"], "loop is there already"),
        (["batch", "run", "t.yaml", "-o", "loop"], "-o "),
        (["batch", "run", "loop/t.yaml", "-o", "out"], "there is no tasks file"),
    ],
)
def test_links_that_lead_round_in_a_circle_are_a_mistake(
    moonpool: Shell, arguments: list[str], says: str
) -> None:
    (moonpool.directory / "repo").mkdir()
    (moonpool.directory / "s.yaml").write_text("version: 1\nturns: [{text: a}]\n")
    row = '{"id": "a", "workspace": "repo", "task": "x", "model": "script:s.yaml"}'
    (moonpool.directory / "t.yaml").write_text(f"- {row}\n")
    for name in ("loop", "loop.yaml"):
        (moonpool.directory / name).symlink_to(name)
    done = moonpool(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_in_a_policy_names_file_line_and_key(moonpool: Shell, script: str) -> None:
    policy = moonpool.directory.parent / "mine.yaml"
    policy.write_text("version: 1\nname: mine\ncomands: []\n")
    done = moonpool("run", "x", "-p", str(policy), "-m", script)
    assert done.returncode == 2
    assert f"{policy}:3: comands: unknown key" in done.stderr


def test_an_example_that_does_not_hold_is_told_in_words(moonpool: Shell) -> None:
    (moonpool.directory / "mine.yaml").write_text(
        "version: 1\nname: mine\nextends: default\nexamples: {deny: [pytest]}\n"
    )
    done = moonpool("policy", "check", "mine.yaml")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "mine.yaml:4:19: examples.deny[0]: should be denied, and is allowed",
        "    examples: {deny: [pytest]}",
        "                      ^^^^^^",
    ]


@pytest.mark.parametrize("address", ["http://[x", "tcp://127.0.0.1:1", "nonsense"])
def test_an_engine_that_does_not_answer_ends_with_3(moonpool: Shell, address: str) -> None:
    done = moonpool("image", "list", env={"DOCKER_HOST": address})
    assert done.returncode == 3
    assert done.stderr.startswith(f"moonpool: no engine answers at {address} (DOCKER_HOST)")


def test_a_context_that_is_not_there_is_named(moonpool: Shell) -> None:
    done = moonpool("image", "list", env={"DOCKER_CONTEXT": "mine"})
    assert done.returncode == 3
    assert done.stderr.startswith("moonpool: context mine names no engine: ")


@pytest.mark.parametrize("command", ["runs", "policy schema", "policy explain default -- ls"])
def test_output_onto_a_full_disk_ends_with_3(moonpool: Shell, command: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [str(SCRIPT), *command.split()],
            env=moonpool.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr == "moonpool: the output can't be written: the disk is full\n"


def hostile_policy(directory: Path) -> Path:
    path = directory / "moonpool.yaml"
    path.write_text("version: 1\nname: mine\nextends: default\n")
    return path


def by_its_path(directory: Path) -> str:
    return str(hostile_policy(directory))


def by_a_link_to_it(directory: Path) -> str:
    link = directory.parent / "outside.yaml"
    link.symlink_to(hostile_policy(directory))
    return str(link)


def by_a_link_in_it(directory: Path) -> str:
    outside = hostile_policy(directory.parent)
    (directory / "inside.yaml").symlink_to(outside)
    return "./inside.yaml"


@pytest.mark.parametrize("named", [by_its_path, by_a_link_to_it, by_a_link_in_it])
def test_a_policy_in_the_workspace_is_refused_however_it_is_named(
    moonpool: Shell, script: str, named: Callable[[Path], str]
) -> None:
    policy = named(moonpool.directory)
    done = moonpool("run", "x", "-p", policy, "-m", script)
    assert done.returncode == 2
    assert "lies in the workspace" in done.stderr


def test_records_and_output_do_not_go_into_the_workspace(moonpool: Shell, script: str) -> None:
    inside = moonpool.directory / "out"
    outputs = moonpool("run", "x", "-m", script, "-o", str(inside))
    records = moonpool("run", "x", "-m", script, env={"MOONPOOL_HOME": str(inside)})
    assert (outputs.returncode, records.returncode) == (2, 2)
    assert not inside.exists()


@pytest.mark.parametrize("variable", ["MOONPOOL_CONFIG", "MOONPOOL_HOME"])
@pytest.mark.parametrize("given", ["theirs", "./theirs", "~nobody-of-that-name/theirs"])
def test_relative_path_of_the_environment_is_none_of_the_folder_a_command_is_started_in(
    moonpool: Shell, script: str, variable: str, given: str
) -> None:
    (moonpool.directory / "theirs").mkdir()
    done = moonpool("run", "x", "-m", script, env={variable: given})
    assert done.returncode == 2
    assert f"{variable}={given} is no absolute path" in done.stderr
    assert not list((moonpool.directory / "theirs").iterdir())


KEY = {"ANTHROPIC_API_KEY": "k" * 20, "DOCKER_HOST": "unix:///nowhere.sock"}
"""Whatever gets as far as the engine ends with 3."""


@pytest.fixture
def dollars(moonpool: Shell) -> str:
    policy = moonpool.directory.parent / "mine.yaml"
    policy.write_text("version: 1\nname: mine\nextends: default\nbudget: {usd: 5}\n")
    return str(policy)


def test_a_dollar_budget_without_a_price_is_refused_before_anything(
    moonpool: Shell, dollars: str
) -> None:
    done = moonpool("run", "x", "-p", dollars, "-m", "anthropic:some", env=KEY)
    assert done.returncode == 2
    assert "budget.usd" in done.stderr
    assert "--prices FILE" in done.stderr
    assert "no runs" in moonpool("runs").stdout


def test_the_price_that_the_refusal_shows_is_one_that_is_taken(
    moonpool: Shell, dollars: str
) -> None:
    refused = moonpool("run", "x", "-p", dollars, "-m", "anthropic:some", env=KEY)
    prices = moonpool.directory.parent / "prices.yaml"
    prices.write_text(refused.stderr.splitlines()[-1])
    command = ("run", "x", "-p", dollars, "-m", "anthropic:some", "--prices", str(prices))
    assert moonpool(*command, env=KEY).returncode == 3


def test_a_model_whose_price_we_know_may_have_a_dollar_budget(
    moonpool: Shell, dollars: str, script: str
) -> None:
    known = ("run", "x", "-p", dollars, "-m", "anthropic:claude-opus-5-5")
    assert moonpool(*known, env=KEY).returncode == 3
    assert moonpool("run", "x", "-p", dollars, "-m", script, env=KEY).returncode == 3


def test_a_model_that_nobody_knows_is_met_with_the_nearest_before_it_is_asked(
    moonpool: Shell,
) -> None:
    done = moonpool("run", "x", "-m", "anthropic:claude-opus-5.5", env=KEY)
    assert "are not known; did you mean `anthropic:claude-opus-5-5`?" in done.stderr
    for known in ("anthropic:claude-opus-5-5", "anthropic:claude-opus-5-5-20260101"):
        assert "did you mean" not in moonpool("run", "x", "-m", known, env=KEY).stderr


def test_a_wrong_prices_file_costs_nothing_and_is_told_with_its_place(moonpool: Shell) -> None:
    prices = moonpool.directory.parent / "prices.yaml"
    prices.write_text("version: 1\nmodels:\n  - model: anthropic:some\n    usd: 3\n")
    done = moonpool("run", "x", "-m", "anthropic:some", "--prices", str(prices), env=KEY)
    assert done.returncode == 2
    assert f"{prices}:4:5: models[0].usd: is no key" in done.stderr


def test_no_engine_ends_with_3_and_a_record(moonpool: Shell, script: str) -> None:
    done = moonpool("run", "x", "-m", script, env={"DOCKER_HOST": "unix:///nowhere.sock"})
    assert done.returncode == 3
    assert "no engine answers" in done.stdout
    assert "Traceback" not in done.stderr
    assert moonpool("runs").stdout.count("sandbox failed") == 1


def test_an_unwritable_home_ends_with_3(moonpool: Shell, script: str) -> None:
    done = moonpool("run", "x", "-m", script, env={"MOONPOOL_HOME": "/proc/nowhere"})
    assert done.returncode == 3
    assert "MOONPOOL_HOME" in done.stderr


def test_a_hostile_module_in_the_current_directory_is_not_imported(
    moonpool: Shell, script: str
) -> None:
    for name in ("yaml", "rich", "shutil", "docker", "pydantic", "jinja2"):
        (moonpool.directory / f"{name}.py").write_text(f"open('canary-{name}', 'w')\n")
    # An empty part of PYTHONPATH is the current directory.
    moonpool("policy", "show", "default", env={"PYTHONPATH": ":"})
    moonpool(
        "run", "x", "-m", script, env={"PYTHONPATH": "", "DOCKER_HOST": "unix:///nowhere.sock"}
    )
    assert not list(moonpool.directory.glob("canary-*"))


def test_explain_tells_rule_and_decision(moonpool: Shell) -> None:
    done = moonpool("policy", "explain", "default", "--", "git push")
    assert done.returncode == 0
    assert "git push is not allowed" in done.stdout


def test_show_prints_a_policy_that_can_be_used_again(moonpool: Shell) -> None:
    shown = moonpool("policy", "show", "locked").stdout
    path = moonpool.directory / "again.yaml"
    path.write_text(shown)
    assert moonpool("policy", "check", str(path)).returncode == 0


def test_a_policy_is_checked_and_explained_for_machines_too(moonpool: Shell) -> None:
    policy = moonpool.directory.parent / "flags.yaml"
    policy.write_text(
        "version: 1\nname: flags\ntools: [bash, write_file]\npaths: {write: [src]}\n"
        "commands: [{program: tar, forbid: [-x]}]\n"
    )
    fine = moonpool("policy", "check", "--json", str(policy))
    assert (fine.returncode, json.loads(fine.stdout)["errors"]) == (0, [])
    denied = moonpool("policy", "explain", "--json", str(policy), "--", "tar -vxf a")
    data = json.loads(denied.stdout)
    assert data["decision"] == "deny"
    assert "-vxf holds -x" in data["parts"][0]["reason"]
    file = moonpool("policy", "explain", "--tool", "write_file", str(policy), "--", "src/a")
    assert file.stdout.startswith("+ write_file src/a")
    policy.write_text("version: 1\nname: flags\ncommands: [{program: tar, forbids: [-x]}]\n")
    wrong = moonpool("policy", "check", "--json", str(policy))
    (error,) = json.loads(wrong.stdout)["errors"]
    assert (wrong.returncode, error["line"], error["column"], error["end_column"]) == (2, 3, 27, 34)
    shown = moonpool("policy", "check", str(policy))
    assert shown.stderr.splitlines()[-1].strip() == "^" * len("forbids")
