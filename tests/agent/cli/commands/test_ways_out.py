"""Every way out, by really doing it: a patch, or a container that stands and words that get it."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from agent.record.reader import read_record
from command_line.running import DONE, SCRIPT, SLEEP, Shell, Start, bash, patch, stands
from fakes.engine_proxy import EngineProxy
from sandbox.engine.docker import Engine
from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, Call, How, Thought, answer
from waiting import until

pytestmark = pytest.mark.slow

# -- the orchestrator is killed ----------------------------------------------------------------


@pytest.mark.parametrize("policy", ["exec_workspace: true", "exec_workspace: false"])
def test_killed_in_a_command_the_run_goes_on_and_does_nothing_twice(
    start: Start, engine: Engine, policy: str
) -> None:
    going = start(
        bash("cd /tmp; export X=1"),
        bash(SLEEP.replace("count", "/workspace/count")),
        {"expect": "look before you repeat", **bash("cat count")},
        {"expect": "ran", "text": "Done."},
        policy=policy,
    )
    going.until_ran()
    going.kill()
    assert stands(engine, going.container)
    code, summary, err = going.resume()
    assert (code, summary["outcome"]) == (0, "finished"), err
    assert b"+ran\n" in patch(summary)
    assert patch(summary).count(b"+ran\n") == 1
    assert not stands(engine, going.container)
    assert not read_record(going.directory).fault
    assert json.loads((going.directory / "run.json").read_text())["outcome"] == "finished"
    report = (going.directory / "report.html").read_text()
    assert "sleep 60" in report
    assert "in doubt" in report
    code, _, err = going.resume()
    assert (code, "its patch is made" in err) == (2, True)


def test_killed_while_a_model_is_awaited_it_is_asked_again_with_the_same_words(
    start: Start,
) -> None:
    with StandIn() as api:
        env = {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": api.key}
        api.queue(
            answer(Thought("I should write."), Call("bash", {"command": "echo made > made"})),
            Break(How.HANG, before="message_stop"),
        )
        going = start(model="anthropic:claude-opus-5-5", env=env)
        going.until("call_ended")
        going.until("model_called")
        until(lambda: len(api.requests) > 1, process=going.process)
        going.kill()
        api.queue(answer("Done."))
        going.moonpool.environ |= env
        code, summary, err = going.resume()
        assert (code, summary["outcome"]) == (0, "finished"), err
        before, after = (request.body["messages"] for request in api.requests[1:])
        assert api.requests[2].fault is None
        said = [[strip(block) for block in message["content"]] for message in after]
        assert said[:2] == [[strip(block) for block in m["content"]] for m in before[:2]]
        assert said[2][0] == strip(before[2]["content"][0])
        assert "was started again" in said[2][-1]["text"]
        assert b"+made" in patch(summary)


def strip(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != "cache_control"}


def test_killed_in_the_export_the_same_patch_comes_of_it(
    start: Start, tmp_path: Path, engine: Engine
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    many = "for i in $(seq 1000); do echo $i > f$i; done"
    going = start(bash(many), DONE, env={"TMPDIR": str(room)})
    going.until_exists(room, "moonpool-export-*/store/objects")
    going.kill()
    assert not (going.directory / "patch.diff").exists()
    code, summary, err = going.resume()
    assert (code, summary["outcome"]) == (0, "finished"), err
    assert len(summary["changes"]) == 1000


def test_killed_before_anything_was_done_there_is_nothing_to_resume(start: Start) -> None:
    going = start(bash("true"), DONE)
    going.until("run_started")
    going.kill()
    code, _, err = going.resume()
    if b'"sandbox_ready"' in (going.directory / "events.jsonl").read_bytes():
        return  # it was quicker
    assert (code, "start it again" in err) == (2, True), err


def test_a_run_that_is_alive_is_not_resumed(start: Start) -> None:
    going = start(bash(SLEEP), DONE)
    going.until("call_started")
    code, _, err = going.resume()
    assert (code, f"by process {going.process.pid}" in err) == (2, True), err


def test_of_two_resumes_at_once_one_is_refused(start: Start) -> None:
    going = start(bash(SLEEP), {"expect": "look before", **bash("sleep 60")}, DONE)
    going.until("call_started")
    going.kill()
    first = subprocess.Popen(
        [SCRIPT, "resume", "last", "--json"],
        cwd=going.moonpool.directory,
        env=going.moonpool.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    assert first.stdout.readline()
    code, _, err = going.resume()
    first.terminate()
    first.communicate()
    assert (code, "still being worked on" in err) == (2, True), err
    assert first.returncode == 130


def test_a_policy_that_was_widened_meanwhile_does_not_count(start: Start, tmp_path: Path) -> None:
    going = start(
        bash(SLEEP), bash("echo x > elsewhere/x"), {"expect": "denied", "text": "Done."},
        policy="paths: {write: [here, count]}",
    )  # fmt: skip
    (going.moonpool.directory / "here").mkdir()
    (going.moonpool.directory / "elsewhere").mkdir()
    going.until("call_started")
    going.kill()
    (tmp_path / "policy.yaml").write_text("version: 1\nname: t\nextends: default\n")
    code, summary, err = going.resume()
    assert code in {0, 4}, err
    assert b"elsewhere" not in patch(summary)


def test_a_record_that_somebody_changed_is_not_resumed_from(start: Start, engine: Engine) -> None:
    going = start(bash(SLEEP), DONE)
    going.until("call_started")
    going.kill()
    events = going.directory / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b'"require"', b'"prefer" '))
    code, _, err = going.resume()
    assert (code, "was changed since" in err) == (3, True), err
    assert stands(engine, going.container)


def test_export_only_makes_the_patch_and_asks_no_model(start: Start, tmp_path: Path) -> None:
    going = start(bash(SLEEP), DONE)
    going.until_ran()
    going.kill()
    (tmp_path / "script.yaml").unlink()
    code, summary, err = going.resume("--export-only")
    assert (code, summary["outcome"]) == (1, "cut short"), err
    assert b"+ran" in patch(summary)


def test_a_container_of_another_version_is_still_exported(
    start: Start, tmp_path: Path, engine: Engine
) -> None:
    """What is known of the image is gone, so the guest can't be spoken to: the engine reads."""
    going = start(bash(SLEEP), DONE)
    going.until_ran()
    going.kill()
    cache = tmp_path / "cache/moonpool"
    (cache / "inventories").mkdir(parents=True)
    real = Path(going.moonpool.environ["XDG_CACHE_HOME"]) / "moonpool"
    (cache / "manifests").symlink_to(real / "manifests")
    going.moonpool.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    code, summary, err = going.resume()
    assert (code, summary["outcome"]) == (1, "cut short"), err
    assert "another version" in summary["detail"]
    assert b"+ran" in patch(summary)


def test_of_a_container_that_is_gone_there_is_what_its_calls_were_seen_to_change(
    start: Start, engine: Engine
) -> None:
    going = start(bash("echo first > a; rm -f calc.py"), bash(SLEEP), DONE)
    going.until("call_started", "sleep 60")
    going.kill()
    engine.remove(going.container)
    code, summary, err = going.resume()
    assert (code, summary["outcome"]) == (3, "sandbox failed"), err
    assert "up to call 1 of" in summary["detail"]
    assert b"+first" in patch(summary)
    assert b"ran" not in patch(summary)
    assert going.moonpool("apply", "last", "--check").returncode == 0
    assert going.moonpool("verify", "last").returncode == 0
    code, _, err = going.resume()
    assert code == 2
    assert "its patch is made" in err


# -- the container goes ------------------------------------------------------------------------


def test_a_container_that_is_killed_comes_back_and_the_run_goes_on(
    start: Start, engine: Engine
) -> None:
    going = start(bash(SLEEP), {"expect": "started again", "text": "Done."})
    going.until_ran()
    engine.kill(going.container)
    code, summary, err = going.end()
    assert (code, summary["outcome"]) == (0, "finished"), err
    assert b"+ran" in patch(summary)


@pytest.mark.parametrize("kept", ["with its copy", "without its copy", "with a link out"])
def test_a_container_that_is_removed_ends_the_run_with_3_and_what_was_seen_is_the_patch(
    kept: str, start: Start, engine: Engine, moonpool: Shell
) -> None:
    notes = moonpool.directory / "notes"
    notes.write_text(f"{moonpool.directory}\n")
    changes = "echo first > a; echo more >> notes"
    if kept == "with a link out":
        changes += "; ln -s /etc/passwd out"
    going = start(bash(changes), bash(SLEEP), DONE)
    going.until("call_started", "sleep 60")
    going.process.send_signal(signal.SIGSTOP)
    image = str(engine.inspect(going.container)["Image"])
    engine.remove(going.container)
    if kept == "without its copy":
        # What the old side was is nowhere any more: neither on the host nor at the engine.
        notes.write_text("something else\n")
        engine.remove_image(image)
    going.process.send_signal(signal.SIGCONT)
    code, summary, _ = going.end()
    if kept == "with a link out":
        assert (code, summary["outcome"]) == (5, "export refused")
    else:
        assert (code, summary["outcome"]) == (3, "sandbox failed")
        assert "up to call 1 of" in summary["detail"]
    assert summary["container_left"] is None
    assert b"+first" in patch(summary)
    assert (b"+more" in patch(summary)) == (kept != "without its copy")


def test_out_of_memory_in_the_container_is_a_result_and_there_is_a_patch(start: Start) -> None:
    going = start(
        bash("echo ran > count; python3 -c 'x = bytearray(1 << 30)'"),
        {"expect": "out of memory", "text": "Done."},
        policy="limits: {memory: 128MiB}",
    )
    code, summary, err = going.end()
    assert (code, summary["outcome"]) == (0, "finished"), err
    assert b"+ran" in patch(summary)


# -- the engine goes ---------------------------------------------------------------------------


def test_an_engine_that_comes_back_in_time_gives_the_patch(start: Start, tmp_path: Path) -> None:
    with EngineProxy(tmp_path / "e.sock") as proxy:
        going = start(bash(SLEEP), DONE, env={"DOCKER_HOST": proxy.url})
        going.until_ran()
        proxy.cut()
        going.until("notice", "does not answer")
        proxy.mend()
        code, summary, err = going.end()
    assert (code, summary["outcome"]) == (3, "sandbox failed"), err
    assert b"+ran" in patch(summary)
    assert summary["container_left"] is None


def test_an_engine_that_stays_away_leaves_the_container_and_the_way_to_it(
    start: Start, tmp_path: Path, engine: Engine
) -> None:
    with EngineProxy(tmp_path / "e.sock") as proxy:
        going = start(bash(SLEEP), DONE, env={"DOCKER_HOST": proxy.url})
        going.until_ran()
        proxy.cut()
        going.until("notice", "does not answer")
        for _ in range(3):
            going.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        code, summary, _ = going.end()
    assert code in {3, 130}
    assert summary["patch"] is None
    assert summary["container_left"] == going.container
    assert any("--export-only" in row.get("text", "") for row in going.rows)
    code, summary, err = going.resume("--export-only")
    assert b"+ran" in patch(summary), err
    assert not stands(engine, going.container)


# -- signals -----------------------------------------------------------------------------------


def test_one_ctrl_c_finishes_the_call_and_says_how_long_that_may_take(start: Start) -> None:
    going = start(bash("sleep 3; echo whole > whole"), bash("echo never > never"), DONE)
    going.until("call_started")
    time.sleep(0.5)
    going.process.send_signal(signal.SIGINT)
    code, summary, err = going.end()
    assert (code, summary["outcome"]) == (130, "interrupted")
    assert [change["path"] for change in summary["changes"]] == ["whole"]
    assert "finishing the current command (up to 2 min); again: stop it now" in err


@pytest.mark.parametrize(
    "signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,), (signal.SIGHUP,)]
)
def test_the_second_ctrl_c_and_a_supervisors_first_word_export_at_once(
    start: Start, engine: Engine, signals: tuple[signal.Signals, ...]
) -> None:
    going = start(bash(f"trap '' INT TERM; {SLEEP}; sleep 60"), DONE)
    going.until_ran()
    for number in signals:
        going.process.send_signal(number)
        time.sleep(0.1)
    code, summary, err = going.end()
    assert (code, summary["outcome"]) == (130, "interrupted"), err
    ended = next(row for row in going.rows if row["event"] == "call_ended")
    assert ended["ending"] == "cancelled"
    assert b"+ran" in patch(summary)
    assert not stands(engine, going.container)


def test_a_third_ctrl_c_in_the_export_leaves_the_container(
    start: Start, tmp_path: Path, engine: Engine
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    many = "for i in $(seq 1000); do echo $i > f$i; done"
    going = start(bash(many), DONE, env={"TMPDIR": str(room)})
    going.until_exists(room, "moonpool-export-*/store/objects")
    for _ in range(3):
        going.process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    code, summary, err = going.end()
    assert (code, summary["patch"]) == (130, None), err
    assert "--export-only" in json.dumps(going.rows)
    code, summary, err = going.resume()
    assert (code, len(summary["changes"])) == (0, 1000), err


def test_a_third_ctrl_c_in_a_command_does_what_the_words_say(start: Start, engine: Engine) -> None:
    going = start(bash(SLEEP), DONE)
    going.until_ran()
    for _ in range(3):
        going.process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    code, summary, err = going.end()
    assert code == 130
    assert ("the container stays" in err) == (summary["patch"] is None), err
    assert stands(engine, going.container) == (summary["patch"] is None)
    code, summary, err = going.resume("--export-only")
    assert summary == {} or b"+ran" in patch(summary), err


# -- room and service --------------------------------------------------------------------------


def test_without_room_for_the_export_the_run_directory_serves(start: Start, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    going = start(bash("echo ran > count; sleep 1"), DONE, env={"TMPDIR": str(room)})
    going.until("call_started")
    room.rmdir()
    code, summary, err = going.end()
    assert (code, summary["outcome"]) == (0, "finished"), err
    assert b"+ran" in patch(summary)
    assert not list(going.directory.glob("moonpool-export-*"))


def test_a_service_that_goes_away_leaves_the_patch(start: Start) -> None:
    with StandIn() as api:
        env = {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": api.key}
        api.queue(answer(Call("bash", {"command": "echo ran > count"})))
        going = start(model="anthropic:claude-opus-5-5", env=env)
        going.until("call_ended")
    code, summary, err = going.end()
    assert (code, summary["outcome"]) == (4, "model failed"), err
    assert b"+ran" in patch(summary)
