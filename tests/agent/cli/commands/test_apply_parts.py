"""`moonpool apply` of what a person chose of a patch, and of what they let pass."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.hunks import chosen
from agent.errors import UsageError
from agent.past_runs.reviewed_patch import spelled
from command_line.running import SCRIPT, Shell, bash, shell_in
from command_line.terminal import Terminal
from command_line.zygote import Zygote
from fakes.model import saying

CODE = "".join(f"line {number}\n" for number in range(1, 31))
WORK = (
    "sed -i -e 1s/line/LINE/ -e 30s/line/LINE/ code.py; chmod +x tool; echo new > 'n e,w:1'; "
    "mkdir -p .github/workflows; echo 'on: push' > .github/workflows/x.yml; rm -f count"
)
FLOW = ".github/workflows/x.yml"


@pytest.fixture(scope="module")
def recorded(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory, image: str) -> Shell:
    """Its last run changed files of the workspace and was refused for one of them."""
    assert image
    shell = shell_in(tmp_path_factory.mktemp("recorded"), zygote)
    root = shell.directory / "repo"
    root.mkdir()
    (root / "code.py").write_text(CODE)
    (root / "tool").write_text("#!/bin/sh\n")
    model = saying(root.parents[1] / "work.yaml", bash(WORK), {"text": "All of it\nis done."})
    done = shell("run", "x", "-w", "repo", "-m", model, "--verify", "false")
    assert done.returncode == 5, done.stderr
    return shell


@pytest.fixture
def moonpool(recorded: Shell, tmp_path: Path) -> Iterator[Shell]:
    """After a test, its workspace and its record are what they were before."""
    root = recorded.directory.parent
    changed = [root / name for name in ("work", "state")]
    for path in changed:
        shutil.copytree(path, tmp_path / path.name)
    yield recorded
    for path in changed:
        shutil.rmtree(path)
        shutil.move(tmp_path / path.name, path)


@pytest.fixture
def refused(moonpool: Shell) -> Path:
    return moonpool.directory / "repo"


def test_parts_of_a_refused_patch_are_taken_and_what_is_refused_is_not(
    moonpool: Shell, refused: Path
) -> None:
    whole = moonpool("apply", "last")
    assert whole.returncode == 5
    assert "moonpool apply -i" in whole.stderr
    checked = moonpool("apply", "last", "--check", "--hunks", "code.py:2")
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "it fits")
    assert (refused / "code.py").read_text() == CODE
    done = moonpool("apply", "last", "--hunks", "code.py:2,n e,w:1", "--hunks", "n e,w:1")
    assert done.returncode == 2, "a comma in a name is one between two parts"
    done = moonpool("apply", "last", "--hunks", "code.py:2,tool:mode", "--hunks", "n e,w:1")
    assert done.returncode == 0, done.stderr
    assert (refused / "code.py").read_text() == CODE.replace("line 30", "LINE 30")
    assert (refused / "n e,w:1").read_text() == "new\n"
    assert (refused / "tool").stat().st_mode & 0o111 == 0o111
    assert not (refused / FLOW).exists()
    shown = moonpool("show", "last").stdout
    assert "  All of it\n  is done.\n" in shown
    assert "code.py:2,tool:mode,n e,w:1 of the patch put in" in shown
    again = moonpool("apply", "last", "--hunks", FLOW)
    assert again.returncode == 5
    assert "protected-path" in again.stderr


def test_a_directory_is_noted_by_its_whole_path(moonpool: Shell, refused: Path) -> None:
    done = moonpool("apply", "last", "-w", "repo", "--hunks", "code.py:2")
    assert done.returncode == 0, done.stderr
    assert f"put in {refused.resolve()}" in moonpool("show", "last").stdout.replace("\n", "")
    assert not (refused / FLOW).exists()


def test_what_is_let_pass_is_kept_with_who_and_why(moonpool: Shell, refused: Path) -> None:
    unsaid = moonpool("apply", "last", "--accept-risk", "protected-path")
    assert unsaid.returncode == 2
    assert "--because" in unsaid.stderr
    other = moonpool("apply", "last", "--accept-risk", "secret", "--because", "no")
    assert other.returncode == 5
    assert not (refused / FLOW).exists()
    done = moonpool(
        "apply", "last", "--accept-risk", "protected-path", "--because", "our own\x1b[2J flow"
    )
    assert done.returncode == 0, done.stderr
    assert (refused / FLOW).read_text() == "on: push\n"
    shown = moonpool("show", "last").stdout
    assert "let pass: protected-path (our own" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("hunks", "words"),
    [
        ("code.py:3", "code.py has 2 hunks, and no 3"),
        ("code.py:0", "hunks are counted from 1"),
        ("code.py:x", "write FILE, FILE:2, FILE:1-3 or FILE:mode"),
        ("nope", "the patch touches no nope; it touches"),
        ("code.py:1,nope", "the patch touches no nope; it touches"),
        (f"{FLOW}:mode", "taken as a whole"),
    ],
)
def test_what_is_no_part_is_said_and_nothing_is_written(
    moonpool: Shell, refused: Path, hunks: str, words: str
) -> None:
    done = moonpool("apply", "last", "--hunks", hunks)
    assert done.returncode == 2
    assert words in done.stderr
    assert (refused / "code.py").read_text() == CODE


def test_a_person_is_asked_hunk_by_hunk(moonpool: Shell, refused: Path) -> None:
    assert moonpool("apply", "last", "-i").returncode == 2, "there is no terminal"
    with Terminal(
        [str(SCRIPT), "apply", "last", "-i"],
        directory=moonpool.directory,
        environ=moonpool.environ,
    ) as terminal:
        for question, answer in (
            ("take this file?", "n"),  # the workflow
            ("take this hunk 1?", "x"),
            ("take this hunk 1?", "n"),
            ("take this hunk 2?", "y"),
            ("take this file?", "y"),  # n e,w:1
            ("take this change of mode?", "q"),
        ):
            terminal.until(question)
            terminal.type(f"{answer}\n")
        assert terminal.end() == 0
    assert (refused / "code.py").read_text() == CODE.replace("line 30", "LINE 30")
    assert (refused / "n e,w:1").exists()
    assert not (refused / FLOW).exists()
    assert (refused / "tool").stat().st_mode & 0o111 == 0


def test_a_list_of_parts_is_read_and_written() -> None:
    paths = [b"a.py", b"b:1", b"c,d"]
    choice = chosen(["a.py:1,3-4", "b:1", "c,d"], paths)
    assert choice == {b"a.py": frozenset({1, 3, 4}), b"b:1": None, b"c,d": None}
    assert spelled(choice) == "a.py:1,3,4,b:1,c,d"
    assert chosen(["a.py:2,a.py"], paths) == {b"a.py": None}
    assert chosen(["a.py,a.py:2"], paths) == {b"a.py": None}
    with pytest.raises(UsageError):
        chosen(["2"], paths)
