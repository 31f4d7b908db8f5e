"""Foreign tasks done from beginning to end: a Harbor folder, a row of SWE-bench, a git revision."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line.running import Shell
from fakes.git import git
from fakes.model import saying
from foreign_images import foreign
from sandbox.engine.docker import Engine

pytestmark = pytest.mark.slow

DOCKERFILE = b"""
FROM moonpool/python:latest
USER root
RUN mkdir -p /testbed && echo start > /testbed/start.txt && cd /testbed && git init -q \
    && git add -A && git -c user.name=t -c user.email=t@t commit -qm first
WORKDIR /testbed
"""
SCRIPT: list[Any] = [
    {"calls": [{"tool": "bash", "arguments": {"command": "cat start.txt; ls /tests /logs"}}]},
    {
        "expect": ["start\n", "cannot access '/tests'", "cannot access '/logs'"],
        "calls": [{"tool": "write_file", "arguments": {"path": "hello.txt", "content": "hello\n"}}],
    },
    {"text": "Done."},
]
TEST = """#!/bin/bash
grep -q {word} hello.txt && mark=1
echo ${{mark:-0}} >/logs/verifier/reward.txt
"""


@pytest.fixture(scope="module")
def bench(engine: Engine, image: str) -> Iterator[str]:
    """An image with a repository where SWE-bench's have it."""
    moved = ("/testbed",)
    with foreign(engine, "real-tasks", {"Dockerfile": DOCKERFILE}, moved=moved) as name:
        yield name


def rows(moonpool: Shell, directory: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """What a batch came to, by task."""
    model = saying(directory / "script.yaml", *SCRIPT)
    moonpool("batch", "run", *arguments, "-o", f"{directory}/out", "-m", model)
    lines = (directory / "out/results.jsonl").read_text().splitlines()
    return {row["task_id"]: row for row in map(json.loads, lines)}


def test_harbor_tasks_are_judged_by_their_rewards(
    moonpool: Shell, bench: str, tmp_path: Path
) -> None:
    for name, word in (("good", "hello"), ("bad", "farewell")):
        folder = tmp_path / "tasks" / name
        (folder / "tests").mkdir(parents=True)
        (folder / "task.toml").write_text(
            f'[environment]\nnetwork_mode = "no-network"\ndocker_image = "{bench}"\n'
        )
        (folder / "instruction.md").write_text("Say hello.\n")
        (folder / "tests/test.sh").write_text(TEST.format(word=word))
    found = rows(moonpool, tmp_path, f"{tmp_path}/tasks")
    assert {name: (row["verified"], row["reward"]) for name, row in found.items()} == {
        "good": (True, 1.0),
        "bad": (False, 0.0),
    }
    assert found["good"]["outcome"] == "finished"
    assert found["bad"]["error_kind"] == "agent"


def test_row_of_swebench_works_where_its_image_has_the_tree(
    moonpool: Shell, bench: str, tmp_path: Path
) -> None:
    row = {
        "instance_id": "a__b-1",
        "repo": "a/b",
        "base_commit": "1" * 40,
        "problem_statement": "Say hello.",
        "image": bench,
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    found = rows(moonpool, tmp_path, f"{tmp_path}/rows.jsonl")
    assert found["a__b-1"]["outcome"] == "finished", found
    predictions = json.loads((tmp_path / "out/preds.json").read_text())
    assert "+hello" in predictions["a__b-1"]["model_patch"]


def test_git_revision_is_what_a_task_works_in(moonpool: Shell, image: str, tmp_path: Path) -> None:
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    (made / "start.txt").write_text("start\n")
    git(made, "add", "-A")
    git(made, "commit", "-qm", "first")
    git(made, "tag", "v1")
    (made / "start.txt").write_text("the end\n")
    git(made, "commit", "-qam", "second")
    (tmp_path / "t.yaml").write_text(
        "- {id: a, git: repository, rev: v1, task: Say hello., verify: grep hello hello.txt}\n"
    )
    found = rows(moonpool, tmp_path, f"{tmp_path}/t.yaml")
    assert (found["a"]["outcome"], found["a"]["verified"]) == ("finished", True), found
