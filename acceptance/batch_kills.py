"""Batches of 40 tasks, killed 50 times at random moments and taken up by the same command.

Run by hand, as it takes minutes. Prints each number that has to be 0, and ends with 1 where one is
not.

    .venv/bin/python -P acceptance/batch_kills.py [SEED]
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sandbox import supply
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED, LABEL_RUN
from sandbox.opening.stored import stored

TASKS, KILLS, WORKERS, REPOSITORIES = 40, 50, 4, 8
SHORTEST_S, LONGEST_S = 0.3, 3.0
SCRIPT = Path(sys.executable).with_name("moonpool")


def write_tasks(directory: Path) -> Path:
    """Each task appends its number to a file, call by call: what is done twice would be seen."""
    lines = []
    for n in range(TASKS):
        workspace = directory / "repos" / str(n % REPOSITORIES)
        workspace.mkdir(parents=True, exist_ok=True)
        if n < REPOSITORIES:
            # No copy of it stands already, and making one takes a while: that is killed too.
            (workspace / "data.bin").write_bytes(os.urandom(8 << 20))
        calls = [f"echo {n}.{step} >> log.txt; sleep 0.1" for step in range(4)]
        turns = [{"calls": [{"tool": "bash", "arguments": {"command": call}}]} for call in calls]
        script = directory / f"{n}.yaml"
        script.write_text(json.dumps({"version": 1, "turns": [*turns, {"text": "Done."}]}))
        task = {
            "id": f"t{n}",
            "task": "x",
            "workspace": str(workspace),
            "model": f"script:{script}",
            "verify": f"test $(wc -l < log.txt) = 4 && grep -q {n}.3 log.txt",
        }
        lines.append(json.dumps(task))
    path = directory / "tasks.jsonl"
    path.write_text("\n".join(lines))
    return path


def killed(command: list[str], environ: dict[str, str], seconds: float) -> bool:
    """Start it and kill it after so long; False where it was over by then."""
    process = subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def left(engine: Engine, runs: set[str], before: set[str]) -> dict[str, list[str]]:
    """What stands of these runs and of pools that are gone, and images that nobody finished."""
    containers = [
        row.name
        for row in engine.containers(LABEL_DEADLINE)
        if supply.run_of(row.labels, row.name) in runs
        or (supply.is_waiting(row) and supply.is_left(row.labels))
    ]
    volumes = [
        row.name
        for row in engine.volumes(LABEL_MANAGED)
        if row.labels.get(LABEL_RUN) in runs or supply.is_left(row.labels)
    ]
    unfinished = [item.id for item in stored(engine) if item.id not in before and not item.finished]
    return {"containers": containers, "volumes": volumes, "unfinished images": unfinished}


def worked_through(
    directory: Path, engine: Engine, moments: random.Random, most: int
) -> tuple[int, dict[str, int]]:
    """One batch, killed as long as there is work: how often, and what has to be 0 of it."""
    before = {item.id for item in stored(engine)}
    out = directory / "out"
    words = ["batch", "run", str(write_tasks(directory)), "-o", str(out), "-j", str(WORKERS)]
    command = [str(SCRIPT), *words]
    environ = {**os.environ, "MOONPOOL_HOME": str(directory / "home")}
    kills = 0
    while kills < most and killed(command, environ, moments.uniform(SHORTEST_S, LONGEST_S)):
        kills += 1
    # The last start is left alone.
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    counts = Counter(row["task_id"] for row in rows)
    wrong = [row["task_id"] for row in rows if row["outcome"] != "finished" or not row["verified"]]
    runs = {path.name for path in (out / "runs").iterdir()}
    found = {
        "lost": TASKS - len(counts),
        "done twice": sum(count - 1 for count in counts.values()),
        "not as they should be": len(wrong),
        "exit code": done.returncode,
        **{what: len(items) for what, items in left(engine, runs, before).items()},
    }
    print(f"{TASKS} tasks, {kills} kills, {len(runs)} runs: {found}", flush=True)
    if any(found.values()):
        print(done.stderr[-2000:], wrong, sep="\n")
    return kills, found


def main() -> int:
    """Do it; gives the exit code."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else int(time.time())
    moments = random.Random(seed)
    engine = Engine.connect(os.environ)
    kills = 0
    while kills < KILLS:
        directory = Path(tempfile.mkdtemp(prefix="batch-kills-"))
        more, found = worked_through(directory, engine, moments, KILLS - kills)
        if any(found.values()) or not more:
            print(f"seed {seed}, {kills + more} kills: see {directory}")
            return 1
        kills += more
        shutil.rmtree(directory)
    print(f"seed {seed}: {kills} kills")
    return 0


if __name__ == "__main__":
    sys.exit(main())
