"""Chats of a script: at a terminal, at a dumb one, and in a pipe; and what they leave behind."""

import json
import subprocess
from pathlib import Path
from typing import Any

from command_line.running import SCRIPT, Shell
from command_line.terminal import PROMPT, Terminal
from fakes.model import saying

DUMB_PROMPT = "> "


class Chatting:
    """Starts chats, of scripts unless another model is named."""

    def __init__(self, moonpool: Shell, tmp_path: Path) -> None:
        self.moonpool = moonpool
        self.directory = tmp_path
        self.begun: list[Terminal] = []

    def command(
        self, *turns: dict[str, Any], policy: str = "", model: str = "", workspace: str = "."
    ) -> list[str]:
        scripted = saying(self.directory / "script.yaml", *turns)
        rules = self.directory / "policy.yaml"
        rules.write_text(f"version: 1\nname: t\nextends: default\n{policy}\n")
        said = ["-w", workspace, "-p", str(rules), "-m", model or scripted]
        return [str(SCRIPT), "chat", *said]

    def at_terminal(
        self,
        *turns: dict[str, Any],
        policy: str = "",
        model: str = "",
        term: str = "xterm",
        env: dict[str, str] | None = None,
        workspace: str = ".",
    ) -> Terminal:
        terminal = Terminal(
            self.command(*turns, policy=policy, model=model, workspace=workspace),
            directory=self.moonpool.directory,
            environ={**self.moonpool.environ, **(env or {})},
            term=term,
        )
        self.begun.append(terminal)
        terminal.until("a request, or /help")
        terminal.until(DUMB_PROMPT if term == "dumb" else PROMPT)
        return terminal

    def in_pipe(
        self, said: str | bytes, *turns: dict[str, Any], policy: str = "", term: str = "xterm"
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*turns, policy=policy),
            cwd=self.moonpool.directory,
            env={**self.moonpool.environ, "TERM": term},
            input=said.encode() if isinstance(said, str) else said,
            capture_output=True,
            timeout=120,
            check=False,
        )

    @property
    def run(self) -> Path:
        """That of the chat, which is no fork."""
        (found,) = (run for run in self.runs.iterdir() if '"forked_from":null' in _first(run))
        return found

    @property
    def runs(self) -> Path:
        return Path(self.moonpool.environ["MOONPOOL_HOME"]) / "runs"

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / "run.json").read_text())
        return found

    def events(self) -> list[dict[str, Any]]:
        lines = (self.run / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def patch(self) -> bytes:
        return (self.run / "patch.diff").read_bytes()


def _first(run: Path) -> str:
    return (run / "events.jsonl").read_text().partition("\n")[0].replace(": ", ":")
