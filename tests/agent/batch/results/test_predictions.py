"""Predictions as SWE-bench's grader reads them: which patch stands there, and which does not."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.batch.results.writing import write_all
from fakes.batches import FakeBatch, a_row, a_task
from fakes.git import git
from fakes.model import call, say
from policies.policy import Policy

BEGAN = datetime(2026, 11, 29, 1, tzinfo=UTC)


@pytest.fixture
def batch(tmp_path: Path, policy: Policy) -> FakeBatch:
    return FakeBatch(tmp_path / "batch", policy)


def preds(directory: Path) -> list[dict[str, str]]:
    """As swebench 5.0.2 reads either form (`get_predictions_from_file`); both say the same."""
    mapping = json.loads((directory / "preds.json").read_text())
    assert all(key == value["instance_id"] for key, value in mapping.items())
    with (directory / "preds.jsonl").open() as file:
        lines = [json.loads(line) for line in file]
    assert lines == list(mapping.values())
    assert all(set(line) == {"instance_id", "model_name_or_path", "model_patch"} for line in lines)
    return lines


def test_chosen_patch_of_each_task_stands_under_its_instance(batch: FakeBatch) -> None:
    tasks = [a_task("one", instance_id="org__repo-1"), a_task("two")]
    rows = [
        batch.attempt(
            tasks[0], call("write_file", path="b.py", content="bad\n"), say("x"), verify="grep ok *"
        ),
        batch.attempt(
            tasks[0],
            call("write_file", path="b.py", content="ok\n"),
            say("x"),
            verify="grep ok *",
            attempt=2,
        ),
        batch.attempt(tasks[1], say("nothing to do")),
    ]
    assert write_all(batch.directory, tasks, rows, began=BEGAN) == ()
    first, second = preds(batch.directory)
    assert (first["instance_id"], first["model_name_or_path"]) == ("org__repo-1", "told:test")
    assert "+ok\n" in first["model_patch"]
    assert second == {
        "instance_id": "two",
        "model_name_or_path": "told:test",
        "model_patch": "",
    }, "nothing was changed, and that is what it says"
    results = [
        json.loads(line) for line in (batch.directory / "results.jsonl").read_text().splitlines()
    ]
    assert [(row["task_id"], row["attempt"], row["chosen"]) for row in results] == [
        ("one", 1, False),
        ("one", 2, True),
        ("two", 1, True),
    ]


def test_prediction_applies_with_git_character_for_character(
    batch: FakeBatch, tmp_path: Path
) -> None:
    files = {"a.py": b"one\n"}
    task = a_task()
    row = batch.attempt(
        task,
        call("write_file", path="a.py", content="eins\u2028\u0085zwei\n", overwrite=True),
        say("done"),
        files=files,
    )
    write_all(batch.directory, [task], [row], began=BEGAN)
    (only,) = preds(batch.directory)
    clone = tmp_path / "clone"
    clone.mkdir()
    for name, data in files.items():
        (clone / name).write_bytes(data)
    git(clone, "init", "-q")
    patch = tmp_path / "patch.diff"
    patch.write_text(only["model_patch"])
    git(clone, "apply", "--verbose", str(patch))
    assert (clone / "a.py").read_text() == "eins\u2028\u0085zwei\n"


def test_patch_that_is_not_utf8_is_left_out_and_said(batch: FakeBatch) -> None:
    tasks = [a_task("latin"), a_task("plain")]
    rows = [
        batch.attempt(
            tasks[0],
            call("bash", command=r"printf 'caf\351 au lait\n' > b.txt"),
            say("done"),
        ),
        batch.attempt(tasks[1], call("write_file", path="b.py", content="é\n"), say("done")),
    ]
    notes = write_all(batch.directory, tasks, rows, began=BEGAN)
    assert [pred["instance_id"] for pred in preds(batch.directory)] == ["plain"]
    assert len(notes) == 1
    assert notes[0].startswith("latin: the patch has bytes that are not UTF-8: swebench 5.0.2")
    assert "not UTF-8" in (batch.directory / "junit.xml").read_text()
    first = (batch.directory / "results.jsonl").read_text().splitlines()[0]
    assert f"latin: {json.loads(first)['note']}" == notes[0]


def test_refused_or_missing_or_changed_patch_is_in_no_prediction(batch: FakeBatch) -> None:
    tasks = [a_task(name) for name in ("refused", "none", "changed", "unstarted", "twin")]
    changed = batch.attempt(tasks[2], call("write_file", path="b", content="b\n"), say("x"))
    (batch.directory / str(changed.patch)).write_bytes(b"something else")
    rows = [
        a_row("refused", outcome="export refused"),
        a_row("none", outcome="sandbox failed", patch=None, patch_sha256=None, patch_bytes=None),
        changed,
    ]
    notes = write_all(batch.directory, tasks, rows, began=BEGAN)
    assert preds(batch.directory) == []
    assert [note.partition(":")[0] for note in notes] == ["refused", "changed"]
    assert "was changed since" in notes[1]


def test_second_task_of_one_instance_is_said_and_left_out(batch: FakeBatch) -> None:
    tasks = [a_task(name, instance_id="org__repo-1") for name in ("one", "two")]
    rows = [
        batch.attempt(task, call("write_file", path=task.id, content="b\n"), say("x"))
        for task in tasks
    ]
    notes = write_all(batch.directory, tasks, rows, began=BEGAN)
    (only,) = preds(batch.directory)
    assert "b/one" in only["model_patch"]
    assert notes == ("two: task one has the same instance: not in preds",)
