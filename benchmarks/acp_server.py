"""How long a person at an editor waits: prompt to first streamed byte, beside the same by chat.

Both in one run and in turn, with the same script for a model, so that the model costs nothing.
First in sessions that are open, prompt by prompt, each side first in turn, over several sessions;
then from the start of the process, where the sandbox is opened too. The client is bare: what is
measured is the server. Times are medians, in milliseconds; the ratio is the median of each pair's,
so that what else the machine does at a moment is in both sides.
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
from typing import IO, Any

AT_MOST = 1.1
WARM = 5
MOST_TURNS = 60
"""Of a run under the default policy: past them nothing more is answered."""
WORD = "Answered"


class Talk:
    """A process with pipes, and a clock from what is said to the first byte of the answer."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    @property
    def _out(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")

    def until(self, word: bytes) -> bytes:
        """Everything up to the read that brings the word."""
        seen = b""
        while word not in seen:
            piece = os.read(self._out.fileno(), 1 << 16)
            if not piece:
                raise SystemExit(f"the process ended before it said {word!r}: {seen[-400:]!r}")
            seen += piece
        return seen

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._out.read()
        self.process.wait(timeout=60)


class Chat(Talk):
    """`moonpool chat` in a pipe: a line is a request."""

    def __init__(self, model: str, workspace: Path, environ: dict[str, str]) -> None:
        self.began = time.perf_counter()
        super().__init__([*MOONPOOL, "chat", "-m", model, "-w", str(workspace)], environ)

    def answered(self) -> float:
        began = time.perf_counter()
        self.say(b"go on")
        self.until(WORD.encode())
        return time.perf_counter() - began

    def rest(self) -> None:
        """What follows the answer is said before the next request is read."""
        self.say(b"/plan")
        self.until(b"no plan")


class Editor(Talk):
    """`moonpool acp`: a frame is a request."""

    def __init__(self, model: str, workspace: Path, environ: dict[str, str]) -> None:
        self.began = time.perf_counter()
        super().__init__([*MOONPOOL, "acp", "-m", model], environ)
        self._number = 0
        self._request("initialize", {"protocolVersion": 1})
        self._result()
        self._request("session/new", {"cwd": str(workspace), "mcpServers": []})
        self._session = self._result()["sessionId"]

    def _request(self, method: str, params: dict[str, Any]) -> None:
        self._number += 1
        frame = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self.say(json.dumps(frame).encode())

    def _result(self) -> dict[str, Any]:
        mark = f'"id":{self._number},'.encode()
        lines = self.until(mark).splitlines()
        found: dict[str, Any] = json.loads(next(line for line in lines if mark in line))
        if "result" not in found:
            raise SystemExit(f"the server answered {found['error']['message']}")
        result: dict[str, Any] = found["result"]
        return result

    def answered(self) -> float:
        began = time.perf_counter()
        words = [{"type": "text", "text": "go on"}]
        self._request("session/prompt", {"sessionId": self._session, "prompt": words})
        self._seen = self.until(WORD.encode())
        return time.perf_counter() - began

    def rest(self) -> None:
        mark = f'"id":{self._number},'.encode()
        if mark not in self._seen:
            self.until(mark)


Make = Callable[[], Chat | Editor]
MOONPOOL = [str(Path(sys.executable).with_name("moonpool"))]


def in_open_sessions(chat: Make, editor: Make, sessions: int, rounds: int) -> float:
    """The ratio, prompt by prompt; prints both."""
    pairs: list[tuple[float, float]] = []
    for _ in range(sessions):
        talks = (chat(), editor())
        for number in range(WARM + rounds):
            taken = [0.0, 0.0]
            for which in (0, 1) if number % 2 else (1, 0):
                taken[which] = talks[which].answered()
                talks[which].rest()
            if number >= WARM:
                pairs.append((taken[0], taken[1]))
        for talk in talks:
            talk.close()
    return told("prompt to first byte, session open", pairs)


def from_the_start(chat: Make, editor: Make, rounds: int) -> float:
    """The ratio from the start of the process on; prints both."""
    pairs: list[tuple[float, float]] = []
    for number in range(1 + rounds):
        taken: list[float] = []
        for make in (chat, editor):
            talk = make()
            talk.answered()
            taken.append(time.perf_counter() - talk.began)
            talk.close()
        if number:
            pairs.append((taken[0], taken[1]))
    return told("start to first byte, sandbox opened", pairs)


def told(what: str, pairs: list[tuple[float, float]]) -> float:
    by_chat, by_acp = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(acp / chat for chat, acp in pairs)
    sys.stdout.write(f"{what}: chat {by_chat:.2f} ms, acp {by_acp:.2f} ms, {ratio:.2f} x\n")
    sys.stdout.flush()
    return ratio


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sessions", type=int, default=4)
    options.add_argument("--rounds", type=int, default=50, help="in each session")
    options.add_argument("--starts", type=int, default=5)
    given = options.parse_args()
    if WARM + given.rounds > MOST_TURNS:
        options.error(f"--rounds: at most {MOST_TURNS - WARM}, as the policy lets a run have turns")
    with tempfile.TemporaryDirectory(prefix="moonpool-bench-") as scratch:
        workspace = Path(scratch) / "workspace"
        workspace.mkdir()
        (workspace / "a.txt").write_text("a\n")
        script = Path(scratch) / "script.yaml"
        turns = [{"text": f"{WORD}."} for _ in range(WARM + given.rounds)]
        script.write_text(json.dumps({"version": 1, "turns": turns}))
        environ = {**os.environ, "MOONPOOL_HOME": str(Path(scratch) / "home")}
        model = f"script:{script}"

        def chat() -> Chat:
            return Chat(model, workspace, environ)

        def editor() -> Editor:
            return Editor(model, workspace, environ)

        ratio = in_open_sessions(chat, editor, given.sessions, given.rounds)
        if given.starts:
            from_the_start(chat, editor, given.starts)
    within = "within" if ratio <= AT_MOST else "NOT within"
    sys.stdout.write(f"{within} the {AT_MOST} x it may be\n")
    return int(ratio > AT_MOST)


if __name__ == "__main__":
    raise SystemExit(main())
