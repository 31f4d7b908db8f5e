"""What the sandbox costs, on the Moonpool that this process imports.

A worker of `bench.py`: answers each name of a part on standard input with one line of JSON, the
samples of one round of it (seconds, MB or MiB, by the name of what was measured). Uses nothing of
Moonpool but what is public and stays, so that it runs on the code of another checkout too.
"""

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import docker

from policies.loading import load
from sandbox import Sandbox

IMAGE = "moonpool/python:latest"
FILES = 10_000
FILE_BYTES = 36_700  # 350 MiB in all
MANY_FILES = 100_000
MANY_FILE_BYTES = 12_000  # 1.2 GB in all
CHANGED = ("d1/s1/f101.py", "d50/s3/f350.py", "d99/s9/f999.py")
LOADED = "moonpool-bench-loaded"
YOUNG_S = 2.5
"""Younger files are compared by content, as git does; users' files are rarely that young."""

_COPYING = """
import resource, sys
from pathlib import Path
from policies.loading import load
from sandbox import Sandbox
Sandbox.open(workspace=Path(sys.argv[1]), policy=load("default")).close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

Samples = dict[str, list[float]]


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Measuring:
    """Each public method but `open` and `cycle` is a part, to be asked for again and again."""

    def __init__(self, scratch: Path) -> None:
        self.client = docker.from_env()
        self.policy = load("default")
        self.small = scratch / "small"
        self.small.mkdir(parents=True)
        (self.small / "a.py").write_text("print('hello')\n")
        self.large = scratch / "large"
        self.many_files = scratch / "many"
        self.loaded: list[str] = []
        """Images to be removed at the end. Before that nothing large is deleted: where ext4 has no
        journal, whoever makes files within minutes of it looks past each inode that became free."""

    def open(self, workspace: Path) -> Sandbox:
        box = Sandbox.open(workspace=workspace, policy=self.policy)
        assert box.run("true").exit_code == 0
        return box

    def cycle(self) -> None:
        self.open(self.small).close()

    def calls(self) -> Samples:
        plain = self.client.containers.create(
            IMAGE, ["sleep", "600"], network_mode="none", user="1000"
        )
        content = os.urandom(10_000)
        with self.open(self.small) as box:

            def write_and_read() -> None:
                box.write_file("file.bin", content)
                assert box.read_file("file.bin") == content

            def million() -> None:
                assert box.run("head -c 1000000 /dev/zero").exit_code == 0

            def host(*command: str) -> object:
                return subprocess.run(command, capture_output=True, check=True)

            plain.start()
            try:
                return (
                    _in_turn(70, {
                        "bash -c true, warm": lambda: box.run("true"),
                        "subprocess bash -c true": lambda: host("bash", "-c", "true"),
                    })
                    # Not in turn with those: the engine goes on cleaning up after an exec has
                    # answered, which would be counted against whatever comes next.
                    | _in_turn(10, {
                        "exec_run by the SDK": lambda: plain.exec_run(["bash", "-c", "true"]),
                    })
                    | _in_turn(20, {
                        "1 MB of output (64 KiB kept, all spilled)": million,
                        "10 kB write_file + read_file": write_and_read,
                        "subprocess true": lambda: host("true"),
                    })
                )  # fmt: skip
            finally:
                plain.remove(force=True)

    def life(self) -> Samples:
        times: Samples = defaultdict(list)
        run = ["docker", "run", "--rm", "--network", "none", IMAGE, "true"]
        self.cycle()
        for _ in range(4):
            start = time.perf_counter()
            box = self.open(self.small)
            times["open to first result, small"].append(time.perf_counter() - start)
            times["close until the container is gone"].append(timed(box.close))
            times["docker run --rm --network none IMAGE true"].append(
                timed(lambda: subprocess.run(run, check=True, capture_output=True))
            )
            if self.large.exists():
                self._change_large(times)
        return times

    def _change_large(self, times: Samples) -> None:
        start = time.perf_counter()
        with self.open(self.large) as box:
            times["open to first result, 350 MB"].append(time.perf_counter() - start)
            for name in CHANGED:
                box.write_file(name, b"changed\n")
            start = time.perf_counter()
            patch = box.export()
            times["export after changing 3 files of it"].append(time.perf_counter() - start)
            assert len(patch.changes) == 3

    def first(self) -> Samples:
        copy = self.large.with_name(f"copy-{time.time_ns()}")
        os.sync()
        copied_s = timed(lambda: subprocess.run(["cp", "-a", self.large, copy], check=True))
        loaded_s = self._load_large()
        first_s = self._open_first(self._turned_over())
        for name in CHANGED:
            (self.large / name).write_text(str(time.time_ns()))
        time.sleep(YOUNG_S)
        return {
            "open to first result, 350 MB, first time": [first_s],
            "cp -a of it on the host": [copied_s],
            "docker load of it as one layer": [loaded_s],
            "open to first result, 350 MB, 3 files changed": [self._open_first(self.large)],
        }

    def _turned_over(self) -> Path:
        """The large workspace with another content at another place: all of it has to be copied."""
        turn = str(time.time_ns())
        (self.large / "turn").write_text(turn)
        self.large = self.large.rename(self.large.with_name(f"large-{turn}"))
        time.sleep(YOUNG_S)
        return self.large

    def _open_first(self, workspace: Path) -> float:
        os.sync()
        start = time.perf_counter()
        box = self.open(workspace)
        taken_s = time.perf_counter() - start
        box.close()
        return taken_s

    def _load_large(self) -> float:
        """Have the engine load an image of one layer that holds the same files."""
        self.loaded.append(f"{LOADED}:{time.time_ns()}")
        (self.large / "turn").write_text(str(time.time_ns()))
        layer, image = self.large.with_name("layer.tar"), self.large.with_name("image.tar")
        with tarfile.open(layer, "w") as tar:
            tar.add(self.large, arcname="workspace")
        with layer.open("rb") as file:
            layers = [f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": layers},
        }
        manifest = [{"Config": "c.json", "RepoTags": [self.loaded[-1]], "Layers": ["layer.tar"]}]
        with tarfile.open(image, "w") as tar:
            tar.add(layer, arcname="layer.tar")
            for name, value in (("c.json", config), ("manifest.json", manifest)):
                data = json.dumps(value).encode()
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        layer.unlink()
        os.sync()
        load = ["docker", "load", "-q", "-i", str(image)]
        loaded_s = timed(lambda: subprocess.run(load, check=True, capture_output=True))
        image.unlink()
        return loaded_s

    def huge(self) -> Samples:
        """The memory of a process of its own that copies it, and how long another open takes."""
        (self.many_files / "turn").write_text(str(time.time_ns()))
        place = self.many_files.with_name(f"many-{time.time_ns()}")
        self.many_files = self.many_files.rename(place)
        time.sleep(YOUNG_S)
        done = subprocess.run(
            [sys.executable, "-P", "-c", _COPYING, place], check=True, capture_output=True
        )
        times: Samples = defaultdict(list)
        for _ in range(4):
            times["open to first result, 1.2 GB in 100,000 files"].append(self._open_first(place))
            times["open to first result, small"].append(self._open_first(self.small))
        return times | {"MiB of the process that copies these": [float(done.stdout) / 1024]}

    def many(self) -> Samples:
        count = 16
        self.cycle()
        alone_s = sum(timed(self.cycle) for _ in range(count))
        todo = list(range(count))

        def work() -> None:
            while todo:
                todo.pop()
                self.cycle()

        def together() -> None:
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return {
            "open, run, close: one at a time": [alone_s / count],
            "open, run, close: each of 8 at once": [timed(together) / count],
        }

    def memory(self) -> Samples:
        """PSS of an idle sandbox with its shim."""
        return {
            "MB of one idle sandbox with its shim": [self._pss_mb(1)],
            "MB of one of eight": [self._pss_mb(8)],
        }

    def _pss_mb(self, count: int) -> float:
        with ExitStack() as stack:
            boxes = [stack.enter_context(self.open(self.small)) for _ in range(count)]
            time.sleep(1)
            total = 0
            for box in boxes:
                main = int(self.client.api.inspect_container(box.id)["State"]["Pid"])
                stat = Path(f"/proc/{main}/stat").read_text()
                shim = int(stat.rpartition(")")[2].split()[1])
                for pid in (main, shim):
                    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                    total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
        return total * 1024 / 1e6 / count

    def fill(self) -> Samples:
        """Measures nothing: makes the large workspace, which `first` and `life` then use."""
        _fill(self.large, FILES, FILE_BYTES)
        return {}

    def fill_huge(self) -> Samples:
        """Likewise, for `huge`."""
        _fill(self.many_files, MANY_FILES, MANY_FILE_BYTES)
        return {}


def _fill(top: Path, count: int, file_bytes: int) -> None:
    chooser = random.Random(1)
    block = chooser.randbytes(1 << 20)
    for number in range(count):
        folder = top / f"d{number % 100}/s{number // 100 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        start = chooser.randrange(len(block) - file_bytes)
        (folder / f"f{number}.py").write_bytes(block[start : start + file_bytes])
    time.sleep(YOUNG_S)


def _in_turn(count: int, calls: dict[str, Callable[[], object]]) -> Samples:
    """Seconds of each call, after one warm-up of each."""
    for call in calls.values():
        call()
    times: Samples = {name: [] for name in calls}
    for _ in range(count):
        for name, call in calls.items():
            times[name].append(timed(call))
    return times


def main() -> None:
    measuring = Measuring(Path(sys.argv[1]))
    try:
        for line in sys.stdin:
            print(json.dumps(getattr(measuring, line.strip())()), flush=True)
    finally:
        for image in measuring.loaded:
            measuring.client.images.remove(image)


if __name__ == "__main__":
    main()
