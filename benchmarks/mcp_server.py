"""What an MCP client pays for a sealed command: `run true` by `moonpool mcp`, beside `Sandbox.run`.

One sandbox each, in turn, call by call, in one run; the figures are medians. The client is bare: it
writes a frame and reads one, so what is measured is the server. The SDK's own client, whose time is
its own, stands below for comparison.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from mcp import StdioServerParameters
from mcp.client.client import Client

from policies.loading import load
from sandbox import Sandbox

AT_MOST_MS = 3.0
WARM = 20
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class BareClient:
    """Writes a frame, reads a frame."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self._server = subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._number = 0

    def call(self, name: str, **arguments: object) -> Any:
        self._number += 1
        params = {"name": name, "arguments": arguments, "_meta": MODERN}
        frame = {"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params}
        stdin, stdout = self._server.stdin, self._server.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(frame).encode() + b"\n")
        stdin.flush()
        return json.loads(stdout.readline())["result"]["structuredContent"]

    def close(self) -> None:
        self._server.communicate(timeout=60)


def timed_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def by_frames(command: list[str], environ: dict[str, str], workspace: Path, rounds: int) -> float:
    """Milliseconds more than `Sandbox.run`, by the bare client; prints both."""
    client = BareClient(command, environ)
    with Sandbox.open(workspace=workspace, policy=load("default")) as box:
        handle = client.call("open")["sandbox"]
        direct, served = [], []
        for number in range(WARM + rounds):
            one = timed_ms(lambda: box.run("true"))
            other = timed_ms(lambda: client.call("run", sandbox=handle, command="true"))
            if number >= WARM:
                direct.append(one)
                served.append(other)
    client.close()
    inside, outside = statistics.median(direct), statistics.median(served)
    more = outside - inside
    sys.stdout.write(
        f"Sandbox.run('true')                {inside:6.2f} ms\n"
        f"the same by moonpool mcp           {outside:6.2f} ms\n"
        f"more                               {more:6.2f} ms   at most {AT_MOST_MS} ms   "
        f"{'ok' if more <= AT_MOST_MS else 'MISSED'}\n"
    )
    return more


async def by_sdk(command: list[str], environ: dict[str, str], rounds: int) -> None:
    server = StdioServerParameters(command=command[0], args=command[1:], env=environ)
    async with Client(server) as client:
        opened = await client.call_tool("open", {})
        arguments = {"sandbox": (opened.structured_content or {})["sandbox"], "command": "true"}
        samples = []
        for number in range(WARM + rounds):
            began = time.perf_counter()
            await client.call_tool("run", arguments)
            if number >= WARM:
                samples.append((time.perf_counter() - began) * 1000)
    sys.stdout.write(f"by the SDK's own client            {statistics.median(samples):6.2f} ms\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch) / "work"
        workspace.mkdir()
        (workspace / "a.txt").write_text("one\n")
        moonpool = str(Path(sys.executable).with_name("moonpool"))
        command = [moonpool, "mcp", "--root", str(workspace)]
        environ = {**os.environ, "MOONPOOL_HOME": str(Path(scratch) / "home")}
        more = by_frames(command, environ, workspace, rounds)
        anyio.run(by_sdk, command, environ, rounds)
    return 0 if more <= AT_MOST_MS else 1


if __name__ == "__main__":
    sys.exit(main())
