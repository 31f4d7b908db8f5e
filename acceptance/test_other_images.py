"""Bundled policies whose images take minutes to build, held to their examples by the kernel."""

import subprocess
import sys
from pathlib import Path

import pytest

from policies.loading import bundled_names, load

USUAL = ("python", "node", "c")
"""Those of the others are tried by `make test`."""


@pytest.mark.parametrize("name", [n for n in bundled_names() if load(n).image not in USUAL])
def test_a_policy_and_its_image_hold_its_examples(name: str) -> None:
    moonpool = Path(sys.executable).with_name("moonpool")
    command = [str(moonpool), "policy", "test", name, "--kernel"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all hold" in done.stdout
