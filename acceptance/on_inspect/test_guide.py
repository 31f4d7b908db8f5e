"""What docs/inspect.md shows is run: its blocks one after the other, and its task as an eval."""

from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval as evaluate

from agent.servers.inspect.config import request_of
from documentation.examples import of

HERE = "make test-inspect"


def test_the_blocks_of_the_guide_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = [it for it in of("python") if it.run_by == HERE]
    assert blocks
    for block in blocks:
        exec(compile(block.text, str(block), "exec"), names)
    (log,) = evaluate(names["sums"](), model="mockllm/model", display="none", log_dir="logs")
    assert log.status == "success", log.error


def test_the_compose_file_of_the_guide_is_taken(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM moonpool/python\n")
    files = [it for it in of("yaml") if it.run_by == HERE]
    assert files
    for file in files:
        file.write(tmp_path)
        asked = request_of(str(tmp_path / file.title))
        assert (asked.policy.name, asked.working_dir) == ("evals", "/testbed")
