"""A run that begins where a call of another one had ended, at the command line."""

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line.running import DONE, Shell, bash, shell_in
from command_line.zygote import Zygote
from fakes.model import saying
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_RUN
from sandbox.git.manifest import blob_id
from sandbox.git.store import Store

Fork = Callable[..., tuple[int, dict[str, Any], str]]
TURNS = (
    bash("echo 1 > a.txt; chmod +x keep.sh"),
    {"calls": [{"tool": "read_file", "arguments": {"path": "a.txt"}}]},
    {
        "calls": [
            {"tool": "bash", "arguments": {"command": f"echo {number} > {name}; rm -f b.txt"}}
            for number, name in ((2, "a.txt"), (3, "'new\nline'"), (4, "d.txt"))
        ]
    },
    bash("mkdir -p x/y; mv d.txt x/y/; ln -s y x/l"),
)


def turn(text: str, *commands: str) -> dict[str, Any]:
    calls = [{"tool": "bash", "arguments": {"command": command}} for command in commands]
    return {"text": text, **({"calls": calls} if calls else {})}


def fill(workspace: Path) -> None:
    for name in ("keep.sh", "b.txt"):
        (workspace / name).write_text(f"{name}\n")
    (workspace / "keep.sh").chmod(0o644)


@pytest.fixture(scope="module")
def recorded(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory, image: str) -> Path:
    """A state directory with one run of `TURNS`."""
    assert image
    shell = shell_in(tmp_path_factory.mktemp("recorded"), zygote)
    fill(shell.directory)
    model = saying(shell.directory.parent / "script.yaml", *TURNS, DONE)
    done = shell("run", "the task", "-m", model)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(shell.environ["MOONPOOL_HOME"])


@pytest.fixture
def first(moonpool: Shell, recorded: Path) -> Path:
    """That run, which a test may do with as it likes; the workspace is where it was made."""
    shutil.copytree(recorded, moonpool.environ["MOONPOOL_HOME"], dirs_exist_ok=True)
    return newest(moonpool)


@pytest.fixture
def run(moonpool: Shell, tmp_path: Path, image: str) -> Callable[..., Path]:
    assert image
    fill(moonpool.directory)

    def made(*turns: dict[str, Any], policy: str = "") -> Path:
        model = saying(tmp_path / "script.yaml", *turns, DONE)
        file = tmp_path / "policy.yaml"
        file.write_text(f"version: 1\nname: t\nextends: default\n{policy}\n")
        done = moonpool("run", "the task", "-m", model, "-p", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        return newest(moonpool)

    return made


@pytest.fixture
def fork(moonpool: Shell, tmp_path: Path) -> Fork:
    def forked(*arguments: str, then: tuple[dict[str, Any], ...] = (DONE,)) -> Any:
        """`then`: what the model says, however many answers the history holds already."""
        past = [turn("past")] * _answers(arguments, moonpool)
        model = saying(tmp_path / "then.yaml", *past, *then)
        done = moonpool("fork", *arguments, "--json", "-m", model)
        lines = done.stdout.splitlines()
        summary = json.loads(lines[-1]) if done.returncode in {0, 1, 4, 5} else {}
        return done.returncode, summary, done.stderr

    return forked


def _answers(arguments: tuple[str, ...], moonpool: Shell) -> int:
    """How many answers come before the point."""
    runs = Path(moonpool.environ["MOONPOOL_HOME"]) / "runs"
    wanted = arguments[0] if arguments[0] != "last" else newest(moonpool).name
    rows = events(runs / wanted)
    at = arguments[arguments.index("--at") + 1]
    count: int = 0
    for row in rows:
        if row["event"] == "model_called" and at == "0":
            return 0
        count += int(row["event"] == "model_replied")
        if row["event"] in {"call_ended", "call_refused"} and str(row["number"]) == at:
            return count
    return count


def newest(moonpool: Shell) -> Path:
    """Ids are sorted to the second only."""
    runs = (Path(moonpool.environ["MOONPOOL_HOME"]) / "runs").iterdir()
    return max(runs, key=lambda run: (run / "events.jsonl").stat().st_mtime_ns)


def events(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def changes(summary: dict[str, Any]) -> set[tuple[str, str]]:
    return {(row["kind"], row["path"]) for row in summary["changes"]}


def test_the_points_of_a_run_are_listed(moonpool: Shell, first: Path) -> None:
    shown = moonpool("fork", "last")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [str(number) for number in range(7)]
    assert "read a.txt" in lines[2]
    found = json.loads(moonpool("fork", "last", "--json").stdout)["points"]
    assert [point["forkable"] for point in found] == [True] * 7


def test_what_a_fork_made_is_copied_to_a_directory_that_was_not_there(
    first: Path, fork: Fork, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    code, _, err = fork("last", "--at", "1", "-o", str(out), then=(turn("on", "echo f > f"), DONE))
    assert code == 0, err
    assert {"patch.diff", "report.html", "run.json"} <= {path.name for path in out.iterdir()}
    code, _, err = fork("last", "--at", "0", "-o", str(out))
    assert (code, "of an earlier run" in err) == (2, True)


def test_a_fork_has_the_files_and_the_conversation_of_then_and_goes_on(
    moonpool: Shell, first: Path, fork: Fork, engine: Engine
) -> None:
    code, summary, err = fork("last", "--at", "1", then=(turn("on", "cat a.txt; echo f > f"), DONE))
    assert code == 0, err
    assert changes(summary) == {("added", "a.txt"), ("modified", "keep.sh"), ("added", "f")}
    assert summary["forked_from"] == {"type": "forked_from", "run_id": first.name, "call": 1}
    assert summary["task"] == "the task"
    rows = events(newest(moonpool))
    assert rows[0]["event"] == "run_started"
    assert rows[0]["forked_from"]["call"] == 1
    ended = [row for row in rows if row["event"] == "call_ended"]
    assert [row["number"] for row in ended] == [1, 2]
    assert ended[1]["text"].startswith("1\n")
    assert next(row for row in rows if row["event"] == "run_ended")["turns"] == 2
    assert not engine.containers(f"{LABEL_RUN}={summary['run_id']}")


@pytest.mark.parametrize("call", [0, 2, 3, 4, 5, 6])
def test_at_every_call_the_files_are_what_they_were_then(
    moonpool: Shell, first: Path, fork: Fork, call: int
) -> None:
    code, summary, err = fork("last", "--at", str(call))
    assert code == 0, err
    d = {("added", "x/y/d.txt"), ("added", "x/l")} if call == 6 else {("added", "d.txt")}
    expected = {("added", "a.txt"), ("modified", "keep.sh")} if call else set()
    expected |= {("deleted", "b.txt")} if call > 2 else set()
    expected |= {("added", "new\nline")} if call > 3 else set()
    expected |= d if call > 4 else set()
    assert changes(summary) == expected


def test_in_the_middle_of_parallel_calls_the_rest_are_answered_as_not_run(
    moonpool: Shell, first: Path, fork: Fork
) -> None:
    code, _, err = fork("last", "--at", "4", "now differently")
    assert code == 0, err
    rows = events(newest(moonpool))
    (refused,) = [row for row in rows if row["event"] == "call_refused"]
    assert (refused["number"], refused["text"][:20]) == (5, "Not run: forked here")
    said = [row["text"] for row in rows if row["event"] == "user_message_added"]
    assert (said[0], said[-1]) == ("the task", "now differently")
    reply = [row for row in rows if row["event"] == "model_replied"][2]
    ids = {block["id"] for block in reply["reply"]["message"]["blocks"] if "id" in block}
    answered = {
        row["tool_use_id"] for row in rows if row["event"] in {"call_ended", "call_refused"}
    }
    assert ids <= answered


def test_a_finished_run_goes_on_with_a_follow_up(moonpool: Shell, first: Path, fork: Fork) -> None:
    code, _, err = fork("last", "--at", "end")
    assert (code, "had finished there" in err) == (2, True)
    code, summary, err = fork("last", "--at", "end", "and now?", then=(turn("x", "ls > ls"), DONE))
    assert code == 0, err
    assert ("added", "ls") in changes(summary)
    assert ("added", "x/y/d.txt") in changes(summary)
    assert summary["task"] == "and now?"


@pytest.mark.slow
def test_the_record_of_a_fork_is_a_full_one(moonpool: Shell, first: Path, fork: Fork) -> None:
    code, summary, err = fork("last", "--at", "3", then=(turn("on", "echo 9 >> a.txt"), DONE))
    assert code == 0, err
    verified = moonpool("verify", summary["run_id"])
    assert verified.returncode == 0, verified.stdout
    blamed = json.loads(moonpool("blame", summary["run_id"], "a.txt", "--json").stdout)
    (hunk,) = blamed["files"][0]["hunks"]
    assert [(line["text"], line["by"]["last"]) for line in hunk["lines"]] == [("2", 3), ("9", 6)]
    replayed = moonpool("replay", summary["run_id"])
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "1 calls" in replayed.stdout
    # And it can be forked itself.
    code, again, err = fork(summary["run_id"], "--at", "6")
    assert code == 0, err
    assert again["tree"] == summary["tree"]


def test_todays_ceiling_holds_over_the_recorded_policy(
    moonpool: Shell, first: Path, fork: Fork, tmp_path: Path
) -> None:
    directory = tmp_path / "home/.config/moonpool"
    directory.mkdir(parents=True)
    (directory / "ceiling.yaml").write_text(
        "version: 1\nname: mine\nextends: default\ntools: [read_file]\n"
    )
    code, summary, err = fork("last", "--at", "1", then=(turn("on", "echo x > f"), DONE))
    assert code == 0, err
    assert changes(summary) == {("added", "a.txt"), ("modified", "keep.sh")}


# -- what can't be -----------------------------------------------------------------------------


def test_a_workspace_that_is_another_by_now_is_refused_and_a_checkout_of_then_is_taken(
    moonpool: Shell, run: Callable[..., Path], fork: Fork, tmp_path: Path
) -> None:
    run(*TURNS)
    then = tmp_path / "then"
    then.mkdir()
    for name in ("keep.sh", "b.txt"):
        (then / name).write_text(f"{name}\n")
    (moonpool.directory / "b.txt").write_text("since\n")
    runs = len(list((tmp_path / "state/runs").iterdir()))
    code, _, err = fork("last", "--at", "1")
    assert (code, "-w DIR" in err, "--recorded" in err) == (2, True, True)
    assert len(list((tmp_path / "state/runs").iterdir())) == runs
    code, _, err = fork("last", "--at", "1", "-w", str(then))
    assert code == 0, err


def test_where_the_files_are_not_known_the_nearest_call_is_named(
    moonpool: Shell, run: Callable[..., Path], fork: Fork
) -> None:
    run(
        bash("echo 1 > a.txt"),
        bash("head -c 9000000 /dev/zero > large"),
        bash("echo 2 > a.txt"),
        bash("rm large"),
    )
    for call, nearest in ((2, 1), (3, 4)):
        code, _, err = fork("last", "--at", str(call))
        assert (code, f"--at {nearest}" in err, "large" in err) == (2, True, True), err
    code, summary, err = fork("last", "--at", "4")
    assert code == 0, err
    assert changes(summary) == {("added", "a.txt")}


@pytest.mark.parametrize("at", ["7", "99999999999", "-1", "x", "", "1.5"])
def test_a_call_that_is_none_is_a_mistake(moonpool: Shell, first: Path, at: str) -> None:
    assert moonpool("fork", "last", f"--at={at}").returncode == 2


def _rewritten(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The record with other lines and a chain that holds: whoever can write there can do so."""
    previous = "0" * 64
    lines = []
    for row in events(run):
        change(row)
        row["prev"] = previous
        lines.append(json.dumps(row))
        previous = hashlib.sha256(lines[-1].encode()).hexdigest()
    (run / "events.jsonl").write_text("".join(line + "\n" for line in lines))


@pytest.mark.parametrize(
    "path", ["../out", "/etc/x", "a/../../x", "", "a//b", "nul\0", ".git/hooks/post-checkout"]
)
def test_a_path_that_no_run_writes_is_refused(
    moonpool: Shell, first: Path, fork: Fork, path: str, tmp_path: Path
) -> None:

    def change(row: dict[str, Any]) -> None:
        for item in row.get("changed", []):
            item["path"] = path

    _rewritten(first, change)
    code, _, err = fork("last", "--at", "1")
    assert (code, "no run writes" in err) == (3, True), err
    assert len(list((tmp_path / "state/runs").iterdir())) == 1


def test_a_line_that_was_changed_is_refused(moonpool: Shell, first: Path, fork: Fork) -> None:
    text = (first / "events.jsonl").read_text()
    (first / "events.jsonl").write_text(text.replace('"a.txt"', '"b.txt"', 1))
    code, _, err = fork("last", "--at", "1")
    assert (code, "is not what the run wrote" in err) == (3, True), err


def test_a_content_that_is_another_or_gone_is_refused(
    moonpool: Shell, first: Path, fork: Fork
) -> None:
    file = Store(first / "steps").file_of(blob_id(b"1\n"))
    file.chmod(0o600)
    for data in (b"blob 2\0X\n", b"blob 9\0short", b"tree 0\0", b"blob 99999999999\0x"):
        file.write_bytes(zlib.compress(data))
        code, _, err = fork("last", "--at", "1")
        assert (code, "steps" in err) == (3, True), err
    file.unlink()
    assert fork("last", "--at", "1")[0] == 3
