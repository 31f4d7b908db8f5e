"""The same batch by the local engine and on a Ray cluster of two machines, both this one, in turn.

    sh scripts/ray_environment.sh && .venv-ray/bin/python -P benchmarks/on_ray.py --tasks 200

Each machine makes one attempt at a time, and the local engine two. Two figures each: the whole
command, and from the first attempt's beginning to the last one's end.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

BIN = Path(sys.executable).parent
SCRIPT = """\
version: 1
turns:
  - calls: [{tool: bash, arguments: {command: "true"}}]
  - calls: [{tool: read_file, arguments: {path: a.txt}}]
  - calls: [{tool: bash, arguments: {command: "echo x >> a.txt"}}]
  - text: Done.
"""


@contextmanager
def cluster(place: Path) -> Generator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    started, folders = [], []
    heads = [["--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false"]]
    for number, words in enumerate([*heads, [f"--address={address}"]]):
        # Sockets' paths must be short.
        folders.append(tempfile.mkdtemp(prefix="r", dir="/tmp"))
        environ = {**os.environ, "MOONPOOL_HOME": str(place / f"home{number}")}
        command = [
            str(BIN / "ray"), "start", "--block", "--num-cpus=1", '--resources={"sandbox": 1}',
            "--object-store-memory=100000000", f"--temp-dir={folders[-1]}",
            "--disable-usage-stats", "--include-log-monitor=false", *words,
        ]  # fmt: skip
        with (place / f"ray{number}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    command, cwd="/", env=environ, stdout=log, stderr=log, start_new_session=True
                )
            )
        while b"block forever" not in (place / f"ray{number}.log").read_bytes():
            if started[-1].poll() is not None:
                sys.exit((place / f"ray{number}.log").read_text())
            time.sleep(0.2)
    try:
        yield address
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def timed(tasks: Path, out: Path, *words: str) -> tuple[float, float]:
    """Seconds of the whole command, and between the first and the last event of all runs."""
    began = time.monotonic()
    command = [str(BIN / "moonpool"), "batch", "run", str(tasks), "-o", str(out), *words]
    done = subprocess.run(command, cwd=out.parent, capture_output=True, text=True, check=False)
    whole_s = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stderr}")
    times = [
        datetime.fromisoformat(json.loads(line)["time"])
        for path in out.glob("runs/*/events.jsonl")
        for line in (path.read_text().splitlines()[0], path.read_text().splitlines()[-1])
    ]
    shutil.rmtree(out)
    return whole_s, (max(times) - min(times)).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    # As where it is installed: or each process of a cluster compiles the same modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="moonpool-on-ray-") as name:
        place = Path(name)
        workspace = place / "ws"
        workspace.mkdir()
        (workspace / "a.txt").write_text("one\n")
        (place / "script.yaml").write_text(SCRIPT)
        row = {"task": "do it", "workspace": str(workspace), "model": f"script:{place}/script.yaml"}
        tasks = place / "tasks.jsonl"
        rows = [json.dumps({"id": f"t{number}", **row}) for number in range(given.tasks)]
        tasks.write_text("\n".join(rows) + "\n")
        local, ray = [], []
        with cluster(place) as address:
            on_ray = ("--engine", "ray", "--ray-address", address)
            for _ in range(given.rounds):
                local.append(timed(tasks, place / "out", "-j", "2"))
                ray.append(timed(tasks, place / "out", *on_ray))
        for index, what in enumerate(("the whole command", "first to last attempt")):
            a, b = (statistics.median(one[index] for one in times) for times in (local, ray))
            each = " ".join(f"{y[index] / x[index]:.2f}" for x, y in zip(local, ray, strict=True))
            print(f"{what}: local {a:.1f} s, two nodes {b:.1f} s: {b / a:.2f} x ({each})")


if __name__ == "__main__":
    main()
