"""What set-up costs: cold beside the same installation in `docker run` on the engine's bridge.

Needs a network, which varies: the two take turns, and the figure is the ratio of their medians.
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

AT_MOST = 1.25
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
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
    cold, baseline = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"set-up, cold {cold:.1f} s / docker run on the bridge {baseline:.1f} s: "
          f"{cold / baseline:.2f}, at most {AT_MOST}")  # fmt: skip
    return 0 if cold <= AT_MOST * baseline else 1


if __name__ == "__main__":
    sys.exit(main())
