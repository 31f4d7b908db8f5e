"""A run on a folder of the image, from the first event to the patch in the operator's directory."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line.chatting import Chatting
from command_line.running import DONE, Shell, Start, bash, patch
from command_line.terminal import PROMPT
from fakes.model import saying
from foreign_images import foreign
from sandbox.engine.docker import Engine

pytestmark = pytest.mark.slow

DOCKERFILE = b"""
FROM {base}
USER root
RUN mkdir /testbed && cd /testbed && echo one > a.txt && echo 'Use spaces.' > AGENTS.md \
 && git init -qb main && git add . && git -c user.name=a -c user.email=a@b commit -qm start
"""
FOLDER = "image:/testbed"


@pytest.fixture(scope="module")
def made(engine: Engine, image: str) -> Iterator[str]:
    files = {"Dockerfile": DOCKERFILE.replace(b"{base}", image.encode())}
    with foreign(engine, "testbed", files, moved=("", "/testbed")) as reference:
        yield reference


def written(directory: Path, made: str, *turns: object) -> list[str]:
    """Arguments of a run with a script of these turns."""
    model, policy = saying(directory / "script.yaml", *turns, DONE), directory / "policy.yaml"
    policy.write_text(f"version: 1\nname: t\nextends: default\nimage: {made}\n")
    return ["-w", FOLDER, "-m", model, "-p", str(policy)]


def test_run_verify_show_replay_fork_and_apply(moonpool: Shell, tmp_path: Path, made: str) -> None:
    words = written(tmp_path, made, bash("echo two >> /testbed/a.txt; git commit -qam x; ls"))
    done = moonpool("run", "the task", "--json", "--verify", "grep two /testbed/a.txt", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    summary = rows[-1]
    assert summary["workspace"] == FOLDER
    assert b"+two\n" in patch(summary)
    assert summary["verification"]["type"] == "verified", summary["verification"]
    [shown] = [row for row in rows if row.get("event") == "context_shown"]
    assert "AGENTS.md" in json.dumps(shown)
    assert FOLDER in moonpool("show", "last").stdout
    assert "-w DIR" in moonpool("show", "last").stdout

    again = moonpool("replay", "last")
    assert again.returncode == 0, again.stdout + again.stderr
    forked = moonpool("fork", "last", "--at", "0", "--json", *words[2:4])
    assert json.loads(forked.stdout.splitlines()[-1])["workspace"] == FOLDER, forked.stderr
    assert b"+two\n" in patch(json.loads(forked.stdout.splitlines()[-1]))

    refused = moonpool("apply", summary["run_id"])
    assert (refused.returncode, "name the directory" in refused.stderr) == (2, True)
    target = tmp_path / "checkout"
    target.mkdir()
    (target / "a.txt").write_text("one\n")
    done = moonpool("apply", summary["run_id"], "-w", str(target))
    assert done.returncode == 0, done.stderr
    assert (target / "a.txt").read_text() == "one\ntwo\n"
    assert "applied to" in moonpool("show", summary["run_id"]).stdout


def test_killed_it_is_taken_up_and_exported(start: Start, made: str) -> None:
    going = start(
        bash("echo two >> a.txt"),
        bash("sleep 60"),
        bash("echo three >> a.txt"),
        DONE,
        policy=f"image: {made}",
        workspace=FOLDER,
    )
    going.until("call_ended")
    going.until("call_started")
    going.kill()
    code, summary, err = going.resume()
    assert (code, summary["outcome"], summary["workspace"]) == (0, "finished", FOLDER), err
    assert b"+two\n+three\n" in patch(summary)


def test_a_directory_of_that_name_is_another_workspace(
    moonpool: Shell, tmp_path: Path, made: str
) -> None:
    """What stands where the command is given is not looked at for a folder of an image."""
    (moonpool.directory / "image:/testbed").mkdir(parents=True)
    (moonpool.directory / "image:/testbed/evil.txt").write_text("x")
    words = written(tmp_path, made, bash("ls"))
    done = moonpool("run", "x", "--json", *words)
    assert "a.txt" in done.stdout
    assert "evil" not in done.stdout


def test_in_a_chat_nothing_is_applied(chat: Chatting, made: str) -> None:
    turns = (bash("echo two >> a.txt"), DONE)
    terminal = chat.at_terminal(*turns, policy=f"image: {made}", workspace=FOLDER)
    terminal.type("go\r")
    terminal.until("Done.")
    terminal.until(PROMPT)
    terminal.type("/apply\r")
    terminal.until("nothing is applied there")
    terminal.until(PROMPT)
    terminal.type("/quit\r")
    assert terminal.end() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "x", "-w", "image:/etc"), "system's own"),
        (("run", "x", "-w", "image:testbed"), "absolute"),
        (("init", "-w", "image:/testbed"), "a directory of this machine"),
        (("chat", "-w", "image:/"), "an absolute path"),
    ],
)
def test_what_can_be_no_workspace_is_a_mistake_in_use(
    words: tuple[str, ...], said: str, moonpool: Shell
) -> None:
    done = moonpool(*words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
