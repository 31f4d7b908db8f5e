"""Moonpool on a package nobody here wrote, fetched from the registry by the ordinary client.

Opt-in (`make test-real`): it needs the registry. The package's own suite runs in the sealed
container and plainly on the host, a one-line bug is planted, and a scripted run finds and mends it.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from images.build import ensure
from policies.loading import load
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

PACKAGE = "toolz"
VERSION = "1.0.0"
SUITE = "python3 -m pytest -q"
BUGGY_FILE = "toolz/itertoolz.py"
GOOD = "    return itertools.islice(seq, n)\n\n\ndef tail("
BAD = "    return itertools.islice(seq, n + 1)\n\n\ndef tail("

SCRIPT = f"""
version: 1
turns:
  - text: I run the suite first.
    calls:
      - {{tool: bash, arguments: {{command: "{SUITE} -x 2>&1 | tail -20"}}}}
  - expect: "1 failed"
    calls:
      - {{tool: search_files, arguments: {{pattern: "def take\\\\(", path: toolz}}}}
  - expect: "{BUGGY_FILE}"
    text: take hands out one element too many.
    calls:
      - tool: edit_file
        arguments:
          path: {BUGGY_FILE}
          old_string: "itertools.islice(seq, n + 1)"
          new_string: "itertools.islice(seq, n)"
      - {{tool: bash, arguments: {{command: "{SUITE} 2>&1 | tail -5"}}}}
  - expect: " passed"
    text: The suite passes again.
"""


def passed(output: str) -> int:
    """Tests that passed, from pytest's closing line; nothing else may have happened."""
    match = re.search(r"^(\d+) passed[^,\n]* in ", output, re.MULTILINE)
    assert match, output[-800:]
    return int(match[1])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree of the package as it was published."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", PACKAGE,
         "--dest", str(folder), f"{PACKAGE}=={VERSION}"],
        check=True,
    )  # fmt: skip
    with tarfile.open(folder / f"{PACKAGE}-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"{PACKAGE}-{VERSION}"


def test_a_planted_bug_is_found_mended_and_verified(package: Path, tmp_path: Path) -> None:
    plain = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    on_the_host = passed(plain.stdout)

    engine = Engine.connect(os.environ)
    image = ensure(engine, "python", on_progress=print)
    with Sandbox.open(workspace=package, policy=load("default"), image=image, engine=engine) as box:
        sealed = box.run(SUITE)
        assert passed(sealed.stdout.decode()) == on_the_host

    source = package / BUGGY_FILE
    text = source.read_text()
    assert text.count(GOOD) == 1
    source.write_text(text.replace(GOOD, BAD))
    script = tmp_path / "script.yaml"
    script.write_text(SCRIPT)
    home = tmp_path / "home"
    run = subprocess.run(
        [
            str(Path(sys.executable).with_name("moonpool")), "run", "make the suite pass",
            "-w", str(package), "-p", "default", "-m", f"script:{script}",
            "--verify", SUITE, "--json",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "MOONPOOL_HOME": str(home)},
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout.splitlines()[-1])
    assert summary["outcome"] == "finished"
    patch = Path(summary["patch"]).read_text()
    changed = [line for line in patch.splitlines() if re.match(r"[+-][^+-]", line)]
    assert changed == ["-" + BAD.splitlines()[0], "+" + GOOD.splitlines()[0]]

    report = json.loads((home / "runs" / summary["run_id"] / "run.json").read_text())
    assert report["verification"]["type"] == "verified"
    assert passed(report["verification"]["output"]) == on_the_host
    print(f"\n{PACKAGE} {VERSION}: {on_the_host} passed on the host, sealed, and after the mend")
