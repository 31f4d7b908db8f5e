"""scripts/engine.sh: which engine is used, installed, started, and above all which is left alone.

Every program it could change the machine with is a stand-in on a PATH of our own that writes down
that it was called; the real engine is neither asked nor touched.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from checkout import ROOT

HARMLESS = ("dirname", "sed", "setsid", "sh", "tail", "touch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine as the script sees it. An engine answers once the file ``up`` is there."""

    folder: Path

    def program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >>"{self.folder}/calls"\n{script}\n')
        path.chmod(0o755)

    def lacks(self, name: str) -> None:
        (self.folder / "bin" / name).unlink()

    def engine_runs(self) -> None:
        (self.folder / "up").touch()

    def run(self, **environ: str) -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/sh", self.script(), self.folder / "bin/python"],
            env={
                "PATH": str(self.folder / "bin"),
                "HOME": str(self.folder),
                "MOONPOOL_ENGINE_LOG": str(self.folder / "log"),
                **environ,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def script(self) -> Path:
        """The script, without the folders it adds to PATH: this machine's real tools are there."""
        text = (ROOT / "scripts/engine.sh").read_text()
        added = "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n"
        assert added in text
        copy = self.folder / "scripts/engine.sh"
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(text.replace(added, ""))
        return copy

    def changes(self) -> list[str]:
        """Calls that would have installed or started something."""
        calls = (self.folder / "calls").read_text().splitlines()
        return [call for call in calls if call.startswith(("apt-get", "dockerd"))]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Root on a bare Debian: no engine, no systemd, a package manager that works."""
    found = Machine(folder=tmp_path)
    (tmp_path / "bin").mkdir()
    for name in HARMLESS:
        real = shutil.which(name)
        assert real is not None
        (tmp_path / "bin" / name).symlink_to(real)
    up, programs = tmp_path / "up", tmp_path / "bin"
    found.program(
        "python", f"test -e {up} && echo 20.10 at unix:///x && exit; echo no engine: X; false"
    )
    found.program("id", "echo 0")
    found.program("sleep", "exec /bin/sleep 0.05")
    found.program("pidof", "exit 1")
    found.program("systemctl", "echo offline; exit 1")
    found.program("off/dockerd", f"touch {up}; while test -e {up}; do /bin/sleep 0.05; done")
    install = f"/bin/mv {programs}/off/dockerd {programs}/dockerd"
    found.program("apt-get", f'case "$*" in *docker.io*) {install};; esac')
    yield found
    # With that the stand-in for the daemon ends.
    up.unlink(missing_ok=True)


def test_an_engine_that_answers_is_left_alone(machine: Machine) -> None:
    machine.engine_runs()
    assert machine.run() == (0, "engine: 20.10 at unix:///x\n")
    assert machine.changes() == []


def test_the_question_whether_one_answers_is_asked_as_the_code_wants_it() -> None:
    done = subprocess.run(
        ["/bin/sh", ROOT / "scripts/engine.sh", sys.executable],
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": "tcp://127.0.0.1:1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("engine: no engine answers at tcp://127.0.0.1:1"), done.stderr


def test_a_bare_machine_gets_debians_and_it_is_started(machine: Machine) -> None:
    code, output = machine.run()
    assert code == 0, output
    assert machine.changes() == [
        "apt-get update -qq",
        "apt-get install -qq -y --no-install-recommends docker.io mmdebstrap",
        "dockerd ",
    ]
    assert output.splitlines()[-1] == "engine: 20.10 at unix:///x"


def test_an_installed_one_is_only_started(machine: Machine) -> None:
    (machine.folder / "bin/off/dockerd").rename(machine.folder / "bin/dockerd")
    code, _ = machine.run()
    assert (code, machine.changes()) == (0, ["dockerd "])


@pytest.mark.parametrize(
    "environ",
    [{"DOCKER_HOST": "tcp://192.0.2.1:2375"}, {"DOCKER_CONTEXT": "work"}],
)
def test_beside_an_engine_somebody_named_none_is_started(
    machine: Machine, environ: dict[str, str]
) -> None:
    code, output = machine.run(**environ)
    assert (code, output) == (3, "engine: no engine: X\n")
    assert machine.changes() == []


def test_beside_a_context_somebody_chose_none_is_started(machine: Machine) -> None:
    (machine.folder / ".docker").mkdir()
    config = machine.folder / ".docker/config.json"
    config.write_text('{\n\t"auths": {},\n\t"currentContext": "rootless"\n}')
    code, _ = machine.run()
    assert (code, machine.changes()) == (3, [])


def test_the_default_context_is_no_choice(machine: Machine) -> None:
    (machine.folder / ".docker").mkdir()
    (machine.folder / ".docker/config.json").write_text('{"currentContext": "default"}')
    code, _ = machine.run()
    assert code == 0


def test_someone_who_is_not_root_gets_one_line(machine: Machine) -> None:
    machine.program("id", "echo 1000")
    code, output = machine.run()
    assert (code, output) == (3, "engine: no engine: X\n")
    assert machine.changes() == []


def test_a_stopped_service_is_not_doubled(machine: Machine) -> None:
    machine.program("systemctl", "case $1 in is-system-running) echo degraded; exit 1;; esac")
    code, output = machine.run()
    assert code == 3
    assert "systemctl start docker" in output
    assert machine.changes() == []


def test_a_daemon_that_listens_elsewhere_is_not_doubled(machine: Machine) -> None:
    machine.program("pidof", "echo 77")
    code, output = machine.run()
    assert code == 3
    assert "set DOCKER_HOST" in output
    assert machine.changes() == []


def test_where_a_service_manager_starts_it_nobody_else_does(machine: Machine) -> None:
    machine.program("systemctl", "case $1 in is-system-running) echo running;; *) exit 1;; esac")
    machine.program(
        "apt-get",
        f'case "$*" in *docker.io*) touch {machine.folder}/up;; esac',
    )
    code, _ = machine.run()
    assert code == 0
    assert [call for call in machine.changes() if call.startswith("dockerd")] == []


def test_a_machine_without_apt_is_told_what_to_do(machine: Machine) -> None:
    machine.lacks("apt-get")
    assert machine.run() == (3, "engine: no engine: X\n")


def test_packages_that_do_not_come_are_an_error(machine: Machine) -> None:
    machine.program("apt-get", "echo E: no network >&2; exit 100")
    code, output = machine.run()
    assert code == 3
    assert output.endswith("E: no network\nengine: apt-get update failed: see above\n")


def test_a_daemon_that_ends_at_once_is_told_with_its_last_lines(machine: Machine) -> None:
    machine.program("dockerd", "echo failed to mount overlay >&2; exit 1")
    code, output = machine.run()
    assert code == 3
    assert "failed to mount overlay" in output
    assert str(machine.folder / "log") in output
