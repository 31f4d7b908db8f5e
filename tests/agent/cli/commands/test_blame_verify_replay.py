"""Who wrote a patch, whether its record is what the run wrote, and whether it comes out again."""

import hashlib
import io
import json
import re
import signal
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.signals import SignalGuard
from command_line.running import DONE, SCRIPT, Shell, Start, bash
from fakes.model import saying
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_RUN

Recorded = Callable[..., Path]


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    return {"calls": [{"tool": name, "arguments": arguments}]}


@pytest.fixture
def recorded(moonpool: Shell, tmp_path: Path, image: str) -> Recorded:
    """Makes a run of these turns in a workspace with two files; gives its directory."""
    assert image
    (moonpool.directory / "a.txt").write_text("one\ntwo\nthree\n")
    (moonpool.directory / "b.txt").write_text("stays\n")

    def record(*turns: dict[str, Any], policy: str = "") -> Path:
        model = saying(tmp_path / "script.yaml", *turns, DONE)
        file = tmp_path / "policy.yaml"
        file.write_text(f"version: 1\nname: t\nextends: default\n{policy}\n")
        done = moonpool("run", "x", "-m", model, "-p", str(file))
        assert done.returncode in {0, 5}, done.stdout + done.stderr
        newest: Path = max((Path(moonpool.environ["MOONPOOL_HOME"]) / "runs").iterdir())
        return newest

    return record


EDITS = (
    tool("read_file", path="a.txt"),
    tool("edit_file", path="a.txt", old_string="two", new_string="TWO"),
    bash("printf 'new\\n' > n.txt; chmod +x b.txt"),
    bash("echo four >> a.txt; sed -i s/TWO/2/ a.txt"),
    bash("mv n.txt moved.txt; printf '\\0' > binary"),
)


def blamed(moonpool: Shell, *arguments: str) -> dict[str, dict[str, Any]]:
    done = moonpool("blame", "last", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return {row["path"]: row for row in json.loads(done.stdout)["files"]}


def writers(row: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    return [
        (line["sign"], line["text"], line["by"] and line["by"]["last"])
        for hunk in row["hunks"]
        for line in hunk["lines"]
    ]


# -- blame ---------------------------------------------------------------------------------


def test_each_line_is_blamed_on_the_call_that_wrote_it_last(
    moonpool: Shell, recorded: Recorded
) -> None:
    recorded(*EDITS)
    files = blamed(moonpool)
    assert writers(files["a.txt"]) == [("-", "two", 2), ("+", "2", 4), ("+", "four", 4)]
    assert writers(files["moved.txt"]) == [("+", "new", 3)], "moved by 5, written by 3"
    assert (files["b.txt"]["hunks"], files["b.txt"]["by"]["last"]) == ([], 3)
    assert (files["binary"]["why"], files["binary"]["by"]["last"]) == ("binary", 5)
    shown = moonpool("blame", "last", "a.txt").stdout
    assert "  4 +2\n" in shown
    assert "call 2: edit a.txt\n" in shown
    assert "moved.txt" not in shown


def test_a_renamed_and_edited_file_is_compared_with_its_old_name(
    moonpool: Shell, recorded: Recorded
) -> None:
    (moonpool.directory / "long.txt").write_text("".join(f"line {n}\n" for n in range(30)))
    recorded(
        bash("sed -i 's/line 7$/seven/' long.txt"),
        bash("mv long.txt d.txt; rm b.txt"),
        bash("echo last >> d.txt"),
    )
    files = blamed(moonpool)
    assert files["d.txt"]["old_path"] == "long.txt"
    assert writers(files["d.txt"]) == [("-", "line 7", 1), ("+", "seven", 1), ("+", "last", 3)]
    assert writers(files["b.txt"]) == [("-", "stays", 2)]


def test_names_and_lines_of_a_hostile_run_do_not_act_on_the_terminal(
    moonpool: Shell, recorded: Recorded
) -> None:
    recorded(bash("printf '\\033[2Jx\\rcall 9: innocent\\n' > $'e\\033[31m\\nvil'; true '\u202e'"))
    shown = moonpool("blame", "last").stdout
    assert "added e\\x1b[31m\\nvil" in shown
    assert "1 +\\x1b[2Jx\\x0dcall 9: innocent" in shown
    assert not set("\x1b\r\u202e") & set(shown)


@pytest.mark.slow
def test_what_was_not_followed_is_said_and_not_guessed(moonpool: Shell, recorded: Recorded) -> None:
    recorded(
        bash("for n in $(seq 5001); do echo $n > f$n; done"),
        bash("echo x >> a.txt"),
    )
    files = blamed(moonpool, "a.txt")
    assert writers(files["a.txt"]) == [("+", "x", None)]
    shown = moonpool("blame", "last", "a.txt").stdout
    assert "  ? +x" in shown
    assert "files changed at once" in shown


def test_a_background_process_is_named_beside_the_call(moonpool: Shell, recorded: Recorded) -> None:
    recorded(
        bash("while [ ! -e go ]; do sleep 0.02; done; echo late > late.txt", background=True),
        bash("touch go; while [ ! -e late.txt ]; do sleep 0.02; done"),
    )
    (line,) = blamed(moonpool)["late.txt"]["hunks"][0]["lines"]
    assert line["by"] == {"first": 2, "last": 2, "backgrounds": [1]}
    assert "it may have written at any time after" in moonpool("blame", "last", "late.txt").stdout


def test_what_a_killed_process_left_behind_is_nobodys_and_not_the_next_calls(
    start: Start, moonpool: Shell
) -> None:
    going = start(
        bash("echo 1 >> r.txt"),
        bash("echo 2 >> r.txt; echo between; sleep 60"),
        bash("echo 3 >> r.txt"),
        DONE,
    )
    going.until_ran("2\n", "r.txt")
    going.kill()
    code, _, err = going.resume()
    assert code == 0, err
    assert writers(blamed(moonpool)["r.txt"]) == [("+", "1", 1), ("+", "2", None), ("+", "3", 3)]
    assert verified(moonpool) == (0, set())
    done = moonpool("replay", "last")
    assert (done.returncode, "call 2 may have been done" in done.stderr) == (3, True)


def test_a_path_that_the_patch_does_not_touch_is_a_mistake(
    moonpool: Shell, recorded: Recorded
) -> None:
    recorded(*EDITS)
    done = moonpool("blame", "last", "nowhere")
    assert (done.returncode, "touches no nowhere" in done.stderr) == (2, True)


# -- verify --------------------------------------------------------------------------------


def verified(moonpool: Shell) -> tuple[int, set[str]]:
    done = moonpool("verify", "last", "--json")
    rows = json.loads(done.stdout)["checks"]
    return done.returncode, {row["name"] for row in rows if row["state"] == "broken"}


def test_an_untouched_record_holds(moonpool: Shell, recorded: Recorded) -> None:
    recorded(*EDITS)
    assert verified(moonpool) == (0, set())


def test_a_refused_patch_is_traced_and_checked_too(moonpool: Shell, recorded: Recorded) -> None:
    run = recorded(bash("printf x%.0s {1..2000} >> a.txt"), policy="export: {max_bytes: 1KiB}")
    assert (run / "patch.refused.diff").exists()
    assert verified(moonpool) == (0, set())
    assert writers(blamed(moonpool)["a.txt"]) == [("+", "x" * 2000, 1)]


def test_every_tampering_is_found_and_named(moonpool: Shell, recorded: Recorded) -> None:
    run = recorded(*EDITS)
    whole = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    events = run / "events.jsonl"
    lines = whole[events].splitlines(keepends=True)
    (pack,) = (run / "baseline/objects/pack").glob("*.pack")
    step = run / "steps/objects" / _blob(b"new\n")

    def check(path: Path, data: bytes | None, *broken: str) -> None:
        path.chmod(0o600)
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
        assert verified(moonpool) == (1, set(broken)), path
        path.write_bytes(whole[path])

    check(
        run / "run.json", whole[run / "run.json"].replace(b'"turns": 6', b'"turns": 5'), "summary"
    )
    check(run / "run.json", b"{}", "summary")
    patch = run / "patch.diff"
    check(patch, whole[patch].replace(b"+four", b"+fire"), "patch", "result")
    check(run / "report.html", None, "report")
    check(events, b"".join(lines[:-1]), "summary")
    check(events, whole[events].replace(b"TWO", b"TOO"), "events", "summary")
    said = _after(moonpool, events, b"".join(lines[:8] + lines[9:]))
    assert re.search(r"line 9 of \S+events\.jsonl does not follow", said)
    events.write_bytes(whole[events])
    # Both read as git objects, so only their ids tell.
    stays, stray = zlib.compress(b"stays\n", 0), zlib.compress(b"stray\n", 0)
    assert stays in whole[pack]
    check(pack, whole[pack].replace(stays, stray), "old files", "result")
    check(pack, whole[pack][:-30], "old files", "result")
    check(step, zlib.compress(b"blob 6\0stays\n"), "steps")
    index = run / "baseline/index"
    check(index, whole[index].replace(b"100644", b"100755", 1), "old files", "result")


def _blob(data: bytes) -> str:
    name = hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()
    return f"{name[:2]}/{name[2:]}"


def _after(moonpool: Shell, path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return moonpool("verify", "last").stdout


# -- replay --------------------------------------------------------------------------------


def test_the_calls_made_again_give_the_same_patch(moonpool: Shell, recorded: Recorded) -> None:
    recorded(*EDITS, bash("git push"), bash("false"))
    done = moonpool("replay", "last")
    assert done.returncode == 0, done.stderr
    assert "the same patch" in done.stdout
    assert "git push" not in done.stderr, "what was refused is not made"
    assert "call 7  $ false  same (exit 1)" in done.stderr


def test_a_run_that_rests_on_the_time_differs_and_says_where(
    moonpool: Shell, recorded: Recorded
) -> None:
    recorded(
        bash("date +%s%N > now.txt; echo same > same.txt"), bash("test -e /tmp/x; echo $RANDOM")
    )
    done = moonpool("replay", "last", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["same"], told["differing"]) == (1, False, ["now.txt"])
    assert told["tree"] != told["recorded_tree"]


def test_a_changed_workspace_is_refused_and_a_checkout_of_then_is_taken(
    moonpool: Shell, recorded: Recorded, tmp_path: Path
) -> None:
    recorded(*EDITS)
    then = tmp_path / "then"
    then.mkdir()
    for path in moonpool.directory.iterdir():
        (then / path.name).write_bytes(path.read_bytes())
    (moonpool.directory / "a.txt").write_text("other\n")
    done = moonpool("replay", "last")
    assert done.returncode == 2
    assert "the workspace is not what the run began with" in done.stderr
    assert "-w DIR" in done.stderr
    assert moonpool("replay", "last", "-w", str(then)).returncode == 0


def test_todays_ceiling_holds_over_what_was_allowed_then(
    moonpool: Shell, recorded: Recorded
) -> None:
    recorded(bash("echo x > x.txt"), tool("delete_file", path="a.txt"))
    ceiling = Path(moonpool.environ["HOME"]) / ".config/moonpool/ceiling.yaml"
    ceiling.parent.mkdir(parents=True)
    ceiling.write_text(
        "version: 1\nname: lid\nextends: default\ntools: [bash, read_file, write_file]\n"
    )
    done = moonpool("replay", "last")
    assert done.returncode == 2, done.stderr
    assert "call 2 ran then and is refused now" in done.stderr


def test_a_call_that_was_not_recorded_whole_is_not_made_up(
    moonpool: Shell, recorded: Recorded
) -> None:
    recorded(tool("write_file", path="big.txt", content="x" * 300_000))
    done = moonpool("replay", "last")
    assert done.returncode == 3
    assert "call 1 (write_file) can't be made again" in done.stderr


def test_nothing_is_replayed_from_a_changed_record(moonpool: Shell, recorded: Recorded) -> None:
    events = recorded(bash("echo good > x")) / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b"echo good", b"echo evil"))
    done = moonpool("replay", "last")
    assert done.returncode == 3
    assert "is not what the run wrote" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_replay_leaves_no_container(
    moonpool: Shell, recorded: Recorded, engine: Engine, number: signal.Signals
) -> None:
    recorded(bash("echo begun > begun; sleep 4"))
    process = subprocess.Popen(
        [str(SCRIPT), "replay", "last"],
        cwd=moonpool.directory,
        env=moonpool.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    ready = next(line for line in process.stderr if line.startswith("sealed container"))
    container = ready.split()[2]
    assert any(row.id.startswith(container) for row in engine.containers(LABEL_RUN))
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert not any(row.id.startswith(container) for row in engine.containers(LABEL_RUN))


def test_an_interrupt_while_the_container_is_made_waits_until_it_is_known() -> None:
    box, leaving = io.BytesIO(), SignalGuard()

    def made() -> io.BytesIO:
        signal.raise_signal(signal.SIGINT)
        return box

    with leaving.installed(), pytest.raises(KeyboardInterrupt):
        leaving.opened(made)
    assert box.closed


def test_a_second_interrupt_does_not_wait() -> None:
    box, leaving = io.BytesIO(), SignalGuard()

    def made() -> io.BytesIO:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        return box

    with leaving.installed(), pytest.raises(KeyboardInterrupt):
        leaving.opened(made)
    assert not box.closed, "it was never there"
