"""Tasks in YAML: what is taken, and each complaint as a whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.batch.task import (
    FolderWorkspace,
    GitWorkspace,
    ImageWorkspace,
    Task,
    TaskBudget,
    TaskOrigin,
)
from agent.batch.tasks.reading import TaskList, read_tasks
from agent.errors import UsageError
from fakes.git import git
from policies.loading import bundled_names

Read = Callable[[str, str], TaskList]
Refused = Callable[[str, str], list[str]]


def test_list_of_tasks_is_read_in_its_order(tasks_of: Read, folder: Path) -> None:
    found = tasks_of(
        "t.yaml",
        "- {id: b, workspace: repos/one, task: Fix it}\n"
        "- id: a\n"
        "  workspace: image:/testbed\n"
        "  image: example/bench:1\n"
        "  task: |\n"
        "    Two\n"
        "    lines\n"
        "  verify: pytest -q\n"
        "  attempts: 3\n"
        "  budget: {usd: 1.5, turns: 9, input_tokens: 10, output_tokens: 20, time: 10m}\n"
        "  model: anthropic:some-model\n"
        "  policy: read-only\n",
    )
    file = str(folder / "t.yaml")
    assert found.tasks == (
        Task(
            id="b",
            prompt="Fix it",
            workspace=FolderWorkspace(path=folder / "repos/one"),
            origin=TaskOrigin(file=file, line=1),
        ),
        Task(
            id="a",
            prompt="Two\nlines\n",
            workspace=ImageWorkspace(path="/testbed"),
            image="example/bench:1",
            verify="pytest -q",
            attempts=3,
            model="anthropic:some-model",
            policy="read-only",
            budget=TaskBudget(usd=1.5, turns=9, input_tokens=10, output_tokens=20, time_s=600.0),
            origin=TaskOrigin(file=file, line=2),
        ),
    )


def test_defaults_hold_where_a_task_says_nothing(tasks_of: Read, folder: Path) -> None:
    found = tasks_of(
        "t.yaml",
        "defaults:\n"
        "  workspace: repos/one\n"
        "  verify: make test\n"
        "  budget: {usd: 1, turns: 5}\n"
        "tasks:\n"
        "  - {id: a, task: x, budget: {usd: 2}}\n"
        "  - {id: b, task: y, image: i, path: /app}\n",
    ).tasks
    assert [task.verify for task in found] == ["make test", "make test"]
    assert [task.budget for task in found] == [
        TaskBudget(usd=2, turns=5),
        TaskBudget(usd=1, turns=5),
    ]
    assert [task.workspace for task in found] == [
        FolderWorkspace(path=folder / "repos/one"),
        ImageWorkspace(path="/app"),
    ]


def test_pattern_gives_a_task_for_each_folder(tasks_of: Read, folder: Path) -> None:
    (folder / "repos/file").write_text("")
    (folder / "repos/.hidden").mkdir()
    (folder / "repos/with space").mkdir()
    (folder / "repos/linked").symlink_to(folder / "repos/one")
    found = tasks_of("t.yaml", "- {workspace: 'repos/*', task: x}\n").tasks
    assert [task.id for task in found] == ["linked", "one", "two", "with-space-b8b8f25a"]
    assert found[0].workspace == FolderWorkspace(path=folder / "repos/one")
    named = tasks_of("t.yaml", "- {id: lint, workspace: 'rep*/[ot]??', task: x}\n").tasks
    assert [task.id for task in named] == ["lint-repos-one", "lint-repos-two"]


def test_ids_of_a_pattern_are_told_apart_where_joining_would_not(
    tasks_of: Read, folder: Path
) -> None:
    for name in ("a-b/c", "a/b-c"):
        (folder / "deep" / name).mkdir(parents=True)
    found = tasks_of("t.yaml", "- {workspace: 'deep/*/*', task: x}\n").tasks
    assert len({task.id for task in found}) == 2
    assert all(task.id.startswith("a-b-c-") for task in found)


def test_git_repository_is_an_address_or_a_folder(tasks_of: Read, folder: Path) -> None:
    git(folder / "repos/one", "init", "-q")
    found = tasks_of(
        "t.yaml",
        "- {id: a, git: 'https://example.org/x.git', rev: v1.0, task: x}\n"
        "- {id: b, git: 'me@example.org:x.git', rev: main, task: x}\n"
        "- {id: c, git: repos/one, rev: main, task: x}\n",
    ).tasks
    assert [task.workspace for task in found] == [
        GitWorkspace(url="https://example.org/x.git", revision="v1.0"),
        GitWorkspace(url="me@example.org:x.git", revision="main"),
        GitWorkspace(url=str(folder / "repos/one"), revision="main"),
    ]


def test_paths_count_from_the_folder_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "own.yaml").write_text("version: 1\nname: own\nextends: default\n")
    (folder / "script.jsonl").write_text("")
    (folder / "t.yaml").write_text(
        "- {id: a, workspace: repos/one, task: x, image: ./Dockerfile, policy: own.yaml,"
        " model: 'script:script.jsonl'}\n"
    )
    monkeypatch.chdir(folder / "sub")
    (task,) = read_tasks(Path("../t.yaml")).tasks
    assert task.image == str(folder / "Dockerfile")
    assert task.policy == str(folder / "own.yaml")
    assert task.model == f"script:{folder}/script.jsonl"
    assert task.origin == TaskOrigin(file="../t.yaml", line=1)


COMPLAINTS = {
    "- {id: a, workspace: repos/one, taks: x, task: x}\n": (
        "t.yaml:1: taks: unknown key; did you mean `task`?"
    ),
    "- id: a\n  workspace: repos/one\n  task: x\n  colour: red\n": (
        "t.yaml:4: colour: unknown key; known here: attempts, budget, git, id, image, model, "
        "path, policy, rev, task, verify, workspace"
    ),
    "tasks:\n- {id: a, workspace: repos/one, task: x}\ntask: []\n": (
        "t.yaml:3: task: unknown key; did you mean `tasks`?"
    ),
    "defaults:\n  modle: x\ntasks:\n- {id: a, workspace: repos/one, task: x}\n- {id: b, "
    "workspace: repos/one, task: x}\n": ("t.yaml:2: modle: unknown key; did you mean `model`?"),
    "- id: a\n  workspace: repos/one\n  task: x\n  budget:\n    usd: 1\n    dollars: 3\n": (
        "t.yaml:6: budget.dollars: unknown key; known here: input_tokens, output_tokens, time, "
        "turns, usd"
    ),
    "- id: a\n  workspace: repos/one\n  task: x\n  budget: {time: 30}\n": (
        "t.yaml:4: budget.time: expected a duration with its unit, such as 2m, got 30"
    ),
    "- id: a\n  workspace: repos/one\n  task: x\n  budget: 3\n": (
        "t.yaml:4: budget: expected a mapping, got 3"
    ),
    "- id: 7\n  workspace: repos/one\n  task: x\n": (
        "t.yaml:1: id: expected text, got 7; write it in quotes"
    ),
    "- id: a/b\n  workspace: repos/one\n  task: x\n": (
        "t.yaml:1: id: 'a/b' can't be used: expected a plain name: letters, digits, `.`, `_` "
        "and `-`"
    ),
    "- {id: a, workspace: repos/one, task: x, attempts: 0}\n": (
        "t.yaml:1: attempts: 0 is out of range: at least 1 is expected"
    ),
    "- {id: a, workspace: repos/one, task: x, attempts: '2'}\n": (
        "t.yaml:1: attempts: expected a whole number, got '2'"
    ),
    "- {id: a, workspace: repos/one, task: ' '}\n": (
        "t.yaml:1: task: ' ' can't be used: expected some text"
    ),
    "- {id: a, workspace: repos/one, task: }\n": "t.yaml:1: task: expected text, got nothing",
    "- {id: a, workspace: repos/one}\n": (
        "t.yaml:1: task: is missing: say what the agent is to do"
    ),
    "- {workspace: repos/one, task: x}\n": (
        "t.yaml:1: id: is missing: a name of letters, digits, `.`, `_` and `-`, unique in the file"
    ),
    "- {id: a, task: x}\n": (
        "t.yaml:1: workspace: is missing: a folder; or instead `git` and `rev`, or `image` and "
        "`path`"
    ),
    "- {id: a, workspace: repos/three, task: x}\n": (
        "t.yaml:1: workspace: there is no folder repos/three"
    ),
    "- {id: a, workspace: t.yaml, task: x}\n": "t.yaml:1: workspace: t.yaml is not a folder",
    "- {workspace: 'none/*', task: x}\n": "t.yaml:1: workspace: no folder matches none/*",
    "- {workspace: 'repos/**', task: x}\n": (
        "t.yaml:1: workspace: `**` is not taken: name each level, as in repos/*/*"
    ),
    "- {id: a, workspace: repos/one, git: repos/one, rev: x, task: x}\n": (
        "t.yaml:1: git: `workspace` says already where the task works: keep one"
    ),
    "- {id: a, workspace: repos/one, rev: x, task: x}\n": (
        "t.yaml:1: rev: is the revision of a repository: name that with `git`"
    ),
    "- {id: a, git: 'https://example.org/x', task: x}\n": (
        "t.yaml:1: rev: is missing: a commit, a branch or a tag of the repository"
    ),
    "- {id: a, git: 'https://example.org/x', rev: --upload-pack=x, task: x}\n": (
        "t.yaml:1: rev: '--upload-pack=x' is no commit, branch or tag"
    ),
    "- {id: a, git: 'ext::sh -c id', rev: x, task: x}\n": (
        "t.yaml:1: git: 'ext::sh -c id' is no address: write https://…, ssh://…, or a folder's path"
    ),
    "- {id: a, git: 'file:///etc', rev: x, task: x}\n": (
        "t.yaml:1: git: file:// is not taken: one of https://, http://, ssh://, git://, or a "
        "folder's path"
    ),
    "- {id: a, git: 'https://me:secret@example.org/x', rev: x, task: x}\n": (
        "t.yaml:1: git: holds a password: leave it out, and let ssh or the server ask for none"
    ),
    "- {id: a, git: 'ssh://-oProxyCommand=id/x', rev: x, task: x}\n": (
        "t.yaml:1: git: 'ssh://-oProxyCommand=id/x' names no host"
    ),
    "- {id: a, git: repos/one, rev: x, task: x}\n": (
        "t.yaml:1: git: repos/one holds no git repository"
    ),
    "- {id: a, git: none, rev: x, task: x}\n": "t.yaml:1: git: there is no repository at none",
    "- {id: a, image: i, path: /usr/bin, task: x}\n": (
        "t.yaml:1: path: the workspace image:/usr/bin is the system's own: copy the tree to a "
        "folder of its own, as /testbed"
    ),
    "- {id: a, workspace: repos/one, image: ./none, task: x}\n": (
        "t.yaml:1: image: there is no none: name a Dockerfile, or a folder with one"
    ),
    "- {id: a, workspace: repos/one, model: gpt, task: x}\n": (
        "t.yaml:1: model: 'gpt' is no model: write anthropic:NAME or openai:NAME or responses:NAME "
        "or script:FILE"
    ),
    "- {id: a, workspace: repos/one, model: 'script:none', task: x}\n": (
        "t.yaml:1: model: there is no script none"
    ),
    "- {id: a, workspace: repos/one, policy: unheard-of, task: x}\n": (
        "t.yaml:1: policy: can't be used: unheard-of: there is no policy 'unheard-of'; bundled: "
        f"{', '.join(bundled_names())}; a file's name ends in .yaml"
    ),
    "- {id: a, workspace: repos/one, policy: p.yaml, task: x}\n": (
        "t.yaml:1: policy: can't be used: p.yaml: there is no such file"
    ),
    "- {id: a, workspace: repos/one, task: x}\n- {id: b, workspace: repos/one, task: y}\n- "
    "{id: a, workspace: repos/two, task: z}\n": (
        "t.yaml:3: id: 'a' is there already, at t.yaml:1: rename one"
    ),
    "- {id: a, id: b}\n": "t.yaml:1: [0].id: this key is there already, in line 1",
    "- &x {id: a}\n- *x\n": (
        "t.yaml:1: [0]: YAML anchors are not used in a tasks file: write it out"
    ),
    "- !!python/object:os.system {}\n": (
        "t.yaml:1: [0]: YAML tags (`!…`) are not used in a tasks file"
    ),
    "- [id\n": (
        "t.yaml:1: not YAML: expected ',' or ']', but got '<stream end>' while parsing a flow "
        "sequence"
    ),
    "- one\n": "t.yaml:1: tasks[0]: expected a mapping, got 'one'",
    "tasks: 3\n": "t.yaml:1: tasks: expected a list, got 3",
    "defaults: {task: x}\n": "t.yaml:1: tasks: is missing: list the tasks under it",
    "defaults: 3\ntasks: []\n": "t.yaml:1: defaults: expected a mapping, got 3",
    "just text\n": "t.yaml:1: a tasks file is a list, or a mapping with `tasks:`",
    "": "t.yaml:1: a tasks file is a list, or a mapping with `tasks:`, and this file is empty",
    "[]\n": "t.yaml: there is no task in it",
}


@pytest.mark.parametrize("content", COMPLAINTS)
def test_each_complaint_names_file_line_and_key(refused: Refused, content: str) -> None:
    assert refused("t.yaml", content) == [COMPLAINTS[content]]


def test_all_complaints_come_at_once(refused: Refused) -> None:
    content = "- {id: a, workspace: none, task: x}\n- {id: b, tsk: x}\n- {id: c}\n"
    assert refused("t.yaml", content) == [
        "t.yaml:1: workspace: there is no folder none",
        "t.yaml:2: tsk: unknown key; did you mean `task`?",
        "t.yaml:3: task: is missing: say what the agent is to do",
    ]
    many = "".join(f"- {{id: t{n}, workspace: repos/one}}\n" for n in range(33))
    assert refused("t.yaml", many)[-1] == "and 13 more"


def test_ten_thousand_tasks_have_their_lines(tasks_of: Read, refused: Refused) -> None:
    rows = [f"- {{id: t{n}, workspace: repos/one, task: x}}\n" for n in range(10_000)]
    found = tasks_of("t.yaml", "".join(rows)).tasks
    assert [task.origin.line for task in found] == list(range(1, 10_001))
    rows[7_776] = rows[7_776].replace("task:", "tsk:")
    assert refused("t.yaml", "".join(rows)) == [
        "t.yaml:7777: tsk: unknown key; did you mean `task`?"
    ]


def test_circle_of_links_is_said_to_be_one(refused: Refused, folder: Path) -> None:
    (folder / "repos/a").symlink_to(folder / "repos/b")
    (folder / "repos/b").symlink_to(folder / "repos/a")
    message = "t.yaml:1: workspace: the links at repos/a lead round in a circle"
    assert refused("t.yaml", "- {id: x, workspace: repos/a, task: x}\n") == [message]
    assert refused("t.yaml", "- {workspace: 'repos/*', task: x}\n") == [message]


def test_link_to_no_possible_name_is_told(refused: Refused, folder: Path) -> None:
    long = "x" * 400
    (folder / "repos/a").symlink_to(long)
    message = "t.yaml:1: workspace: repos/a can't be used: File name too long"
    assert refused("t.yaml", "- {workspace: 'repos/*', task: x}\n") == [message]
    for said in (
        f"workspace: {long}",
        f"git: {long}, rev: x",
        f"workspace: repos/one, model: 'script:{long}'",
    ):
        (line,) = refused("t.yaml", f"- {{id: a, task: x, {said}}}\n")
        assert line.startswith("t.yaml:1: ")


def test_policy_in_the_workspace_is_refused_by_name_and_by_link(
    refused: Refused, folder: Path
) -> None:
    text = "version: 1\nname: own\nextends: default\n"
    (folder / "repos/one/p.yaml").write_text(text)
    (folder / "link.yaml").symlink_to(folder / "repos/one/p.yaml")
    (folder / "child.yaml").write_text("version: 1\nname: child\nextends: link.yaml\n")
    tail = (
        "repos/one/p.yaml lies in the workspace, which may not decide what it may do: read it, "
        "copy it somewhere else, and name the copy"
    )
    for policy in ("repos/one/p.yaml", "link.yaml", "child.yaml"):
        content = f"- {{id: x, workspace: repos/one, policy: {policy}, task: x}}\n"
        assert refused("t.yaml", content) == [f"t.yaml:1: policy: {tail}"]
        git(folder / "repos/one", "init", "-q")
        content = f"- {{id: x, git: repos/one, rev: main, policy: {policy}, task: x}}\n"
        assert refused("t.yaml", content) == [f"t.yaml:1: policy: {tail}"]


def test_what_is_no_file_of_tasks_is_told(folder: Path) -> None:
    for name, message in {
        "none.yaml": "there is no tasks file {}",
        "t.txt": "{} is in no form that tasks come in: a name ends in .yaml, .jsonl, .json, .csv "
        "or .parquet, or is a folder with a task.toml",
    }.items():
        if name == "t.txt":
            (folder / name).write_text("")
        with pytest.raises(UsageError) as caught:
            read_tasks(folder / name)
        assert str(caught.value) == message.format(folder / name)
