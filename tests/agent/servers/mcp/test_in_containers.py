"""`moonpool mcp` in real containers: a hostile client, and one started in a hostile place."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line.running import CACHE_HOME, SCRIPT
from fakes.mcp_client import FrameClient
from foreign_images import foreign
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_RUN

Serve = Callable[..., "ClientOfProcess"]


class ClientOfProcess(FrameClient):
    """A client of `moonpool mcp` as a person's editor would start it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._streams = (process.stdin, process.stdout)
        super().__init__(os.dup(process.stdin.fileno()), os.dup(process.stdout.fileno()))
        for stream in self._streams:
            stream.close()

    def run_id(self, **arguments: object) -> tuple[str, str]:
        """The handle of a new sandbox, and the id of its run."""
        opened = self.done("open", **arguments)
        return opened["sandbox"], opened["run"]


@pytest.fixture
def serve(tmp_path: Path, engine: Engine, image: str) -> Iterator[Serve]:
    """Starts a server in a directory, and gives its client; at the end nothing of it stands."""
    started: list[ClientOfProcess] = []
    home = tmp_path / "state"

    def starter(directory: Path, *arguments: str, **environ: str) -> ClientOfProcess:
        (tmp_path / "person").mkdir(exist_ok=True)
        process = subprocess.Popen(
            [str(SCRIPT), "mcp", *arguments],
            cwd=directory,
            env={
                "HOME": str(tmp_path / "person"),
                "MOONPOOL_HOME": str(home),
                "XDG_CACHE_HOME": CACHE_HOME,
                "PATH": os.environ["PATH"],
                **environ,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(ClientOfProcess(process))
        return started[-1]

    yield starter
    for client in started:
        client.__exit__()
        if client.process.poll() is None:
            client.process.kill()
        client.process.wait(60)
    for run in (home / "runs").iterdir() if (home / "runs").exists() else ():
        for row in engine.containers(f"{LABEL_RUN}={run.name}"):
            engine.remove(row.id)


def _summary(tmp_path: Path, run: str) -> Any:
    return json.loads((tmp_path / "state" / "runs" / run / "run.json").read_text())


def _stand(engine: Engine, run: str) -> int:
    return len(list(engine.containers(f"{LABEL_RUN}={run}")))


def test_nothing_where_the_client_was_started_is_imported_obeyed_or_configuration(
    serve: Serve, workspace: Path, tmp_path: Path
) -> None:
    mark, program = tmp_path / "mark", tmp_path / "canary"
    program.write_text(f"#!/bin/sh\necho sang >> {mark}\ncat\n")
    program.chmod(0o755)
    sing = f"import os; os.system('{program} < /dev/null')\n"
    for name in ("mcp", "mcp_types", "anyio", "pydantic", "starlette", "agent", "sandbox", "docker",
                 "sitecustomize", "usercustomize", "json", "opentelemetry"):  # fmt: skip
        (workspace / f"{name}.py").write_text(sing)
        (workspace / name).mkdir()
        (workspace / name / "__init__.py").write_text(sing)
    everything = (
        "version: 1\nname: default\nextends: default\n+commands: [perl]\nexec_workspace: true\n"
    )
    for name in ("default", "default.yaml", ".moonpool.yaml", "moonpool.yaml", "config.yaml"):
        (workspace / name).write_text(everything)
    for name in (".env", ".envrc", "pyproject.toml", ".mcp.json"):
        (workspace / name).write_text(
            f"DOCKER_HOST=unix://{mark}\nMOONPOOL_HOME=/\nMOONPOOL_CONFIG=config.yaml\n"
        )
    for name in ("git", "docker", "python3"):
        (workspace / f"{name}.d").mkdir()
        (workspace / f"{name}.d" / name).symlink_to(program)
    client = serve(workspace, "--root", ".", PATH=f".:git.d:docker.d:{os.environ['PATH']}")
    box = client.opened()
    denied = client.refused("run", sandbox=box, command="perl -e 'print 42*42'")
    assert "1764" not in denied
    client.done("run", sandbox=box, command="echo changed > c")
    for tool in ("diff", "export"):
        client.done(tool, sandbox=box)
    client.done("verify", sandbox=box, command="cat c")
    client.done("close", sandbox=box)
    client.hang_up()
    assert client.process.wait(60) == 0
    assert not mark.exists()


def test_a_client_gets_what_the_kernel_lets_it_and_no_more(
    serve: Serve, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "a").write_text("a\n")
    secret = tmp_path / "secret"
    secret.write_text("sesame")
    client = serve(workspace, "--root", str(workspace))
    box = client.opened()
    hidden = "P=/usr/bin/per; ${P}l -e 'print 6*7'"
    tried = client.done("run", sandbox=box, command=hidden)
    assert "42" not in tried["output"]
    assert tried["refused"] == ["/usr/bin/perl"]
    network = "python3 -c \"import socket; socket.create_connection(('1.1.1.1', 53), 2)\""
    assert client.done("run", sandbox=box, command=network)["exit_code"] != 0
    for path in (str(secret), f"../../../..{secret}", "/proc/1/root/etc/shadow"):
        assert "sesame" not in client.refused("read_file", sandbox=box, path=path)
    assert client.done("diff", sandbox=box)["patch"] == ""


def test_a_call_that_is_taken_back_is_over_in_the_container(serve: Serve, workspace: Path) -> None:
    client = serve(workspace, "--root", str(workspace))
    box = client.opened()
    slow = client.begin("run", sandbox=box, command="touch begun; sleep 600 & wait")
    client.begin("run", sandbox=box, command="touch never")
    waits = client.opened()
    assert client.done("run", sandbox=waits, command="true")["exit_code"] == 0
    client.notify("notifications/cancelled", {"requestId": slow})
    seen = client.done("run", sandbox=box, command="pgrep -c sleep; ls")
    assert seen["output"].startswith("0\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_command_exports_and_removes(
    serve: Serve, workspace: Path, tmp_path: Path, engine: Engine, number: signal.Signals
) -> None:
    (workspace / "a").write_text("one\n")
    client = serve(workspace, "--root", str(workspace))
    box, run = client.run_id()
    client.done("run", sandbox=box, command="echo two > a")
    client.begin("run", sandbox=box, command="sleep 600")
    assert _stand(engine, run) == 1
    client.process.send_signal(number)
    assert client.process.wait(60) == 130
    summary = _summary(tmp_path, run)
    assert summary["outcome"] == "interrupted"
    assert b"+two" in Path(summary["patch"]).read_bytes()
    assert _stand(engine, run) == 0


def test_a_client_that_goes_in_the_middle_of_a_command_leaves_nothing(
    serve: Serve, workspace: Path, tmp_path: Path, engine: Engine
) -> None:
    (workspace / "a").write_text("one\n")
    client = serve(workspace, "--root", str(workspace))
    box, run = client.run_id()
    client.done("run", sandbox=box, command="echo two > a")
    client.begin("run", sandbox=box, command="sleep 600")
    client.stop_listening()
    client.hang_up()
    assert client.process.wait(60) == 0
    assert b"+two" in Path(_summary(tmp_path, run)["patch"]).read_bytes()
    assert _stand(engine, run) == 0


def test_the_work_outlives_a_server_that_was_killed(
    serve: Serve, workspace: Path, tmp_path: Path, engine: Engine
) -> None:
    (workspace / "a").write_text("one\n")
    client = serve(workspace, "--root", str(workspace))
    box, run = client.run_id()
    client.done("run", sandbox=box, command="echo two > a")
    client.process.kill()
    client.process.wait(60)
    environ = {
        "HOME": str(tmp_path / "person"),
        "MOONPOOL_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": CACHE_HOME,
        "PATH": os.environ["PATH"],
    }
    resumed = subprocess.run(
        [str(SCRIPT), "resume", run, "--export-only"],
        env=environ,
        capture_output=True,
        timeout=100,
        check=False,
    )
    summary = _summary(tmp_path, run)
    assert summary["outcome"] == "cut short", resumed.stderr
    assert b"+two" in Path(summary["patch"]).read_bytes()
    assert _stand(engine, run) == 0


def test_a_server_that_is_told_no_root_serves_nothing(serve: Serve, workspace: Path) -> None:
    client = serve(workspace)
    assert client.process.wait(60) == 2
    with pytest.raises((EOFError, BrokenPipeError)):
        client.answer(client.request("tools/list"))


@pytest.mark.slow
def test_folder_of_an_image_is_opened_where_a_root_names_it_and_nothing_is_applied_there(
    serve: Serve, tmp_path: Path, engine: Engine, image: str
) -> None:
    dockerfile = f"FROM {image}\nUSER root\nRUN mkdir /testbed && echo one > /testbed/a.txt\n"
    policy = tmp_path / "testbed.yaml"
    files = {"Dockerfile": dockerfile.encode()}
    with foreign(engine, "testbed-mcp", files, moved=("", "/testbed")) as made:
        policy.write_text(f"version: 1\nname: testbed\nextends: default\nimage: {made}\n")
        client = serve(tmp_path, "--root", "image:/testbed", "-p", str(policy), "--allow-apply")
        assert "image:/testbed" in client.refused("open", workspace=str(tmp_path))
        box, run = client.run_id()
        client.done("run", sandbox=box, command="echo two >> /testbed/a.txt")
        assert "a folder of its image" in client.refused("apply", sandbox=box)
        assert "+two" in client.done("diff", sandbox=box)["patch"]
        client.done("close", sandbox=box)
    assert _summary(tmp_path, run)["workspace"] == "image:/testbed"
    assert _stand(engine, run) == 0
