"""What a run imports: no library that it does not use, and few modules in all."""

from pathlib import Path

import yaml

from command_line.running import Shell

MOST_MODULES = 560
"""A hundred of them are pydantic's with what it imports, eighteen yaml's."""

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
}


def test_a_run_of_three_calls_imports_few_modules(
    moonpool: Shell, tmp_path: Path, image: str
) -> None:
    script = tmp_path / "three.yaml"
    script.write_text(yaml.safe_dump(THREE_CALLS))
    (moonpool.directory / "a.txt").write_text("a\n")
    done = moonpool("run", "x", "-m", f"script:{script}", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stdout
    assert image
    loaded = [
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    ][1:]
    assert not NOT_NEEDED & set(loaded)
    assert len(loaded) <= MOST_MODULES
