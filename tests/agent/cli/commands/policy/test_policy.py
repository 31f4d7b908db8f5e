"""``moonpool policy`` and the ceiling over a run, as a person types them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.models.interface import Usage
from agent.record.events.conversation import CallRefused, CallStarted, WhyRefused
from agent.record.events.lifecycle import Exported, RunEnded, RunStarted
from agent.record.outcome import Finished
from agent.record.store import digest
from checkout import EXAMPLES
from command_line.running import Shell
from fakes.records import START, run_started, written_record
from images.build import ensure
from policies.decision import Allow
from policies.loading import bundled_names, load
from sandbox.engine.docker import Engine
from sandbox.patch.values import Change, ChangeKind


@pytest.fixture
def standing(moonpool: Shell) -> Path:
    """Where the operator's own ceiling is looked for."""
    file = Path(moonpool.environ["HOME"]) / ".config" / "moonpool" / "ceiling.yaml"
    file.parent.mkdir(parents=True)
    return file


def written(directory: Path, name: str, text: str) -> str:
    file = directory / f"{name}.yaml"
    file.write_text(f"version: 1\nname: {name}\n{text}\n")
    return str(file)


# -- the ceiling ---------------------------------------------------------------------------------


def test_show_tells_which_line_narrowed_what(moonpool: Shell, tmp_path: Path) -> None:
    ceiling = written(tmp_path, "top", "limits: {memory: 1GiB}\nexec_workspace: false")
    shown = moonpool("policy", "show", "default", "--ceiling", ceiling)
    assert shown.returncode == 0, shown.stderr
    assert f"#   limits.memory: 4GiB becomes 1GiB ({ceiling}:3)" in shown.stdout
    assert f"#   exec_workspace: true becomes false ({ceiling}:4)" in shown.stdout
    assert "memory: 1GiB" in shown.stdout


def test_the_operators_ceiling_holds_without_being_named(
    moonpool: Shell, standing: Path, tmp_path: Path
) -> None:
    standing.write_text("version: 1\nname: team\ncommands: [ls, cat]\nlimits: {pids: 64}\n")
    explained = moonpool("policy", "explain", "default", "--", "python3 x.py").stdout
    assert "the operator's ceiling does not allow it" in explained
    assert f"{standing}:3" in explained
    # Another on the command line does not lift it.
    wide = written(tmp_path, "wide", "commands: [ls, python3]\nlimits: {pids: 5000}")
    shown = moonpool("policy", "show", "default", "--ceiling", wide).stdout
    assert "pids: 64" in shown
    assert "python3" not in shown.partition("version: 1")[2].partition("exec_workspace")[0]
    narrow = written(tmp_path, "narrow", "commands: [cat]")
    shown = moonpool("policy", "show", "default", "--ceiling", narrow).stdout
    assert "commands:\n- cat\n" in shown


@pytest.mark.parametrize("how", ["broken", "link to nothing", "directory", "unknown key"])
def test_a_ceiling_that_can_not_be_used_is_never_passed_over(
    moonpool: Shell, standing: Path, script: str, how: str
) -> None:
    match how:
        case "broken":
            standing.write_text("version: 1\nname: [")
        case "link to nothing":
            standing.symlink_to("gone.yaml")
        case "directory":
            standing.mkdir()
        case _:
            standing.write_text("version: 1\nname: top\nlimit: {pids: 8}\n")
    for arguments in (
        ("policy", "show", "default"),
        ("policy", "explain", "default", "--", "ls"),
        ("policy", "check", "default"),
        ("policy", "test", "default"),
        ("run", "x", "-m", script),
    ):
        done = moonpool(*arguments)
        assert done.returncode == 2, arguments
        assert "ceiling.yaml" in done.stderr
        assert done.stdout == ""


def test_nothing_of_the_workspace_is_a_policy_by_way_of_another(
    moonpool: Shell, script: str, tmp_path: Path
) -> None:
    inside = moonpool.directory / "evil.yaml"
    inside.write_text("version: 1\nname: evil\ncommands: [curl]\n")
    (tmp_path / "link.yaml").symlink_to(inside)
    extends = written(tmp_path, "mine", f"extends: {inside}")
    linked = written(tmp_path, "linked", "extends: link.yaml")
    for arguments in (
        ("-p", extends),
        ("-p", linked),
        ("--ceiling", str(inside)),
        ("--ceiling", linked),
    ):
        done = moonpool("run", "x", "-m", script, *arguments)
        assert done.returncode == 2, arguments
        assert "lies in the workspace" in done.stderr


@pytest.mark.usefixtures("image")
def test_a_run_under_a_ceiling_says_so_once_and_records_it(moonpool: Shell, tmp_path: Path) -> None:
    (moonpool.directory / "a.txt").write_text("a\n")
    ceiling = written(tmp_path, "top", "commands: [cat]\nlimits: {memory: 1GiB}")
    turns = tmp_path / "turns.yaml"
    turns.write_text(
        "version: 1\nturns:\n"
        "  - calls:\n"
        "      - {tool: bash, arguments: {command: cat a.txt}}\n"
        "      - {tool: bash, arguments: {command: ls}}\n"
        "      - {tool: bash, arguments: {command: 'X=ls; $X; echo $?; cat /usr/bin/ls'}}\n"
        "  - text: Done.\n"
    )
    done = moonpool("run", "x", "-m", f"script:{turns}", "--ceiling", ceiling, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    told = [e["text"] for e in events if e["event"] == "notice"]
    assert len([text for text in told if "limits.memory 4GiB becomes 1GiB" in text]) == 1
    ended = {e["number"]: e["text"] for e in events if e["event"] == "call_ended"}
    assert ended.keys() == {1, 3}
    # The name that only the run could know is settled by the kernel, under the ceiling's list.
    assert "126" in ended[3]
    assert "Permission denied" in ended[3]
    refused = [e for e in events if e["event"] == "call_refused"]
    assert {e["decision"]["type"] for e in refused} == {"deny"}
    assert f"{ceiling}:3 commands" in refused[0]["decision"]["rule"]
    assert "the operator's ceiling does not allow it" in refused[0]["text"]
    started = next(event for event in events if event["event"] == "run_started")
    assert started["policy_rules"]["limits"]["memory"] == "1GiB"


# -- diff ----------------------------------------------------------------------------------------


def test_diff_exits_with_1_where_the_second_allows_more(moonpool: Shell) -> None:
    more = moonpool("policy", "diff", "locked", "default")
    assert more.returncode == 1
    assert "default allows that locked does not:" in more.stdout
    assert "any use of" in more.stdout
    none = moonpool("policy", "diff", "default", "locked", "--both", "--json")
    assert none.returncode == 0
    document = json.loads(none.stdout)
    assert document["more"] == []
    assert {row["key"] for row in document["less"]} >= {"commands", "exec_workspace"}


@pytest.mark.usefixtures("image")
def test_diff_in_the_kernel_names_files_and_places(moonpool: Shell) -> None:
    done = moonpool("policy", "diff", "read-only", "locked", "--kernel", "--json")
    assert done.returncode == 1, done.stderr
    kernel = {row["what"] for row in json.loads(done.stdout)["more"] if row["key"] == "kernel"}
    assert "writes below /workspace" in kernel
    assert any(what.startswith("executes ") and "pytest" in what for what in kernel)
    assert not any("/usr/bin/ls" in what for what in kernel)


# -- learn ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_a_run_passes_under_what_was_learned_from_it(moonpool: Shell, tmp_path: Path) -> None:
    for path in (EXAMPLES / "calculator").rglob("*"):
        if path.is_file() and "cache" not in str(path):
            copy = moonpool.directory / path.relative_to(EXAMPLES / "calculator")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    run = ("run", "x", "-m", f"script:{EXAMPLES}/calculator.script.yaml", "--verify", "pytest -q")
    first = json.loads(moonpool(*run, "--json").stdout.splitlines()[-1])
    learned = moonpool("policy", "learn", "last")
    assert learned.returncode == 0, learned.stderr
    file = tmp_path / "learned.yaml"
    file.write_text(learned.stdout)
    assert moonpool("policy", "check", str(file)).returncode == 0
    again = json.loads(moonpool(*run, "-p", str(file), "--json").stdout.splitlines()[-1])
    assert (again["outcome"], again["exit_code"]) == ("finished", 0)
    assert again["tree"] == first["tree"]
    assert again["verification"]["type"] == first["verification"]["type"] == "verified"
    less = moonpool("policy", "diff", "default", str(file))
    assert less.returncode == 0, less.stdout
    # By its directory too, wherever that is.
    home = Path(moonpool.environ["MOONPOOL_HOME"])
    run_directory = home / "runs" / first["run_id"]
    assert moonpool("policy", "learn", str(run_directory)).stdout == learned.stdout


def started(**rules: object) -> RunStarted:
    return run_started(policy_rules={"version": 1, "name": "x", **rules})


def call_started(number: int, **arguments: object) -> CallStarted:
    return CallStarted(
        number=number,
        tool_use_id="u",
        tool="bash",
        arguments=arguments,
        decision=Allow(rules=()),
    )


def call_refused(number: int, why: WhyRefused, **arguments: object) -> CallRefused:
    return CallRefused(
        number=number,
        tool_use_id="u",
        tool="bash",
        arguments=arguments,
        why=why,
        decision=None,
        text="",
    )


def test_a_record_that_says_what_no_run_does_is_no_traceback(
    moonpool: Shell, tmp_path: Path
) -> None:
    change = Change(
        path=b"../../a\nb", old_path=None, kind=ChangeKind.ADDED, old_mode=0, new_mode=0,
        added_lines=1, deleted_lines=0, old_blob="", new_blob="",
    )  # fmt: skip
    exported = Exported(
        path="", refused=False, base_tree="", tree="", patch_sha256="", patch_bytes=0,
        changes=(change, replace(change, path=b"\xff")), left_out=(), findings=(), seconds=0,
    )  # fmt: skip
    over = RunEnded(
        outcome=Finished(message=""), exit_code=0, used=Usage(input_tokens=-5), turns=10**30,
        seconds=float("inf"), container_left=None, usd=None, usd_source="", usd_allowed=None,
    )  # fmt: skip
    record = written_record(
        tmp_path,
        started(extends="/etc/passwd"),
        call_started(1, command="ls"),
        call_started(2, command={}),
        exported,
        over,
    )
    with (record / "events.jsonl").open("a") as torn:
        torn.write("{")
    done = moonpool("policy", "learn", str(record))
    assert "Traceback" not in done.stderr
    assert "does not hold its policy" in done.stderr
    assert done.returncode == 1, "call 2 can't be allowed: its command is not in the record"
    file = tmp_path / "learned.yaml"
    file.write_text(done.stdout)
    assert moonpool("policy", "check", str(file)).returncode == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"event": "call_started", "number": "x"}, "line 2 of {path}: call_started has a `number`"),
        ({"event": "exported", "changes": [7]}, "line 2 of {path}: exported has no `path`"),
        ({"event": "made_up"}, "line 2 of {path}: there is no event 'made_up'"),
        ([1], "line 2 of {path} is no line of a record"),
    ],
)
def test_a_line_that_is_none_of_ours_is_named(
    moonpool: Shell, tmp_path: Path, line: object, words: str
) -> None:
    path = written_record(tmp_path, started()) / "events.jsonl"
    head = {"seq": 1, "time": START, "prev": digest(path.read_bytes().rstrip(b"\n"))}
    with path.open("a") as file:
        file.write(json.dumps({**head, **line} if isinstance(line, dict) else line) + "\n")
    done = moonpool("policy", "learn", str(path.parent))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"moonpool: {words.format(path=path)}")
    assert done.stderr.count("\n") == 1


def test_what_was_refused_is_learned_only_if_that_is_said(moonpool: Shell, tmp_path: Path) -> None:
    record = written_record(
        tmp_path,
        started(),
        call_started(1, command="ls"),
        call_refused(2, "denied", command="rg x"),
        call_refused(3, "torn", command="curl x"),
    )
    without = moonpool("policy", "learn", str(record))
    assert "- ls  # call 1" in without.stdout
    assert "rg" not in without.stdout
    with_it = moonpool("policy", "learn", str(record), "--include-refused")
    assert with_it.returncode == 0
    assert "- rg  # call 2" in with_it.stdout
    assert "curl" not in with_it.stdout


# -- test ----------------------------------------------------------------------------------------


def test_an_example_that_does_not_hold_is_a_2(moonpool: Shell, tmp_path: Path) -> None:
    file = written(
        tmp_path, "mine", "tools: [bash]\ncommands: [ls]\nexamples: {allow: [rg x], deny: [rm]}"
    )
    done = moonpool("policy", "test", file)
    assert done.returncode == 2
    assert "FAIL allow deny  rg x" in done.stdout
    assert "mine: 2 examples, 1 do not hold" in done.stdout
    document = json.loads(moonpool("policy", "test", file, "--json").stdout)
    assert [row["holds"] for row in document["examples"]] == [False, True]


@pytest.mark.usefixtures("image")
def test_the_kernel_column_is_honest(moonpool: Shell, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "mine",
        "tools: [bash]\ncommands: [ls, {program: git, args: [[status]]}]\n"
        "examples:\n  allow: [ls, git status]\n"
        "  deny: [rm -rf x, git log, nosuchprogram, 'ls | sort', 'cd / && rm x || true']",
    )
    done = moonpool("policy", "test", file, "--kernel", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["command"]: row["enforced"] for row in json.loads(done.stdout)["examples"]}
    assert rows == {
        "ls": "ran",
        "git status": "ran",
        "rm -rf x": "check + kernel",
        "git log": "check only",
        "nosuchprogram": "check; no such program",
        "ls | sort": "check + kernel",
        "cd / && rm x || true": "check + kernel",
    }


BUILT = ("python", "node", "c")
"""Images that tests use anyway; those of the other policies take minutes (`make test-real`)."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in bundled_names() if load(n).image in BUILT])
def test_a_bundled_policy_passes_its_own_test_in_the_kernel(
    moonpool: Shell, engine: Engine, name: str
) -> None:
    # Not by the command: it is given a moment, and a slow machine takes minutes for an image.
    ensure(engine, load(name).image, on_progress=lambda _: None)
    done = moonpool("policy", "test", name, "--kernel")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: " in done.stdout
    assert "all hold" in done.stdout


def test_check_refuses_an_image_that_there_is_not_in_its_place(
    moonpool: Shell, tmp_path: Path
) -> None:
    file = written(tmp_path, "far", "extends: default\nimage: pyhton")
    checked = moonpool("policy", "check", file)
    assert checked.returncode == 2
    assert checked.stdout == ""
    assert f"{file}:4:8: image: there is no recipe 'pyhton'" in checked.stderr
    errors = json.loads(moonpool("policy", "check", file, "--json").stdout)["errors"]
    assert [error["key"] for error in errors] == ["image"]


REFERRED = "extends: default\nimage: repo/name:1"


def test_check_says_that_it_could_not_look_into_the_image(moonpool: Shell, tmp_path: Path) -> None:
    moonpool.environ["DOCKER_HOST"] = "unix:///nowhere"
    for name, image in (("default", "python"), (written(tmp_path, "far", REFERRED), "repo/name:1")):
        checked = moonpool("policy", "check", name)
        assert checked.returncode == 0
        assert f"image {image}: not looked into: no engine answers" in checked.stderr
