"""A run as a function, for programs."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import agent
from agent import run
from agent.errors import UsageError
from agent.record.events.conversation import CallEnded, CallStarted
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import RunEnded
from agent.verification import Verified
from fakes.model import saying
from policies.errors import PolicyError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOONPOOL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MOONPOOL_CONFIG", raising=False)
    return tmp_path / "home"


@pytest.fixture
def script(tmp_path: Path) -> str:
    """Writes a file and is done."""
    write = {"tool": "write_file", "arguments": {"path": "new.txt", "content": "new\n"}}
    return saying(tmp_path / "script.yaml", {"calls": [write]}, {"text": "Done."})


def test_a_run_gives_what_stands_in_its_summary(
    image: str, workspace: Path, home: Path, script: str
) -> None:
    seen: list[Event] = []
    summary = run("x", workspace, model=script, verify="cat new.txt", on_event=seen.append)
    assert (summary.outcome, summary.exit_code) == ("finished", 0)
    assert isinstance(summary.verification, Verified)
    assert summary.patch is not None
    assert b"+new" in Path(summary.patch).read_bytes()
    written = json.loads((home / "runs" / summary.run_id / "run.json").read_text())
    assert written == summary.json_object()
    assert (home / "runs" / summary.run_id / "report.html").exists()
    assert any(isinstance(event, RunEnded) for event in seen)
    assert list(workspace.iterdir()) == []


def test_runs_in_threads_go_side_by_side(image: str, workspace: Path, script: str) -> None:
    together = threading.Barrier(2, timeout=100)

    def meets(event: Event) -> None:
        if isinstance(event, CallStarted):
            together.wait()

    with ThreadPoolExecutor(2) as threads:
        ended = list(
            threads.map(
                lambda _: run("x", workspace, model=script, on_event=meets),
                range(2),
            )
        )
    assert [summary.outcome for summary in ended] == ["finished"] * 2
    assert ended[0].run_id != ended[1].run_id


def test_what_cannot_be_used_is_an_error_before_anything_is_recorded(
    workspace: Path, home: Path, script: str, tmp_path: Path
) -> None:
    own = workspace / "policy.yaml"
    own.write_text("version: 1\nname: own\n")
    for error, arguments in (
        (UsageError, {"task": " "}),
        (UsageError, {"workspace": tmp_path / "none"}),
        (UsageError, {"policy": own}),
        (UsageError, {"model": "nothing:x"}),
        (UsageError, {"accept_risk": ["no-such-finding"]}),
        (PolicyError, {"policy": "no-such-policy"}),
    ):
        with pytest.raises(error):
            run(**{"task": "x", "workspace": workspace, "model": script, **arguments})  # type: ignore[arg-type]
    assert not (home / "runs").exists()


def test_a_signal_in_the_main_thread_ends_it_with_its_patch(
    image: str, workspace: Path, script: str
) -> None:
    def interrupted(event: Event) -> None:
        if isinstance(event, CallEnded):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    summary = run("x", workspace, model=script, on_event=interrupted)
    assert (summary.outcome, summary.exit_code) == ("interrupted", 130)
    assert summary.patch is not None
    assert signal.getsignal(signal.SIGINT) is before


def test_the_function_is_loaded_when_it_is_asked_for() -> None:
    code = (
        "import sys, agent; assert 'agent.api' not in sys.modules; "
        "agent.run; assert 'agent.api' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(agent.__file__).parents[1])
