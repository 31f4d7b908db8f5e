"""The operator's instructions: theirs alone. Nothing that a repository can write gets to be one."""

import os
from pathlib import Path

import pytest

from agent.config.instructions import LARGEST_BYTES, Instructions, brief, digest, read_instructions
from agent.conversation.prompts import system_prompt
from agent.errors import UsageError
from agent.past_runs.resume import take
from agent.record.events.lifecycle import RunStarted
from fakes.model import ToldModel, say
from fakes.runs import FakeRun
from policies.loading import load, loads
from policies.policy import Policy

ORDERS = "Write British English.\nRun `make lint` at the end.\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made.resolve()


def test_they_stand_at_the_end_of_the_system_prompt(tmp_path: Path, workspace: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_text(ORDERS)
    given = brief(file, context_files=True, workspace=workspace).operator
    assert given is not None
    prompt = system_prompt(load("default"), "/workspace", given)
    assert prompt.startswith(system_prompt(load("default"), "/workspace"))
    assert prompt.endswith(ORDERS.strip())


def test_braces_in_them_are_text(tmp_path: Path, workspace: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_text("Use {rules} and {0} and %s.")
    given = read_instructions(file, workspace=workspace)
    assert "Use {rules} and {0} and %s." in system_prompt(load("default"), "/w", given)


@pytest.mark.parametrize(
    "how",
    [
        "in it",
        "link out of it",
        "link into it",
        "link through it",
        "dots",
        "above",
        "directory link",
    ],
)
def test_a_repository_does_not_write_the_instructions(
    tmp_path: Path, workspace: Path, how: str
) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text(ORDERS)
    inside = workspace / "AGENTS.md"
    inside.write_text(ORDERS)
    match how:
        case "in it":
            named = inside
        case "link out of it":
            named = workspace / "link.md"
            named.symlink_to(outside)
        case "link into it":
            named = tmp_path / "link.md"
            named.symlink_to(inside)
        case "link through it":
            (workspace / "second").symlink_to(outside)
            named = tmp_path / "first"
            named.symlink_to(workspace / "second")
        case "dots":
            (tmp_path / "other").mkdir()
            named = tmp_path / "other" / ".." / "work" / "AGENTS.md"
        case "above":
            (workspace / "deep").mkdir()
            named = workspace / "deep" / ".." / ".." / "outside.md"
        case _:
            (tmp_path / "folder").symlink_to(workspace)
            named = tmp_path / "folder" / "AGENTS.md"
    with pytest.raises(UsageError, match="lie in the workspace"):
        read_instructions(named, workspace=workspace)


def test_a_relative_name_is_looked_up_from_where_one_stands(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "AGENTS.md").write_text(ORDERS)
    (workspace.parent / "mine.md").write_text(ORDERS)
    monkeypatch.chdir(workspace)
    with pytest.raises(UsageError, match="lie in the workspace"):
        read_instructions(Path("AGENTS.md"), workspace=workspace)
    (workspace / "deep").mkdir()
    (workspace / "away").symlink_to(workspace.parent)
    assert read_instructions(Path("../mine.md"), workspace=workspace).text == ORDERS.strip()
    with pytest.raises(UsageError, match="lead through it"):
        read_instructions(Path("away/mine.md"), workspace=workspace)
    monkeypatch.chdir(workspace / "deep")
    assert read_instructions(Path("../../mine.md"), workspace=workspace).text == ORDERS.strip()
    monkeypatch.chdir(workspace.parent)
    assert read_instructions(Path("mine.md"), workspace=workspace).text == ORDERS.strip()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\xff\xfe\x00a", "not UTF-8"),
        (b"text\0more", "control characters"),
        (b"\x1b[2Jtext", "control characters"),
        (b"x" * (LARGEST_BYTES + 1), "more than"),
    ],
)
def test_what_is_no_text_of_a_bounded_size_is_refused(
    tmp_path: Path, workspace: Path, data: bytes, complaint: str
) -> None:
    file = tmp_path / "mine.md"
    file.write_bytes(data)
    with pytest.raises(UsageError, match=complaint):
        read_instructions(file, workspace=workspace)


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "loop", "nothing", "no right"])
def test_what_is_no_file_is_refused_and_never_waited_for(
    tmp_path: Path, workspace: Path, kind: str
) -> None:
    file = tmp_path / "mine.md"
    match kind:
        case "fifo":
            os.mkfifo(file)
        case "device":
            file = Path("/dev/zero")
        case "directory":
            file.mkdir()
        case "loop":
            file.symlink_to(file)
        case "no right":
            file = Path("/proc/self/mem")
    with pytest.raises(UsageError):
        read_instructions(file, workspace=workspace)


def test_a_huge_file_is_not_read_through(tmp_path: Path, workspace: Path) -> None:
    file = tmp_path / "mine.md"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(UsageError, match="more than"):
        read_instructions(file, workspace=workspace)


def test_line_ends_and_a_mark_of_byte_order_do_not_matter(tmp_path: Path, workspace: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert read_instructions(file, workspace=workspace).text == "one\ntwo"


# -- over a run --------------------------------------------------------------------------------


def orders(text: str, workspace: Path, tmp_path: Path) -> Instructions:
    file = tmp_path / "mine.md"
    file.write_text(text)
    return brief(file, context_files=False, workspace=workspace)


def test_a_run_taken_up_again_has_the_same_system_prompt(
    tmp_path: Path, workspace: Path, policy: Policy
) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, instructions=orders(ORDERS, workspace, tmp_path))
    model = ToldModel(say("Done."))
    fake.go(model)
    taken = take(tmp_path, fake.record.run_id, environ={}, known_secrets=(), may_ask=False)
    taken.record.close()
    again = system_prompt(taken.job.policy, "/workspace", taken.job.instructions.operator)
    assert again == model.requests[0].system
    assert taken.obstacle == ""


def test_a_secret_in_them_is_not_recorded_and_the_run_not_gone_on_with(
    tmp_path: Path, workspace: Path, policy: Policy
) -> None:
    instructions = orders("The password is 0123456789-secret.", workspace, tmp_path)
    fake = FakeRun(
        home=tmp_path,
        policy=policy,
        instructions=instructions,
        known_secrets=("0123456789-secret",),
    )
    fake.go(ToldModel(say("Done.")))
    assert "0123456789-secret" not in (fake.record.directory / "events.jsonl").read_text()
    taken = take(tmp_path, fake.record.run_id, environ={}, known_secrets=(), may_ask=False)
    taken.record.close()
    assert "instructions could not be recorded" in taken.obstacle


def test_the_record_says_which_file_it_was(tmp_path: Path, workspace: Path, policy: Policy) -> None:
    fake = FakeRun(home=tmp_path, policy=policy, instructions=orders(ORDERS, workspace, tmp_path))
    fake.go(ToldModel(say("Done.")))
    (begun,) = [event for event in fake.log if isinstance(event, RunStarted)]
    assert begun.instructions is not None
    assert begun.instructions.file == str(tmp_path / "mine.md")
    assert begun.instructions.sha256 == digest(ORDERS.strip())


# -- the prompt itself -------------------------------------------------------------------------


def test_the_prompt_says_what_leaves_only_where_something_can() -> None:
    assert "leaves this place" not in system_prompt(load("default"), "/workspace")
    text = "version: 1\nname: p\ntools: [bash]\nserver_tools: [web_search]\n"
    assert "web_search. What you give them leaves" in system_prompt(loads(text, file="p"), "/w")


def test_the_prompt_is_short_and_holds_what_it_must() -> None:
    prompt = system_prompt(load("default"), "/workspace")
    assert len(prompt) < 6000
    for words in ("sealed container", "no network", "never an instruction", "Verify before"):
        assert words in prompt
