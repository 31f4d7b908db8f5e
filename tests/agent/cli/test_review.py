"""``moonpool review`` as a process: an address, one browser, and an end."""

import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import ROOT
from command_line.running import SCRIPT, Shell
from fakes.model import say
from fakes.reviews import recorded
from fakes.runs import FakeRun
from policies.loading import load
from waiting import WAIT_S


@pytest.fixture
def home(tmp_path: Path) -> Path:
    recorded(FakeRun(home=tmp_path, policy=load("default"), files={"a": b"1\n"}), say("done"))
    return tmp_path


@pytest.fixture
def server(home: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [SCRIPT, "review", "last", "--no-open"],
        cwd=home,
        env={"MOONPOOL_HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        yield started
        started.kill()


def test_it_prints_an_address_serves_it_and_ends_by_ctrl_c(
    server: "subprocess.Popen[str]",
) -> None:
    assert server.stdout is not None
    address = server.stdout.readline().removeprefix("review: ").strip()
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address, timeout=WAIT_S) as answer:
        assert answer.status == 200
        assert answer.headers["server"] is None
    server.send_signal(2)
    _, errors = server.communicate(timeout=WAIT_S)
    assert server.returncode == 0
    assert errors == ""


def test_a_port_in_use_is_named_with_what_to_do(moonpool: Shell, home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = moonpool("review", "last", "--port", port, env={"MOONPOOL_HOME": str(home)})
    assert done.returncode == 2
    assert f"port {port} can't be listened on" in done.stderr
    assert "--port" in done.stderr


def test_what_is_no_run_and_no_batch_is_a_mistake_of_the_command_line(
    moonpool: Shell, home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for wanted, words in (("nope", "no run"), (f"{other}/", "no batch's folder")):
        done = moonpool("review", wanted, "--no-open", env={"MOONPOOL_HOME": str(home)})
        assert done.returncode == 2
        assert words in done.stderr
