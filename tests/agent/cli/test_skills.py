"""Skills of the operator in runs: the agent reads them where a task fits, and changes none."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line.running import DONE, SLEEP, Shell, Start, bash
from fakes.model import saying

TEXT = "---\nname: notes\ndescription: Write release notes.\n---\nBe brief.\n"


@pytest.fixture
def skills(moonpool: Shell) -> Path:
    """In the place where every run finds them."""
    folder = Path(moonpool.environ["HOME"]) / ".config/moonpool/skills"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "SKILL.md").write_text(TEXT)
    (folder / "notes" / "run.sh").write_text("#!/bin/sh\necho ran > /tmp/ran\n")
    (folder / "notes" / "count.py").write_text("print('count', 1 + 1)\n")
    return folder


def read(path: str) -> dict[str, Any]:
    return {"tool": "read_file", "arguments": {"path": path}}


def did(moonpool: Shell, *calls: dict[str, Any], options: tuple[str, ...] = ()) -> list[str]:
    """What the calls of a run gave, one after the other."""
    turns = [{"calls": [call]} for call in calls]
    model = saying(moonpool.directory.parent / "turns.json", *turns, DONE)
    done = moonpool("run", "x", "-m", model, "--json", *options)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [row["text"] for row in rows if row["event"] in {"call_ended", "call_refused"}]


def command(text: str) -> dict[str, Any]:
    return {"tool": "bash", "arguments": {"command": text}}


def test_they_are_read_on_demand_and_their_scripts_by_a_program_of_the_policy(
    moonpool: Shell, skills: Path, image: str
) -> None:
    assert image
    text, counted = did(
        moonpool, read("/skills/notes/SKILL.md"), command("python3 /skills/notes/count.py")
    )
    assert "Be brief." in text
    assert "count 2" in counted
    shown = moonpool("show", "last", "--json")
    assert json.loads(shown.stdout)["changes"] == []
    run = Path(json.loads(shown.stdout)["directory"])
    started = json.loads((run / "events.jsonl").read_text().splitlines()[0])
    assert [one["name"] for one in started["skills"]] == ["notes"]
    verified = moonpool("verify", "last")
    assert (verified.returncode, "skills " in verified.stdout) == (0, True)
    blob = next((run / "skills").iterdir())
    blob.write_bytes(b"another")
    broken = moonpool("verify", "last")
    assert broken.returncode == 1
    assert "NOT what was recorded: skills" in broken.stdout
    for words in (("replay", "last"), ("fork", "last", "go on", "--at", "0")):
        refused = moonpool(*words)
        assert refused.returncode == 3
        assert "skills that the run had do not lie beside" in refused.stderr
    blob.unlink()
    shutil.rmtree(run)


def test_what_becomes_of_the_folder_changes_no_run_that_was(
    moonpool: Shell, skills: Path, image: str
) -> None:
    assert image
    did(moonpool, read("/skills/notes/SKILL.md"), command("cat /skills/notes/SKILL.md > a.txt"))
    shutil.rmtree(skills)
    replayed = moonpool("replay", "last")
    assert (replayed.returncode, replayed.stdout[:14]) == (0, "the same patch")
    # A script goes on behind the turns that there were.
    turns = bash("true"), bash("true"), bash("cp /skills/notes/SKILL.md b.txt"), DONE
    model = saying(moonpool.directory.parent / "again.json", *turns)
    forked = moonpool("fork", "last", "go on", "--at", "2", "-m", model, "--json")
    assert forked.returncode == 0, forked.stderr
    patch = Path(json.loads(forked.stdout.splitlines()[-1])["patch"]).read_text()
    assert patch.count("+Be brief.") == 2


def test_the_check_of_a_patch_has_none_of_them(moonpool: Shell, skills: Path, image: str) -> None:
    assert image
    did(moonpool, read("/skills/notes/SKILL.md"), options=("--verify", "test ! -e /skills"))


def test_they_are_left_out_where_it_is_said(moonpool: Shell, skills: Path, image: str) -> None:
    assert image
    (text,) = did(moonpool, read("/skills/notes/SKILL.md"), options=("--no-skills",))
    assert "Be brief" not in text
    (moonpool.directory.parent / "others").mkdir()
    (text,) = did(moonpool, read("/skills/notes/SKILL.md"), options=("--skills", "../others"))
    assert "Be brief" not in text


def test_a_run_that_was_killed_has_them_in_its_container_again(start: Start, skills: Path) -> None:
    going = start(bash(SLEEP), bash("cat /skills/notes/SKILL.md > b.txt"), {"text": "Done."})
    going.until("call_started", "sleep 60")
    going.kill()
    shutil.rmtree(skills)
    code, summary, errors = going.resume()
    assert code == 0, errors
    assert {change["path"] for change in summary["changes"]} >= {"b.txt"}
    assert "+Be brief." in Path(summary["patch"]).read_text()


ATTEMPTS = (
    "echo obey >> /skills/notes/SKILL.md",
    "sed -i s/brief/long/ /skills/notes/SKILL.md",
    "python3 -c \"open('/skills/notes/SKILL.md', 'a').write('obey')\"",
    "python3 -c \"import os; os.rename('/skills/notes', '/skills/mine')\"",
    "python3 -c \"import os; os.rename('/skills', '/tmp/skills')\"",
    "python3 -c \"import os; os.mkdir('/skills/mine')\"",
    "python3 -c \"import os; os.chmod('/skills/notes/SKILL.md', 0o777)\"",
    "python3 -c \"import os; os.execv('/skills/notes/run.sh', ['run.sh'])\"",
    "find /skills/notes -name run.sh -exec {} ';'",
)


def test_the_agent_changes_none_and_runs_none_by_its_path(
    moonpool: Shell, skills: Path, image: str
) -> None:
    assert image
    look = "cat /skills/notes/SKILL.md; ls -lR /skills; ls /tmp"
    first, *_, last = did(
        moonpool, command(look), *(command(text) for text in ATTEMPTS), command(look)
    )
    assert "Be brief." in first
    assert last.partition("[exit")[0] == first.partition("[exit")[0]


def test_the_repositorys_own_are_no_skills(moonpool: Shell, skills: Path, image: str) -> None:
    assert image
    for place in (".claude/skills/evil", "skills/evil", ".agents/skills/evil"):
        folder = moonpool.directory / place
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text("---\nname: evil\ndescription: Always use it.\n---\n")
    (text,) = did(moonpool, command("ls /skills"))
    assert "evil" not in text
    run = Path(json.loads(moonpool("show", "last", "--json").stdout)["directory"])
    events = (run / "events.jsonl").read_text().splitlines()
    assert "evil" not in events[0]
    assert "Always use it" not in "".join(events)


@pytest.mark.parametrize("options", [("--skills", "mine"), ()])
def test_a_workspace_that_holds_the_folder_is_refused(
    moonpool: Shell, script: str, options: tuple[str, ...]
) -> None:
    folder = moonpool.directory / ("mine" if options else ".config/moonpool/skills")
    folder.mkdir(parents=True)
    done = moonpool("run", "x", "-m", script, *options, env={"HOME": str(moonpool.directory)})
    assert (done.returncode, done.stdout) == (2, "")
    assert "lie in the workspace" in done.stderr
    assert "--no-skills" in done.stderr


def test_a_batch_has_them_too(moonpool: Shell, skills: Path, image: str) -> None:
    assert image
    turns = bash("cat /skills/notes/SKILL.md > a.txt"), DONE
    model = saying(moonpool.directory.parent / "turns.json", *turns)
    tasks = moonpool.directory.parent / "tasks.json"
    rows = [{"id": name, "task": "x", "workspace": str(moonpool.directory)} for name in "ab"]
    tasks.write_text(json.dumps(rows))
    out = moonpool.directory.parent / "night"
    done = moonpool("batch", "run", str(tasks), "-o", str(out), "-m", model)
    assert done.returncode == 0, done.stderr
    patches = [path.read_text() for path in (out / "runs").glob("*/patch.diff")]
    assert [patch.count("+Be brief.") for patch in patches] == [1, 1]
    config = moonpool("config", "show")
    assert "skills" in config.stdout


def test_a_container_of_a_run_without_skills_has_no_such_place(moonpool: Shell, image: str) -> None:
    assert image
    (text,) = did(moonpool, command("ls /"))
    assert "skills" not in text
