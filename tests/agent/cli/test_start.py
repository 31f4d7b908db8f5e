"""What a run imports: no library that it does not use, and few modules in all."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from command_line.running import Shell

MOST_MODULES = 399
"""Fifty are pydantic's with what it imports, eighteen yaml's, twelve the report's; ten are no
modules but looks for what is not there (`nt`, `org.python.core`), which the standard library makes.
"""

THREE_CALLS = {
    "version": 1,
    "turns": [
        {"calls": [{"tool": "bash", "arguments": {"command": "true"}}]},
        {"calls": [{"tool": "read_file", "arguments": {"path": "a.txt"}}]},
        {"calls": [{"tool": "bash", "arguments": {"command": "echo x >> a.txt"}}]},
        {"text": "Done."},
    ],
}

NOT_NEEDED = {
    *("docker", "requests", "urllib3", "anthropic", "openai", "httpx2", "opentelemetry"),
    *("rich", "prompt_toolkit", "detect_secrets", "ssl", "http.client", "tomllib", "difflib"),
    *("importlib.metadata", "email", "tarfile", "zipfile", "concurrent.futures"),
}


def test_a_run_of_three_calls_imports_few_modules(
    moonpool: Shell, tmp_path: Path, image: str
) -> None:
    script = tmp_path / "three.yaml"
    script.write_text(yaml.safe_dump(THREE_CALLS))
    (moonpool.directory / "a.txt").write_text("a\n")
    words = ("run", "x", "-m", f"script:{script}")
    # The first copies the workspace, and loads what does.
    assert moonpool(*words).returncode == 0
    done = moonpool(*words, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stdout
    assert image
    loaded = [
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    ][1:]
    assert not NOT_NEEDED & set(loaded)
    assert len(loaded) <= MOST_MODULES


CTRL_C = """
import os, signal, sys
class Key:
    def find_spec(self, name, *_):
        if name == "{name}":
            os.kill(os.getpid(), signal.SIGINT)
# A job in the background begins with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Key())
sys.argv = ["moonpool", "doctor"]
from agent.cli import main
main()
"""


@pytest.mark.parametrize("name", ["agent.cli.app", "agent.cli.commands.doctor", "pydantic"])
def test_ctrl_c_while_modules_are_loaded_is_one_line(moonpool: Shell, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C.format(name=name)],
        env=moonpool.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "moonpool: interrupted\n")
