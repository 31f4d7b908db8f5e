"""Batches on a real Ray cluster of two machines, both this one: sent, made, killed, taken up.

Opt-in (`make test-ray`): Ray is an extra. Each machine has its own place for records, its own cache
and its own way to the engine; to one of them an image is hidden (`hiding_proxy`).
"""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE
from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, How, answer

BIN = Path(sys.executable).parent
SEEN, HIDDEN = "moonpool-on-ray/seen:1", "moonpool-on-ray/hidden:1"
KEY = "sk-ant-REDACTED-000000000000"
TOKEN = Path(tempfile.gettempdir()) / f"moonpool-on-ray-token-{os.getpid()}"
LIMIT_S = 240.0
WORKS = """
  - calls: [{tool: bash, arguments: {command: "echo step >> done.txt"}}]
  - calls: [{tool: bash, arguments: {command: "cat done.txt"}}]
  - text: Done.
"""
SLOW = """
  - calls: [{tool: bash, arguments: {command: "echo step >> done.txt"}}]
  - calls: [{tool: bash, arguments: {command: "sleep 6"}}]
  - calls: [{tool: bash, arguments: {command: "cat done.txt"}}]
  - text: Done.
"""


@dataclass
class Machine:
    """A node of the cluster."""

    place: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    temp: Path = Path("/nowhere")

    @property
    def home(self) -> Path:
        return self.place / "home"

    def start(self, *words: str) -> None:
        # Its sockets' paths must be short.
        self.temp = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
        with (self.place / "ray.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    BIN / "ray", "start", "--block", "--num-cpus=1", f"--temp-dir={self.temp}",
                    "--object-store-memory=100000000", '--resources={"sandbox": 2}',
                    "--disable-usage-stats", *words,
                ],
                cwd="/", env=self.environ, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def processes(self) -> list[int]:
        """Those that name its folder."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal():
                    words = (entry / "cmdline").read_bytes()
                    if os.fsencode(self.temp) in words and int(entry.name) != os.getpid():
                        found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """As when its plug is pulled."""
        workers = self.workers()
        for pid in [*self.processes(), *workers]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Processes that its raylet started: their own words don't name it."""
        parents = {str(pid) for pid in self.processes()}
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[1] in parents:
                    found.append(int(entry.name))
        return found


@dataclass
class TwoMachines:
    address: str
    head: Machine
    other: Machine
    loads: Path

    def alive(self) -> int:
        code = (
            "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR');"
            "print(sum(row['Alive'] for row in ray.nodes()))"
        )
        words = [sys.executable, "-P", "-c", code, self.address]
        done = subprocess.run(
            words, cwd="/", env=self.head.environ, capture_output=True, text=True, check=False
        )
        return int(done.stdout.split()[-1]) if done.returncode == 0 else 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(
    said: str, holds: Any, limit_s: float = LIMIT_S, process: "subprocess.Popen[str] | None" = None
) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert process is None or process.poll() is None, f"the command ended before: {said}"
        assert time.monotonic() < end, f"not within {limit_s:.0f} s: {said}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.connect(os.environ)


@pytest.fixture(scope="module", autouse=True)
def token() -> Iterator[None]:
    """The cluster asks for it, and nobody tells the command to send it."""
    TOKEN.touch(0o600)
    TOKEN.write_text(os.urandom(32).hex())
    yield
    TOKEN.unlink()


@pytest.fixture(scope="module", autouse=True)
def images(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two images of one file each, which hold nothing that runs."""
    for ref in (SEEN, HIDDEN):
        tar = tmp_path_factory.mktemp("image") / "root.tar"
        with tarfile.open(tar, "w") as archive:
            content = f"{ref} {os.urandom(8).hex()}\n".encode()
            member = tarfile.TarInfo("marker")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        engine.import_rootfs(tar, ref=ref)
    yield
    for ref in (SEEN, HIDDEN):
        engine.remove_image(ref)


@contextlib.contextmanager
def two_machines(place: Path, **keys: str) -> Iterator[TwoMachines]:
    """`keys`: variables that each machine has of its own."""
    made = []
    for name in ("head", "other"):
        own = place / name
        own.mkdir()
        environ = {
            **os.environ,
            "MOONPOOL_HOME": str(own / "home"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(TOKEN),
        }
        environ.pop("ANTHROPIC_API_KEY", None)
        environ.update(keys)
        made.append(Machine(place=own, environ=environ))
    head, other = made
    folder = Path(tempfile.mkdtemp(prefix="p", dir="/tmp"))
    loads = place / "loads"
    proxy_file = Path(__file__).with_name("hiding_proxy.py")
    words = [sys.executable, "-P", str(proxy_file), str(folder / "s")]
    with loads.open("wb") as output:
        proxy = subprocess.Popen([*words, HIDDEN], stdout=output)
    other.environ["DOCKER_HOST"] = f"unix://{folder}/s"
    port = free_port()
    both = TwoMachines(address=f"127.0.0.1:{port}", head=head, other=other, loads=loads)
    try:
        head.start("--head", f"--port={port}", "--include-dashboard=false")
        until("the head answers", lambda: both.alive() == 1, 60)
        other.start(f"--address={both.address}")
        until("both machines are there", lambda: both.alive() == 2, 60)
        yield both
    finally:
        for machine in (other, head):
            machine.kill()
        proxy.kill()
        proxy.wait()
        for machine in (other, head):
            if machine.process is not None:
                machine.process.wait()
            shutil.rmtree(machine.temp, ignore_errors=True)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoMachines]:
    """For tests that leave them as they are."""
    with two_machines(tmp_path_factory.mktemp("two")) as both:
        yield both


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[TwoMachines]:
    """For one test alone."""
    with two_machines(tmp_path) as both:
        yield both


@dataclass
class Batch:
    """A tasks file, and the command on it."""

    place: Path
    address: str
    script: str = WORKS
    count: int = 6
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.out = self.place / "night"
        workspace = self.place / "ws"
        workspace.mkdir()
        (workspace / "a.txt").write_text("one\n")
        (workspace / ".env").write_text("PASSWORD=never-leave-home\n")
        script = self.place / "script.yaml"
        script.write_text(f"version: 1\nturns:\n{self.script.lstrip(chr(10))}")
        rows = [
            {
                "id": f"t{number}", "task": "do it", "workspace": str(workspace),
                "model": f"script:{script}", **self.values,
            }
            for number in range(self.count)
        ]  # fmt: skip
        self.file = self.place / "tasks.jsonl"
        self.file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def words(self, *more: str) -> list[str]:
        return [
            str(BIN / "moonpool"), "batch", "run", str(self.file), "-o", str(self.out),
            "--engine", "ray", "--ray-address", self.address, *more,
        ]  # fmt: skip

    def start(self, *more: str) -> subprocess.Popen[str]:
        environ = {
            **os.environ,
            "MOONPOOL_HOME": str(self.place / "driver"),
            "ANTHROPIC_API_KEY": KEY,
            "RAY_AUTH_TOKEN_PATH": str(TOKEN),
        }
        return subprocess.Popen(
            self.words(*more), env=environ, cwd=self.place, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *more: str) -> tuple[int, str, str]:
        process = self.start(*more)
        out, err = process.communicate(timeout=LIMIT_S)
        return process.returncode, out, err

    def rows(self) -> list[dict[str, Any]]:
        lines = (self.out / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def patches(self) -> list[str]:
        return [(self.out / row["patch"]).read_text() for row in self.rows()]

    def logs(self) -> list[str]:
        return [path.read_text() for path in sorted(self.out.glob("runs/*/run.log"))]


def all_done(batch: Batch) -> None:
    """Each task finished once, and did what it does once."""
    rows = batch.rows()
    assert [row["task_id"] for row in rows] == [f"t{n}" for n in range(batch.count)]
    assert {row["outcome"] for row in rows} == {"finished"}
    for patch in batch.patches():
        assert patch.count("+step") == 1, patch


def holds(place: Path, needle: bytes) -> list[Path]:
    return [
        path for path in place.rglob("*") if path.is_file() and needle in path.read_bytes()
    ]  # fmt: skip


def standing(engine: Engine, runs: Sequence[str]) -> list[str]:
    names = [row.name for row in engine.containers(LABEL_DEADLINE)]
    return [name for name in names if any(run in name for run in runs)]


def test_both_machines_work_and_the_files_are_those_of_a_batch_at_home(
    machines: TwoMachines, tmp_path: Path, engine: Engine
) -> None:
    batch = Batch(tmp_path, machines.address, count=8)
    code, out, err = batch.run("--json")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]  # nothing of a worker's is among them
    assert events[-1]["finished"] == 8
    all_done(batch)
    runs = [path.name for path in (batch.out / "runs").iterdir()]
    assert sorted(runs) == sorted(row["run_id"] for row in batch.rows())
    made_in = {
        json.loads((batch.out / f"runs/{run}/run.json").read_text())["patch"] for run in runs
    }
    for machine in (machines.head, machines.other):
        assert any(path.startswith(str(machine.home)) for path in made_in)
        assert list(machine.home.rglob("events.jsonl")) == []  # all of them are at home
    files = {path.name for path in (batch.out / "runs" / runs[0]).iterdir()}
    assert files >= {"run.json", "events.jsonl", "patch.diff", "report.html", "trajectory.json"}
    assert standing(engine, runs) == []


def test_a_machine_starts_no_process_that_makes_no_attempt(
    machines: TwoMachines, tmp_path: Path
) -> None:
    batch = Batch(tmp_path, machines.address, count=12)
    before = machines.other.workers()  # the last batch's are still there
    process = batch.start()
    seen = set()
    while process.poll() is None:
        for pid in set(machines.other.workers()).difference(before):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::"):
                    seen.add(pid)
        time.sleep(0.1)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert 1 <= len(seen) <= 2  # it runs two at once


def test_neither_keys_nor_excluded_files_get_to_a_machine(
    machines: TwoMachines, tmp_path: Path
) -> None:
    batch = Batch(tmp_path, machines.address, count=2)
    code, _, err = batch.run()
    assert code == 0, err
    for machine in (machines.head, machines.other):
        for place in (machine.temp, machine.place):
            assert holds(place, KEY.encode()) == []
            assert holds(place, b"never-leave-home") == []
    assert holds(batch.out, KEY.encode()) == []


def test_a_folder_in_which_somebody_stands_gives_workers_no_modules(
    machines: TwoMachines, tmp_path: Path
) -> None:
    batch = Batch(tmp_path, machines.address, count=2)
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/__init__.py").write_text("raise SystemExit('a module of the tree')\n")
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the tree')\n")
    code, _, err = batch.run()
    assert code == 0, err
    all_done(batch)


def test_an_image_that_one_machine_lacks_is_sent_there_once(
    machines: TwoMachines, tmp_path: Path
) -> None:
    batch = Batch(tmp_path, machines.address, count=8, values={"image": HIDDEN})
    code, _, err = batch.run()
    assert code == 0, err
    all_done(batch)
    said = [log for log in batch.logs() if "is not on this machine" in log]
    assert len(said) == 1
    assert machines.loads.read_text().count("loaded") == 1


def test_a_machine_that_is_killed_loses_no_task(mortal: TwoMachines, tmp_path: Path) -> None:
    batch = Batch(tmp_path, mortal.address, script=SLOW)
    process = batch.start("--json")
    until(
        "the other machine works",
        lambda: list(mortal.other.home.rglob("events.jsonl")),
        process=process,
    )
    mortal.other.kill()
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    all_done(batch)
    events = [json.loads(line) for line in out.splitlines()]
    delayed = [event for event in events if event["event"] == "attempt_delayed"]
    # What ran there is repeated, and nothing else: two at once, and what was just begun.
    assert 1 <= len({event["task_id"] for event in delayed}) <= 4
    assert {event["error_kind"] for event in delayed} == {"environment"}


def test_a_batch_whose_own_process_is_killed_is_gone_on_with_by_the_same_command(
    machines: TwoMachines, tmp_path: Path, engine: Engine
) -> None:
    batch = Batch(tmp_path, machines.address, script=SLOW)
    process = batch.start()
    homes = (machines.head.home, machines.other.home)
    until(
        "both work",
        lambda: all(list(home.rglob("events.jsonl")) for home in homes),
        process=process,
    )
    time.sleep(2.0)
    begun = {path.parent.name for home in homes for path in home.rglob("events.jsonl")}
    process.kill()
    process.communicate()
    code, _, err = batch.run()
    assert code == 0, err
    all_done(batch)
    runs = {path.name for path in (batch.out / "runs").iterdir()}
    assert begun <= runs  # taken up where they stood, not begun again
    assert standing(engine, sorted(runs)) == []


def test_a_batch_whose_desk_is_killed_says_so_once_and_is_gone_on_with_by_the_same_command(
    machines: TwoMachines, tmp_path: Path
) -> None:
    batch = Batch(tmp_path, machines.address, script=SLOW, count=12)
    process = batch.start()
    until(
        "one works",
        lambda: list(machines.other.home.rglob("events.jsonl")),
        process=process,
    )
    for pid in [*machines.head.workers(), *machines.other.workers()]:
        with contextlib.suppress(OSError):
            if b"BatchDesk" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1, err
    assert err.count("no further task is begun: the process that keeps the batch's budget") == 1
    assert "set aside" not in err
    code, _, err = batch.run()
    assert code == 0, err
    all_done(batch)


def test_a_call_in_which_the_batchs_own_process_is_killed_is_paid_for(tmp_path: Path) -> None:
    """One answer may cost all of the budget: whoever takes the batch up has nothing left of it."""
    with StandIn() as api:
        api.instead = lambda: Break(How.HANG, before="message_stop", answer=answer("It begins."))
        keys = {"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.url}
        values = {"model": "anthropic:claude-opus-5-5"}
        with two_machines(tmp_path, **keys) as both:
            batch = Batch(tmp_path, both.address, count=4, values=values)
            process = batch.start("--usd", "0.05")
            until("the service is asked", lambda: api.requests, process=process)
            process.kill()
            process.communicate()
            code, _, err = batch.run("--usd", "0.05")
            assert code == 1, err
            rows = batch.rows()
            assert {row["outcome"] for row in rows} == {"limit: the batch's dollars"}
            assert max(row["usd"] or 0.0 for row in rows) > 0.04
            assert len(api.requests) == 1
            api.instead = lambda: answer("Done.")
            code, _, err = batch.run("--usd", "5")
            assert code == 0, err
            assert {row["outcome"] for row in batch.rows()} == {"finished"}


def test_a_task_is_cancelled_where_it_runs(
    machines: TwoMachines, tmp_path: Path, engine: Engine
) -> None:
    script = SLOW.replace("sleep 6", "sleep 100")
    batch = Batch(tmp_path, machines.address, script=script, count=2)
    process = batch.start("--json")
    homes = (machines.head.home, machines.other.home)
    until(
        "both work",
        lambda: len([p for h in homes for p in h.rglob("events.jsonl")]) == 2,
        process=process,
    )
    cancel = [str(BIN / "moonpool"), "batch", "cancel", str(batch.out)]
    subprocess.run(cancel, check=True, capture_output=True)
    process.communicate(timeout=60)
    rows = batch.rows()
    assert {row["outcome"] for row in rows} == {"interrupted"}
    assert standing(engine, [row["run_id"] for row in rows]) == []


def test_an_address_at_which_nobody_answers_is_said_in_a_line(tmp_path: Path) -> None:
    batch = Batch(tmp_path, f"127.0.0.1:{free_port()}")
    code, out, err = batch.run()
    assert code == 2
    assert out == ""
    assert "--ray-address" in err
    assert "Traceback" not in err
