"""Rows in SWE-bench's form: old, new, Pro's; as JSONL, CSV and Parquet."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.batch.task import ImageWorkspace, Task, TaskOrigin
from agent.batch.tasks.reading import TaskList, read_tasks
from agent.errors import UsageError

Read = Callable[[str, str], TaskList]
Refused = Callable[[str, str], list[str]]

OLD: dict[str, Any] = {
    "repo": "psf/requests",
    "instance_id": "psf__requests-1142",
    "base_commit": "22623bd8c265b78b161542663ee980738441c307",
    "patch": "the solution",
    "test_patch": "the tests",
    "problem_statement": "requests.get is ALWAYS sending content length",
    "hints_text": "a hint",
    "created_at": "2013-01-21T19:01:31Z",
    "version": "1.1",
    "FAIL_TO_PASS": '["test_requests.py::test_no_content_length"]',
    "PASS_TO_PASS": '["test_requests.py::test_a", "test_requests.py::test_b"]',
    "environment_setup_commit": "22623bd8c265b78b161542663ee980738441c307",
    "difficulty": "<15 min fix",
}
WANTED = Task(
    id="psf__requests-1142",
    prompt="requests.get is ALWAYS sending content length",
    workspace=ImageWorkspace(path=None, candidates=("/testbed", "/app", "/requests")),
    image="swebench/sweb.eval.x86_64.psf_1776_requests-1142:latest",
    origin=TaskOrigin(file="", line=1),
)


def line(**changed: Any) -> str:
    return json.dumps({**OLD, **changed}) + "\n"


def seen(task: Task) -> Task:
    """A task without the folder in which its file stands."""
    return Task(
        **{name: getattr(task, name) for name in Task.__slots__}
        | {"origin": TaskOrigin(file="", line=task.origin.line)}
    )


def test_old_row_names_no_image_and_gets_the_known_one(tasks_of: Read) -> None:
    found = tasks_of("t.jsonl", line())
    assert [seen(task) for task in found.tasks] == [WANTED]
    assert "\n".join(found.notes) == (
        "1 rows name no image: the one that the swebench package names for each is used, and the "
        "engine has to have it"
    )
    assert "solution" not in repr(found)
    assert "a hint" not in repr(found)


@pytest.mark.parametrize("key", ["image_name", "docker_image", "image"])
def test_each_name_of_an_image_is_taken(tasks_of: Read, key: str) -> None:
    found = tasks_of("t.jsonl", line(**{key: "example/one:2"}))
    assert found.tasks[0].image == "example/one:2"
    assert found.notes == ()


def test_lists_may_be_lists(tasks_of: Read) -> None:
    assert tasks_of("t.jsonl", line(FAIL_TO_PASS=["a"], PASS_TO_PASS=[])).tasks[0].id == WANTED.id


def test_pro_row_has_lower_case_keys_and_more_to_say(tasks_of: Read) -> None:
    row = {
        "repo": "NodeBB/NodeBB",
        "instance_id": "instance_NodeBB__NodeBB-04998908ba67-vnan",
        "base_commit": "1e137b07052bc3ea0da44ed201702c94055b8ad2",
        "patch": "",
        "test_patch": "",
        "problem_statement": "The issue",
        "requirements": "- It must",
        "interface": "Nothing new",
        "repo_language": "js",
        "fail_to_pass": "['test/user.js | one', 'two']",
        "pass_to_pass": "[]",
        "issue_specificity": '["x"]',
        "issue_categories": "[]",
        "before_repo_set_cmd": "git reset --hard",
        "selected_test_files_to_run": "[]",
        "dockerhub_tag": "nodebb.nodebb-NodeBB__NodeBB-0499",
    }
    (task,) = tasks_of("t.json", json.dumps([row])).tasks
    assert task.image == "jefzda/sweap-images:nodebb.nodebb-NodeBB__NodeBB-0499"
    assert task.workspace == ImageWorkspace(path=None, candidates=("/testbed", "/app", "/NodeBB"))
    assert task.prompt == (
        "The issue\n\nRequirements:\n- It must\n\nNew interfaces introduced:\nNothing new"
    )


def test_keys_of_ours_may_stand_in_a_row(tasks_of: Read) -> None:
    more = {"path": "/srv/x", "verify": "make", "budget": {"turns": 2}}
    (task,) = tasks_of("t.jsonl", line(image="i", **more)).tasks
    assert (task.workspace, task.budget.turns, task.verify) == (
        ImageWorkspace(path="/srv/x"),
        2,
        "make",
    )


def test_id_that_is_no_plain_name_is_kept_for_graders(tasks_of: Read) -> None:
    (task,) = tasks_of("t.jsonl", line(instance_id="a b/c", image="i")).tasks
    assert (task.id, task.instance_id) == ("a-b-c-539138d5", "a b/c")


def test_strange_columns_are_listed_once(tasks_of: Read) -> None:
    rows = line(image="i", stars=3) + line(image="i", stars=4, zeal=1, instance_id="two")
    assert tasks_of("t.jsonl", rows).notes == ("columns that are not used: stars, zeal",)
    rows = line(image="i", **{"two\nlines": 1}, **{f"x{n:02}": n for n in range(30)})
    (note,) = tasks_of("t.jsonl", rows).notes
    assert note.startswith(r"columns that are not used: 'two\nlines', x00, x01, ")
    assert note.endswith(", x18 and 11 more")


COMPLAINTS = {
    line(base_commit=None): (
        "t.jsonl:1: base_commit: is missing: a row with `instance_id` is one of SWE-bench"
    ),
    line(base_commit="HEAD"): "t.jsonl:1: base_commit: 'HEAD' is no commit's id",
    line(repo="a/../b"): "t.jsonl:1: repo: 'a/../b' is no repository: expected OWNER/NAME",
    line(problem_statement=7): "t.jsonl:1: problem_statement: expected text, got 7",
    line(FAIL_TO_PASS="[1"): (
        "t.jsonl:1: FAIL_TO_PASS: expected a list of tests, or one as JSON in text"
    ),
    line(FAIL_TO_PASS=[1]): (
        "t.jsonl:1: FAIL_TO_PASS: expected a list of tests, or one as JSON in text"
    ),
    line(verfy="x"): "t.jsonl:1: verfy: unknown key; did you mean `verify`?",
    line(policy="polyglot"): (
        "t.jsonl:1: policy: a row of SWE-bench does not say this: --policy does"
    ),
    line(attempts=100): (
        "t.jsonl:1: attempts: a row of SWE-bench does not say this: --attempts does"
    ),
    line(image="/srv/Dockerfile"): (
        "t.jsonl:1: image: expected an image's name, and this is a path"
    ),
    line(workspace="x"): (
        "t.jsonl:1: workspace: `instance_id` says it: a row of SWE-bench has no key of this name"
    ),
    line(image="--privileged"): (
        "t.jsonl:1: image: '--privileged' can't be used: expected a recipe's plain name "
        "(`python`), a reference that the engine knows (`debian:bookworm-slim`, "
        "`repo/name:tag`, `sha256:…`), or the path of a Dockerfile that begins with `./`, `../` "
        "or `/`"
    ),
    line(problem_statement="\ud800"): (
        "t.jsonl:1: task: holds half of a surrogate pair, which is no text"
    ),
    line(instance_id="a\ud800"): (
        "t.jsonl:1: instance_id: holds half of a surrogate pair, which is no text"
    ),
}


@pytest.mark.parametrize("content", COMPLAINTS)
def test_each_complaint_about_a_row_is_told_whole(refused: Refused, content: str) -> None:
    assert refused("t.jsonl", content) == [COMPLAINTS[content]]


def test_csv_of_rows_is_read(tasks_of: Read) -> None:
    keys = "instance_id,repo,base_commit,problem_statement,docker_image,extra"
    found = tasks_of("t.csv", f"{keys}\nx-1,a/b,{'1' * 40},Fix it,i:1,z\n")
    assert [task.id for task in found.tasks] == ["x-1"]
    assert found.notes == ("columns that are not used: extra",)


def parquet(file: Path, rows: list[dict[str, Any]]) -> Path:
    arrow: Any = importlib.import_module("pyarrow")  # it has no types
    importlib.import_module("pyarrow.parquet").write_table(arrow.Table.from_pylist(rows), file)
    return file


def test_parquet_gives_the_same_tasks(folder: Path) -> None:
    file = parquet(folder / "t.parquet", [OLD, {**OLD, "instance_id": "b", "PASS_TO_PASS": None}])
    found = read_tasks(file)
    assert [task.id for task in found.tasks] == [WANTED.id, "b"]
    assert found.tasks[0].origin == TaskOrigin(file=str(file), line=0)
    assert found.tasks[0].workspace == WANTED.workspace


def test_complaint_about_parquet_names_its_row(folder: Path) -> None:
    file = parquet(folder / "t.parquet", [OLD, {**OLD, "base_commit": "x"}])
    with pytest.raises(UsageError) as caught:
        read_tasks(file)
    assert str(caught.value) == f"{file}: row 2: base_commit: 'x' is no commit's id"


def test_file_that_is_no_parquet_is_told(folder: Path) -> None:
    (folder / "t.parquet").write_bytes(b"PAR1 is only a beginning")
    with pytest.raises(UsageError, match=r"t\.parquet can't be read as Parquet: Parquet magic"):
        read_tasks(folder / "t.parquet")


def test_missing_pyarrow_is_named_with_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet(folder / "t.parquet", [OLD])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError) as caught:
        read_tasks(folder / "t.parquet")
    assert str(caught.value) == (
        f"{folder}/t.parquet: reading Parquet takes pyarrow: "
        "pip install '.[parquet]' in Moonpool's checkout"
    )
