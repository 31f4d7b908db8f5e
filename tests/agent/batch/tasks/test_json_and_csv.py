"""Tasks in JSON, JSONL and CSV: what is taken, and each complaint as a whole."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.batch.task import FolderWorkspace, Task, TaskBudget, TaskOrigin
from agent.batch.tasks.reading import TaskList, read_tasks

Read = Callable[[str, str], TaskList]
Refused = Callable[[str, str], list[str]]


def expected(folder: Path, name: str, line: int) -> Task:
    return Task(
        id="a",
        prompt="Fix\nit",
        workspace=FolderWorkspace(path=folder / "repos/one"),
        attempts=2,
        budget=TaskBudget(usd=1.5, time_s=60.0),
        origin=TaskOrigin(file=str(folder / name), line=line),
    )


ROW = {
    "id": "a",
    "workspace": "repos/one",
    "task": "Fix\nit",
    "attempts": 2,
    "model": None,
    "budget": {"usd": 1.5, "time": "1m"},
}


def test_jsonl_is_a_row_a_line(tasks_of: Read, folder: Path) -> None:
    content = "\n\n" + json.dumps(ROW) + "\r\n"
    assert tasks_of("t.jsonl", content).tasks == (expected(folder, "t.jsonl", 3),)


def test_json_is_a_list_of_rows(tasks_of: Read, folder: Path) -> None:
    content = "\n" + json.dumps([ROW, ROW | {"id": "b"}], indent=2)
    first, second = tasks_of("t.json", content).tasks
    assert first == expected(folder, "t.json", 3)
    assert second.origin.line == 3 + len(json.dumps(ROW, indent=2).split("\n"))


def test_csv_has_keys_in_its_first_line(tasks_of: Read, folder: Path) -> None:
    content = (
        "\ufeffid,workspace,task,attempts,budget.usd,budget.time,verify\r\n"
        ',,,,,,\r\na,repos/one,"Fix\nit",2,1.5,1m,\r\n'
        'b,repos/two,"say ""hi"", twice",,,,"a, b"\r\n'
    )
    first, second = tasks_of("t.csv", content).tasks
    assert first == expected(folder, "t.csv", 3)
    assert (second.prompt, second.verify, second.origin.line) == ('say "hi", twice', "a, b", 5)


def test_csv_takes_a_budget_in_one_cell(tasks_of: Read) -> None:
    content = 'id,workspace,task,budget\na,repos/one,x,"{""usd"": 2, ""turns"": 5}"\n'
    assert tasks_of("t.csv", content).tasks[0].budget == TaskBudget(usd=2, turns=5)


LINES = {
    '{"id": "a", "workspace": "repos/one", "task": "x", "colur": 1}': (
        "t.jsonl:1: colur: unknown key; known here: attempts, budget, git, id, image, model, path, "
        "policy, rev, task, verify, workspace"
    ),
    '{"id": "a",\n': "t.jsonl:1: not JSON: Expecting property name enclosed in double quotes "
    "(column 12)",
    '{"id": "a", "id": "b"}': "t.jsonl:1: not JSON: the key 'id' is there twice",
    '\n[{"id": "a"}]': "t.jsonl:2: expected an object with a task's keys, got a list",
    '{"id": "a", "workspace": "repos/one", "task": ["x"]}': "t.jsonl:1: task: expected text, got a "
    "list",
    '{"id": "a", "workspace": "repos/one", "task": "x", "budget": {"usd": NaN}}': (
        "t.jsonl:1: not JSON: NaN is no number of JSON"
    ),
    '{"id": "a", "workspace": "repos/one", "task": "x", "budget": {"usd": 1e999}}': (
        "t.jsonl:1: budget.usd: Input should be a finite number"
    ),
    '{"id": "a", "workspace": "repos/one", "task": "x", "budget": {"usd": -1}}': (
        "t.jsonl:1: budget.usd: -1 is out of range: more than 0.0 is expected"
    ),
    '{"id": "a", "workspace": "repos/one", "task": "\\ud800"}': (
        "t.jsonl:1: task: holds half of a surrogate pair, which is no text"
    ),
    '{"id": "a", "workspace": "x\\u0000y", "task": "x"}': (
        "t.jsonl:1: workspace: a path without NUL is expected"
    ),
    '{"a\\nb": 1, "id": "a", "workspace": "repos/one", "task": "x"}': (
        "t.jsonl:1: 'a\\nb': unknown key; known here: attempts, budget, git, id, image, model, "
        "path, policy, rev, task, verify, workspace"
    ),
    "[" * 100_000: "t.jsonl:1: not JSON: it is nested too deeply",
}


@pytest.mark.parametrize("content", LINES)
def test_each_complaint_about_jsonl_is_told_whole(refused: Refused, content: str) -> None:
    assert refused("t.jsonl", content) == [LINES[content]]


ARRAYS = {
    '[\n  {\n    "id": "a",\n    "workspace": "repos/one",\n    "task": "x",\n    "budget": {\n'
    '      "usd": "2"\n    }\n  }\n]': "t.json:7: budget.usd: expected a number, got '2'",
    '{"id": "a"}': "t.json:1: rows of JSON stand in a list: `[`",
    '[{"id": "a"}\n {"id": "b"}]': "t.json:2: not JSON: expected `,`, or `]` and the end",
    '[\n{"id": "a",\n"task" 1}]': "t.json:3: not JSON: Expecting ':' delimiter (column 8)",
    "[1]": "t.json:1: expected an object with a task's keys, got 1",
    "[]": "t.json: there is no task in it",
}


@pytest.mark.parametrize("content", ARRAYS)
def test_each_complaint_about_json_is_told_whole(refused: Refused, content: str) -> None:
    found = refused("t.json", content)
    assert found[-1] == ARRAYS[content]


TABLES = {
    "id,workspace,taks\na,repos/one,x\n": "t.csv:1: taks: unknown key; did you mean `task`?",
    "id,id,workspace\n": "t.csv:1: id: this key is there twice",
    "id,workspace,task\na,repos/one\n": "t.csv:2: has 2 cells, and the first line names 3 keys",
    'id,workspace,task\n\na,repos/one,"x\n': "t.csv:3: not CSV: unexpected end of data",
    "id,workspace,task,attempts\na,repos/one,x,two\n": (
        "t.csv:2: attempts: expected a whole number, got 'two'"
    ),
    "": "t.csv:1: the first line names the keys: id,workspace,task",
    "id,workspace,task\n": "t.csv: there is no task in it",
}


@pytest.mark.parametrize("content", TABLES)
def test_each_complaint_about_csv_is_told_whole(refused: Refused, content: str) -> None:
    assert refused("t.csv", content) == [TABLES[content]]


def test_bytes_that_are_no_text_have_their_line(folder: Path) -> None:
    for name in ("t.jsonl", "t.yaml", "t.csv", "t.json"):
        (folder / name).write_bytes(b"[\n\n \xff]")
        with pytest.raises(Exception, match=rf"{name}:3: is not UTF-8 text$"):
            read_tasks(folder / name)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip()
)


@settings(max_examples=60, deadline=None)
@given(prompts=st.lists(TEXT, min_size=1, max_size=5))
def test_any_prompt_comes_through_every_form_as_it_is(
    prompts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("forms")
    rows = [
        {"id": f"t{number}", "workspace": ".", "task": prompt}
        for number, prompt in enumerate(prompts)
    ]
    (folder / "t.json").write_text(json.dumps(rows, ensure_ascii=False), newline="")
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), newline="")
    table = "id,workspace,task\n" + "".join(
        f'{row["id"]},.,"{row["task"].replace(chr(34), chr(34) * 2)}"\n' for row in rows
    )
    (folder / "t.csv").write_text(table, newline="")
    for name in ("t.json", "t.jsonl", "t.csv"):
        assert [task.prompt for task in read_tasks(folder / name).tasks] == prompts
