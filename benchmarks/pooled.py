"""What many sandboxes in one process cost: a worker of `batch.py`, one part to a process.

Prints one line of JSON: what was measured, by name.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.batch.sandbox_pool import SandboxPool
from agent.lifecycle.job import Job
from agent.record.store import new_run_id
from policies.loading import load
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

THREADS = 8
WARM_ROUNDS = 12


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def pss_bytes() -> int:
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) << 10 for row in rows if row.startswith("Pss:"))


def warm(workspace: Path, image: str) -> dict[str, list[float]]:
    """Seconds from the call of `open_box` to the first result, and those of a `docker run`."""
    policy = load("default")

    def job() -> Job:
        return Job(
            run_id=new_run_id(),
            task="x",
            workspace=workspace,
            policy=policy,
            verify=None,
            may_ask=False,
            kernel_policy="require",
            environ=os.environ,
        )

    opened, engine = [], []
    run = ["docker", "run", "--rm", "--network", "none", image, "true"]
    pool = SandboxPool(os.environ, jobs=1)
    try:
        for _ in range(WARM_ROUNDS):
            pool.expect(job(), 1)
            assert pool.settle(120)
            start = time.perf_counter()
            box = pool.open_box(job(), lambda _: None)
            assert box.run("true").exit_code == 0
            opened.append(time.perf_counter() - start)
            box.close()
            engine.append(timed(lambda: subprocess.run(run, check=True, capture_output=True)))
    finally:
        pool.close()
    return {"warm": opened[1:], "docker run": engine[1:]}


def many(workspace: Path, count: int) -> dict[str, list[float]]:
    """Opened a second by several threads, how many answer at once, and our memory for each."""
    policy, engine = load("default"), Engine.connect(os.environ)

    def opened(_: int) -> Sandbox:
        return Sandbox.open(workspace=workspace, policy=policy, engine=engine)

    boxes = [opened(0)]
    assert boxes[0].run("true").exit_code == 0
    before = pss_bytes()
    start = time.perf_counter()
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            boxes += threads.map(opened, range(count - 1))
        taken_s = time.perf_counter() - start
        memory = pss_bytes() - before
        answering = sum(box.run("echo $((6*7))").stdout == b"42\n" for box in boxes)
    finally:
        left = list(boxes)
        closers = [threading.Thread(target=_close, args=(left,)) for _ in range(THREADS)]
        for thread in closers:
            thread.start()
        for thread in closers:
            thread.join()
    return {
        "a second": [(count - 1) / taken_s],
        "answering": [answering],
        "MiB each": [memory / (count - 1) / (1 << 20)],
    }


def _close(left: list[Sandbox]) -> None:
    while left:
        try:
            left.pop().close()
        except IndexError:
            return


def main() -> None:
    part, workspace, more = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    found = warm(workspace, more) if part == "warm" else many(workspace, int(more))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
