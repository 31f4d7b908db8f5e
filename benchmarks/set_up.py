"""What set-up costs: cold beside the same installation in `docker run` on the engine's bridge, and
once its layer stands, a first result on it beside one without any set-up.

Cold needs a network, which varies. What is compared takes turns; figures are ratios of medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from images.setup.layer import find_or_make
from policies.loading import load
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

AT_MOST = 1.25
CACHED_AT_MOST = 1.05
IMAGE = "moonpool/python:latest"
INSTALL = (
    "python3 -m venv /opt/venv && /opt/venv/bin/pip install -q pytest pytest-cov pytest-httpbin "
    "pytest-mock httpbin trustme PySocks idna urllib3 certifi charset_normalizer"
)
"""The test dependencies of requests."""
POLICY = f"""\
version: 1
name: measured
extends: default
setup: {{commands: ["{INSTALL}"], network: [pip]}}
"""


def _timed(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _first_result(engine: Engine, workspace: Path, policy: Policy) -> float:
    """Seconds from the policy to the first command's end, as a run goes about it."""
    begun = time.perf_counter()
    image = IMAGE
    if policy.setup.makes_layer:
        image = find_or_make(engine, IMAGE, policy, workspace, on_progress=lambda _: None).image
    with Sandbox.open(workspace=workspace, policy=policy, image=image, engine=engine) as box:
        assert box.run("true").exit_code == 0
        return time.perf_counter() - begun


def _cached(workspace: Path, policy: Path, rounds: int) -> tuple[float, float]:
    """Medians with a set-up whose layer stands, and without one."""
    engine = Engine.connect(os.environ)
    both = load(str(policy)), load("default")
    for one in both:
        _first_result(engine, workspace, one)
    pairs = [[_first_result(engine, workspace, one) for one in both] for _ in range(rounds)]
    with_it, without = (statistics.median(column) for column in zip(*pairs, strict=True))
    return with_it, without


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of cold set-ups")
    parser.add_argument("--cached-rounds", type=int, default=15)
    given = parser.parse_args()
    rounds = given.rounds
    with tempfile.TemporaryDirectory() as scratch:
        workspace, policy = Path(scratch) / "workspace", Path(scratch) / "policy.yaml"
        workspace.mkdir()
        policy.write_text(POLICY)
        ours = [
            str(Path(sys.executable).with_name("moonpool")),
            *("setup", "--refresh", "-w", str(workspace), "-p", str(policy)),
        ]
        passed = [f"-e{name}" for name in os.environ if name.startswith("PIP_")]
        bridge = [
            *("docker", "run", "--rm", "--user", "0", *passed, "-v", "/etc/ssl:/etc/ssl:ro"),
            *("--entrypoint", "bash", IMAGE, "-c", INSTALL),
        ]
        pairs = [(_timed(ours), _timed(bridge)) for _ in range(rounds)]
        on_layer, without = _cached(workspace, policy, given.cached_rounds)
    cold, baseline = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"set-up, cold {cold:.1f} s / docker run on the bridge {baseline:.1f} s: "
          f"{cold / baseline:.2f}, at most {AT_MOST}")  # fmt: skip
    print(f"first result on a set-up's layer {on_layer:.3f} s / without a set-up {without:.3f} s: "
          f"{on_layer / without:.2f}, at most {CACHED_AT_MOST}")  # fmt: skip
    return 0 if cold <= AT_MOST * baseline and on_layer <= CACHED_AT_MOST * without else 1


if __name__ == "__main__":
    sys.exit(main())
