"""Images that take minutes to build: bundled policies held to their examples by the kernel, and a
project that takes no older Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.proposal.python import MINORS
from policies.loading import bundled_names, load

MOONPOOL = str(Path(sys.executable).with_name("moonpool"))
USUAL = ("python", "node", "c")
"""Those of the others are tried by `make test`."""


@pytest.mark.parametrize("name", [n for n in bundled_names() if load(n).image not in USUAL])
def test_a_policy_and_its_image_hold_its_examples(name: str) -> None:
    command = [MOONPOOL, "policy", "test", name, "--kernel"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all hold" in done.stdout


def test_a_project_that_takes_no_older_python_is_proposed_one_and_verified_in_it(
    tmp_path: Path,
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "newer"\nversion = "1"\nrequires-python = ">=3.12"\n'
        'dependencies = ["idna"]\n[tool.setuptools]\npy-modules = ["newer"]\n'
    )
    (project / "newer.py").write_text("type Name = str\n")
    (project / "test_newer.py").write_text(
        "import sys\nimport idna, newer\ndef test_it():\n"
        f"    assert sys.version_info[1] == {MINORS['python3.13']}\n"
    )
    (tmp_path / "script.yaml").write_text("version: 1\nturns: [{text: Done.}]\n")

    def moonpool(*words: str) -> str:
        done = subprocess.run(
            [MOONPOOL, *words],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=tmp_path,
            env={**os.environ, "MOONPOOL_HOME": str(tmp_path / "home")},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "policy.yaml").write_text(moonpool("init", "-w", "project"))
    moonpool("image", "build", "python3.13")
    said = moonpool(
        "run", "look", "-w", "project", "-p", "policy.yaml", "-m", "script:script.yaml",
        "--verify", "python3 -m pytest -q",
    )  # fmt: skip
    assert "verified: python3 -m pytest -q passes" in said
