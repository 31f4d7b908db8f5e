"""What a batch exports, judged by those it is made for: ``swebench`` grades, ``harbor`` validates.

`make test-graders` installs both from the package index into throw-away environments, builds an
image with a repository in it under the name that the grader's data set gives, and lets a batch of
scripted tasks work on a copy of that repository. Then the real grader applies the predictions in
containers of that image and runs its tests, from either form of them, and harbor's own models read
each trajectory. A row a check; one that does not hold is exit code 1.

harbor wants Python 3.12: one is looked for on PATH. The grader wants an engine, and no network: the
image is here, and its name is looked up before anything is pulled.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

SWEBENCH, HARBOR = "swebench==5.0.2", "harbor==0.26.0"
ROOT = Path(__file__).resolve().parents[1]
CALCULATOR = ROOT / "examples/calculator"
MOONPOOL = str(Path(sys.executable).with_name("moonpool"))
IMAGE = "moonpool-graders/sweb.eval.x86_64.example_1776_calculator:latest"
DOCKERFILE = """\
FROM moonpool/python:latest
USER root
ENTRYPOINT []
COPY testbed /testbed
WORKDIR /testbed
RUN git init -q && git add -A && git -c user.name=x -c user.email=x@example.org commit -qm baseline
"""
TESTS = "tests/test_arithmetic.py"
EVALUATE = f"""\
#!/bin/bash
set -uxo pipefail
cd /testbed
git checkout HEAD {TESTS}
: '>>>>> Start Test Output'
python3 -m pytest -rA {TESTS}
: '>>>>> End Test Output'
git checkout HEAD {TESTS}
"""
MENDED = CALCULATOR.parent / "calculator.script.yaml"
LATIN = "printf 'caf\\351\\n' >> README.md"


def scripts(folder: Path) -> Iterator[tuple[str, Path]]:
    """What the model says in each task, by instance."""
    yield "example__calculator-1", MENDED
    calls = {
        "example__calculator-2": "echo more >> README.md; pytest -q",
        "example__calculator-3": "true",
        "example__calculator-4": LATIN,
    }
    for name, command in calls.items():
        turn = {"calls": [{"tool": "bash", "arguments": {"command": command}}]}
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"version": 1, "turns": [turn, {"text": "Done."}]}))
        yield name, path


def instance(name: str) -> dict[str, object]:
    """A row of the data set, in the form of swebench 5."""
    broken = ["test_multiply", "test_power"]
    sound = ["test_add", "test_subtract", "test_divide"]
    return {
        "instance_id": name,
        "repo": "example/calculator",
        "base_commit": "HEAD",
        "problem_statement": "fix the failing tests",
        "version": "1.0",
        "image": IMAGE,
        "FAIL_TO_PASS": json.dumps([f"{TESTS}::{test}" for test in broken]),
        "PASS_TO_PASS": json.dumps([f"{TESTS}::{test}" for test in sound]),
        "log_parser": "parse_log_pytest",
        "eval_type": "pass_and_fail",
        "eval_script": EVALUATE,
        "patch": "",
        "test_patch": "",
    }


def checked(command: Sequence[str], cwd: Path | None = None, tries: int = 5) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    # In the end the grader looks at every container of the engine, and fails where one goes
    # meanwhile that has nothing to do with it. What it has graded it does not grade again.
    if done.returncode != 0 and tries > 1 and "No such container" in done.stderr:
        return checked(command, cwd, tries - 1)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(python: str, package: str, folder: Path) -> str:
    """The interpreter of a new environment with one package."""
    checked([python, "-m", "venv", str(folder)])
    checked([str(folder / "bin/pip"), "install", "-q", package])
    return str(folder / "bin/python")


def newer_python() -> str:
    for name in ("python3.12", "python3.13", "python3.14"):
        found = shutil.which(name)
        if (
            found
            and subprocess.run([found, "-V"], capture_output=True, check=False).returncode == 0
        ):
            return found
    raise SystemExit("harbor wants Python 3.12 or newer: put one on PATH")


def sources() -> dict[str, bytes]:
    """The repository's files."""
    return {
        str(path.relative_to(CALCULATOR)): path.read_bytes()
        for path in CALCULATOR.rglob("*")
        if path.is_file() and "cache" not in str(path)
    }


def build(files: Mapping[str, bytes]) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in {"Dockerfile": DOCKERFILE.encode(), **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    command = ["docker", "build", "-q", "--network", "none", "-t", IMAGE, "-"]
    subprocess.run(command, input=data.getvalue(), check=True, stdout=subprocess.DEVNULL)


def run_batch(workspace: Path, batch: Path, scratch: Path) -> str:
    """A scripted run a task; gives what a person is told."""
    tasks = [
        {
            "id": name,
            "task": "fix the failing tests",
            "workspace": str(workspace),
            "model": f"script:{script}",
            "verify": "pytest -q",
        }
        for name, script in scripts(scratch)
    ]
    file = scratch / "tasks.yaml"
    file.write_text(yaml.safe_dump({"tasks": tasks}))
    command = [MOONPOOL, "batch", "run", str(file), "-o", str(batch), "-j", "2"]
    environ = {**os.environ, "MOONPOOL_HOME": str(scratch / "home")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 1:  # three of the tasks fail, as they are meant to
        raise SystemExit(f"{done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def graded(python: str, predictions: Path, folder: Path) -> dict[str, list[str]]:
    """What the real grader says of the predictions."""
    folder.mkdir()
    rows = [instance(f"example__calculator-{number}") for number in (1, 2, 3, 4)]
    (folder / "dataset.json").write_text(json.dumps(rows))
    options = {
        "--dataset_name": "dataset.json",
        "--predictions_path": str(predictions),
        "--run_id": "graders",
        "--max_workers": "1",
        "--report_dir": "report",
    }
    command = [python, "-m", "swebench.harness.run_evaluation"]
    command += [word for pair in options.items() for word in pair]
    checked(command, cwd=folder)
    (report,) = (folder / "report").iterdir()
    said = json.loads(report.read_text())
    keys = ("resolved_ids", "unresolved_ids", "empty_patch_ids", "incomplete_ids", "error_ids")
    return {key.removesuffix("_ids"): said[key] for key in keys}


VALIDATE = """\
import sys
from harbor.utils.trajectory_validator import TrajectoryValidator
for path in sys.argv[1:]:
    validator = TrajectoryValidator()
    if not validator.validate(path):
        print(path, *validator.get_errors(), sep="\\n  ")
"""
EXPECTED = {
    "resolved": ["example__calculator-1"],
    "unresolved": ["example__calculator-2"],
    "empty_patch": ["example__calculator-3"],
    "incomplete": ["example__calculator-4"],
    "error": [],
}


def main() -> None:
    wrong = 0

    def check(what: str, found: object, expected: object) -> None:
        nonlocal wrong
        wrong += found != expected
        print(f"{'ok   ' if found == expected else 'WRONG'}  {what}: {found}", flush=True)

    with tempfile.TemporaryDirectory(prefix="moonpool-graders-") as name:
        scratch = Path(name)
        newer = newer_python()
        swebench = environment(sys.executable, SWEBENCH, scratch / "swebench")
        harbor = environment(newer, HARBOR, scratch / "harbor")
        files = sources()
        build({f"testbed/{path}": data for path, data in files.items()})
        workspace, batch = scratch / "workspace", scratch / "batch"
        for path, data in files.items():
            (workspace / path).parent.mkdir(parents=True, exist_ok=True)
            (workspace / path).write_bytes(data)
        told = run_batch(workspace, batch, scratch)
        rows = [json.loads(line) for line in (batch / "results.jsonl").read_text().splitlines()]
        check("verified", [row["verified"] for row in rows], [True, False, False, False])
        check("it is said which can't be graded", "calculator-4: the patch has" in told, True)
        patches = (batch / "preds.json").read_text()
        check("caches in the predictions", ".pyc" in patches or "cache" in patches, False)
        for form in ("preds.json", "preds.jsonl"):
            found = graded(swebench, batch / form, scratch / form.replace(".", "-"))
            for key, ids in EXPECTED.items():
                check(f"swebench on {form}, {key}", found[key], ids)
        paths = sorted(map(str, batch.glob("runs/*/trajectory.json")))
        check("trajectories", len(paths), len(rows))
        check("harbor on them, errors", checked([harbor, "-c", VALIDATE, *paths]), "")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    try:
        main()
    finally:
        subprocess.run(["docker", "rmi", IMAGE], stdout=subprocess.DEVNULL, check=False)
