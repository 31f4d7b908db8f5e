"""What a run does on the host besides its patch: nothing left behind, nobody called."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from command_line.running import CACHE_HOME
from conftest import OpenBox
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_RUN
from sandbox.results import Ending
from waiting import WAIT_S

CLI = Path(sys.executable).with_name("moonpool")
EAR = """
import os, sys
def hear(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        with open(os.environ["HEARD"], "a") as heard:
            heard.write(f"{event} {arguments[1:] if event == 'socket.connect' else arguments}\\n")
sys.addaudithook(hear)
"""


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {
        "HOME": str(tmp_path), "MOONPOOL_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": CACHE_HOME, "PATH": os.environ["PATH"], **more,
    }  # fmt: skip


def told(command: str) -> str:
    """A model that runs one command."""
    calls = [{"tool": "bash", "arguments": {"command": command}}]
    return json.dumps({"version": 1, "turns": [{"calls": calls}, {"text": "done"}]})


def test_a_run_talks_to_the_engine_and_to_nobody_else(
    workspace: Path, tmp_path: Path, image: str
) -> None:
    (workspace / "a").write_text("a\n")
    (tmp_path / "ear").mkdir()
    (tmp_path / "ear/sitecustomize.py").write_text(EAR)
    script = tmp_path / "script.yaml"
    script.write_text(told("echo b > a"))
    done = subprocess.run(
        [CLI, "run", "x", "-w", workspace, "-m", f"script:{script}", "--verify", "cat a"],
        env=environment(tmp_path, PYTHONPATH=str(tmp_path / "ear"), HEARD=str(tmp_path / "heard")),
        cwd=tmp_path,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    heard = (tmp_path / "heard").read_text().splitlines()
    assert heard, "the engine at least is heard"
    assert [line for line in heard if "docker.sock" not in line] == []


def test_a_killed_orchestrator_leaves_what_ends_by_itself(
    workspace: Path, tmp_path: Path, image: str, engine: Engine
) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(told("sleep 1000"))
    before = {row.id for row in engine.containers(LABEL_RUN)}
    process = subprocess.Popen(
        [CLI, "run", "x", "-w", workspace, "-m", f"script:{script}", "--json"],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    container = ""
    for line in process.stdout:
        row = json.loads(line)
        container = row.get("container") or container
        if row.get("tool") == "bash":
            break
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait()
    assert container
    try:
        assert container not in before
        labels = engine.inspect(container)["Config"]["Labels"]
        assert int(labels[LABEL_DEADLINE]) > time.time(), "it says until when it may stand"
    finally:
        engine.remove(container)


def test_a_sandbox_ends_with_its_lifetime_though_nobody_closes_it(
    open_box: OpenBox, engine: Engine, default_policy: Policy
) -> None:
    """Its own clock ends it, with all that runs in it: the host may be long gone."""
    box = open_box(replace(default_policy, limits=replace(default_policy.limits, time_s=60.0)))
    session = box._session
    session.plan = replace(session.plan, lifetime_s=3)
    engine.kill(box.id)
    assert box.run("true").ending is Ending.LOST
    box.start("sleep 1000")
    engine.wait(box.id, timeout_s=WAIT_S)
    assert not engine.inspect(box.id)["State"]["Running"]
