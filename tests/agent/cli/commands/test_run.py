"""``moonpool run`` with a real engine, as a person types it."""

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from checkout import EXAMPLES
from command_line.running import SCRIPT, Shell
from fakes.atif import Trajectory
from waiting import WAIT_S

pytestmark = pytest.mark.usefixtures("image")


@pytest.fixture
def calculator(moonpool: Shell) -> Shell:
    """In a directory with a copy of the example."""
    for path in (EXAMPLES / "calculator").rglob("*"):
        if path.is_file() and "cache" not in str(path):
            copy = moonpool.directory / path.relative_to(EXAMPLES / "calculator")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return moonpool


MEND = ("run", "fix the failing tests", "-m", f"script:{EXAMPLES}/calculator.script.yaml")


def test_the_calculator_from_run_to_apply(calculator: Shell, tmp_path: Path) -> None:
    before = snapshot(calculator.directory)
    done = calculator(*MEND, "--verify", "pytest -q", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified: pytest -q passes in a fresh container" in done.stdout
    assert snapshot(calculator.directory) == before, "a run never changes the workspace"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "patch.diff",
        "report.html",
        "run.json",
        "run.log",
    }
    (written,) = Path(calculator.environ["MOONPOOL_HOME"]).rglob("trajectory.json")
    steps = Trajectory.model_validate_json(written.read_bytes()).steps
    assert steps[0].message == "fix the failing tests"
    assert "fix the failing tests" in calculator("runs").stdout
    shown = calculator("show", "last")
    assert "calculator/arithmetic.py" in shown.stdout
    assert "+    return a * b" in calculator("show", "last", "--patch").stdout
    assert calculator("apply", "last", "--check").returncode == 0
    assert snapshot(calculator.directory) == before
    assert calculator("show", "last").stdout.rstrip().endswith("--check")
    assert calculator("apply", "last").returncode == 0
    told = f"next    nothing: the patch was applied to {calculator.directory}"
    assert calculator("show", "last").stdout.rstrip().endswith(told)
    assert b"return a * b" in (calculator.directory / "calculator/arithmetic.py").read_bytes()
    mended = snapshot(calculator.directory)
    for options in ((), ("--check",), ("--three-way",)):
        again = calculator("apply", "last", *options)
        assert (again.returncode, again.stderr) == (0, "")
        assert again.stdout.startswith("nothing to do: all that run ")
    assert snapshot(calculator.directory) == mended
    (calculator.directory / "calculator/arithmetic.py").write_text("something else\n")
    other = calculator("apply", "last")
    assert other.returncode == 3
    assert "does not fit" in other.stderr


def test_an_earlier_run_in_the_output_directory_is_not_overwritten(
    moonpool: Shell, script: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert moonpool("run", "x", "-m", script, "-o", str(out)).returncode == 0
    before = snapshot(out)
    again = moonpool("run", "y", "-m", script, "-o", str(out))
    assert (again.returncode, again.stdout) == (2, "")
    assert f"-o {out} holds run.json of an earlier run" in again.stderr
    assert snapshot(out) == before
    assert moonpool("runs").stdout.count("\n") == 2, "the second one did not begin"


def test_progress_and_errors_go_to_standard_error_and_what_came_of_it_to_the_other(
    moonpool: Shell, script: str
) -> None:
    done = moonpool("run", "x", "-m", script)
    assert done.returncode == 0
    assert "Nothing to do.\n\nfinished" in done.stdout
    assert done.stdout.rstrip().endswith("next    nothing: there is no change to apply")
    assert "sealed container" in done.stderr
    assert "sealed container" not in done.stdout
    for more in ((), ("--json",)):
        failed = moonpool("run", "x", "-m", script, *more, env={"DOCKER_HOST": "unix:///nowhere"})
        assert failed.returncode == 3
        assert "moonpool: sandbox failed: no engine answers" in failed.stderr
        assert "no engine answers" in failed.stdout


@pytest.mark.parametrize("both", [False, True])
def test_a_reader_that_leaves_costs_no_patch(calculator: Shell, *, both: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            [str(SCRIPT), *MEND],
            cwd=calculator.directory,
            env=calculator.environ,
            stdout=gone,
            stderr=gone if both else subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 0
    assert both or "moonpool: " not in done.stderr
    assert "+    return a * b" in calculator("show", "last", "--patch").stdout


def test_json_is_one_object_a_line_and_the_last_is_the_summary(calculator: Shell) -> None:
    done = calculator(*MEND, "--json")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["seq"] for row in rows[:-1]] == list(range(len(rows) - 1))
    last = rows[-1]
    assert last["event"] == "summary"
    assert (last["outcome"], last["exit_code"]) == ("finished", 0)
    assert Path(last["patch"]).read_bytes().startswith(b"diff --git")
    assert len(last["tree"]) == 40
    assert json.loads((Path(last["patch"]).parent / "run.json").read_text())["tree"] == last["tree"]


def test_a_policy_that_lies_in_the_workspace_is_ignored_and_said_so(
    moonpool: Shell, script: str
) -> None:
    (moonpool.directory / "moonpool.yaml").write_text("not: [a, policy")
    done = moonpool("run", "look", "-m", script)
    assert done.returncode == 0
    assert "moonpool.yaml in the workspace is ignored" in done.stderr


def test_a_tampered_patch_is_not_applied(calculator: Shell) -> None:
    calculator(*MEND)
    (patch,) = Path(calculator.environ["MOONPOOL_HOME"]).rglob("patch.diff")
    patch.write_bytes(patch.read_bytes().replace(b"a * b", b"a ** b"))
    done = calculator("apply", "last")
    assert done.returncode == 3
    assert "was changed since" in done.stderr or "is not what run" in done.stderr


def test_nothing_is_applied_to_a_directory_that_is_there(moonpool: Shell, script: str) -> None:
    assert moonpool("run", "x", "-m", script).returncode == 0
    assert moonpool("apply", "last").stdout.startswith("nothing to apply: run ")
    done = moonpool("apply", "last", "-w", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "-w nowhere is not a directory" in done.stderr


@pytest.fixture
def sleeper(tmp_path: Path) -> str:
    """A model that writes a file, then starts a command that takes long."""
    path = tmp_path / "sleeper.yaml"
    path.write_text(
        "version: 1\n"
        "turns:\n"
        "  - calls: [{tool: write_file, arguments: {path: made.txt, content: made}}]\n"
        "  - calls: [{tool: bash, arguments: {command: 'echo begun; sleep 60'}}]\n"
        "  - text: never reached\n"
    )
    return f"script:{path}"


def begun(moonpool: Shell, sleeper: str) -> subprocess.Popen[str]:
    """A run that is in the middle of its long command."""
    process = subprocess.Popen(
        [str(SCRIPT), "run", "sleep", "-m", sleeper, "--json"],
        cwd=moonpool.directory,
        env=moonpool.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "call_started" and "sleep 60" in line:
            break
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_export_at_once(moonpool: Shell, sleeper: str, number: signal.Signals) -> None:
    process = begun(moonpool, sleeper)
    for _ in range(2):
        process.send_signal(number)
        time.sleep(0.3)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, out + err
    last = json.loads(out.splitlines()[-1])
    assert last["outcome"] == "interrupted"
    assert b"+made" in Path(last["patch"]).read_bytes()


def test_on_a_terminal_an_ask_is_shown_and_answered(moonpool: Shell, tmp_path: Path) -> None:
    policy = tmp_path / "asking.yaml"
    policy.write_text(
        "version: 1\nname: asking\nextends: read-only\ntools: [bash]\npaths: {write: [.]}\n"
        "+commands:\n  - {program: touch, ask: true}\n"
    )
    script = tmp_path / "touch.yaml"
    script.write_text(
        "version: 1\nturns:\n"
        "  - calls: [{tool: bash, arguments: {command: touch yes.txt}}]\n"
        "  - calls: [{tool: bash, arguments: {command: touch no.txt}}]\n"
        "  - text: Done.\n"
    )
    arguments = [str(SCRIPT), "run", "x", "-p", str(policy), "-m", f"script:{script}"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(moonpool.directory)
        os.execve(SCRIPT, arguments, {**moonpool.environ, "TERM": "xterm"})
    text = ""
    answers = ["y\n", "n\n"]
    while True:
        try:
            piece = os.read(terminal, 4096).decode("utf-8", "replace")
        except OSError:
            break
        if not piece:
            break
        text += piece
        if answers and text.count("[y/N]") > 2 - len(answers):
            os.write(terminal, answers.pop(0).encode())
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, text
    assert "touch yes.txt" in text
    assert "declined" in text
    (patch,) = Path(moonpool.environ["MOONPOOL_HOME"]).rglob("patch.diff")
    assert b"yes.txt" in patch.read_bytes()
    assert b"no.txt" not in patch.read_bytes()


def snapshot(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
