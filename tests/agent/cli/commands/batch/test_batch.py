"""``moonpool batch`` as a person uses it: real runs of scripted tasks, killed and taken up."""

import json
import random
import signal
from collections.abc import Iterator

import pytest

from command_line.batching import Batching, counted
from command_line.running import DONE, Shell, bash
from sandbox.engine.docker import Engine

WRITE = bash("echo made >> log.txt; cat a.txt >> log.txt")
SLOW = bash("echo slow >> log.txt; sleep 60")


@pytest.fixture
def batch(moonpool: Shell, engine: Engine, image: str) -> Iterator[Batching]:
    made = Batching(moonpool, engine)
    yield made
    made.close()


def test_tasks_are_done_verified_and_told(batch: Batching) -> None:
    batch.task("good", WRITE, DONE, verify="grep -q good log.txt")
    batch.task("bad", WRITE, DONE, verify="false", attempts=2)
    batch.task("empty", DONE)
    done = batch.run()
    assert done.returncode == 1, done.stderr
    assert batch.outcomes() == {"good": "finished", "bad": "not verified", "empty": "finished"}
    assert "[4/4]" in done.stderr
    assert "good: finished, verified" in done.stderr
    assert "2 of 4 attempts finished, 2 failed: agent" in done.stdout
    names = {path.name for path in batch.out.iterdir()}
    assert {"batch.db", "results.jsonl", "preds.json", "preds.jsonl", "junit.xml"} <= names
    assert batch.left() == []

    again = batch.run("--json")
    assert again.returncode == 1
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    assert {row["event"] for row in rows} == {"notice", "summary"}
    assert (rows[-1]["finished"], rows[-1]["failed"], rows[-1]["exit_code"]) == (2, {"agent": 2}, 1)

    looked = batch.moonpool("batch", "status", "out", "--json")
    found = json.loads(looked.stdout)
    assert found["process"] is None
    assert [row["state"] for row in found["attempts"]] == ["done"] * 4
    # Nothing is left to go on with.
    assert "no process works on it" not in batch.moonpool("batch", "status", "out").stdout


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_done_twice(batch: Batching) -> None:
    moments = random.Random(7)
    for n in range(6):
        batch.task(
            f"t{n}", WRITE, bash(f"echo {n} >> log.txt"), DONE, verify=f"grep -q {n} log.txt"
        )
    kills = sum(batch.kill_after(moments.uniform(0.5, 2.5)) for _ in range(4))
    done = batch.run()
    assert done.returncode == 0, done.stderr
    assert counted(batch.rows()) == {f"t{n}": 1 for n in range(6)}
    for row in batch.rows():
        assert (row["outcome"], row["verified"]) == ("finished", True)
        n = row["task_id"][1:]
        added = [line for line in batch.patch_of(row).splitlines() if line.startswith("+")]
        assert added[1:] == ["+made", f"+t{n}", f"+{n}"]
    assert batch.left() == []
    assert kills


@pytest.mark.slow
def test_a_call_in_flight_is_all_that_is_lost(batch: Batching) -> None:
    batch.task("a", WRITE, bash("echo in-flight >> log.txt; sleep 600"), DONE)
    process = batch.start()
    batch.until(process, "attempt_begun")
    batch.until_calls(process, 1)
    batch.until_recorded(process, '"number": 2', 1)
    process.kill()
    process.communicate()
    done = batch.run()
    assert done.returncode == 0, done.stderr
    (row,) = batch.rows()
    (record,) = batch.records()
    assert record.parent.name == row["run_id"]
    assert "in doubt" in record.read_text()
    assert "+made" in batch.patch_of(row)


@pytest.mark.slow
def test_interrupted_once_what_runs_exports_and_goes_on_next_time(batch: Batching) -> None:
    batch.workers = 1
    batch.task("slow", WRITE, bash("touch begun; sleep 2"), SLOW, DONE)
    batch.task("later", DONE)
    process = batch.start()
    batch.until_calls(process, 1)
    process.send_signal(signal.SIGINT)
    code, rows = batch.end(process)
    assert code == 130
    assert batch.outcomes() == {"slow": "interrupted"}
    assert "+made" in batch.patch_of(batch.rows()[0])
    assert "no further task is begun" in json.dumps(rows)
    assert batch.left() == []
    states = json.loads(batch.moonpool("batch", "status", "out", "--json").stdout)["attempts"]
    assert "no process works on it: the command" in batch.moonpool("batch", "status", "out").stdout
    assert [row["state"] for row in states] == ["stopped", "waiting"]


def test_terminated_what_runs_exports_at_once(batch: Batching) -> None:
    batch.task("slow", WRITE, SLOW, DONE)
    process = batch.start()
    batch.until_recorded(process, '"number": 2', 1)
    process.send_signal(signal.SIGTERM)
    code, _ = batch.end(process)
    assert code == 130
    (row,) = batch.rows()
    assert (row["outcome"], row["error_kind"]) == ("interrupted", None)
    assert "+made" in batch.patch_of(row)
    assert batch.left() == []


def test_a_running_task_is_cancelled_and_others_go_on(batch: Batching) -> None:
    batch.task("slow", WRITE, SLOW, DONE)
    batch.task("other", WRITE, DONE)
    process = batch.start()
    batch.until_calls(process, 2)
    held = batch.run()
    assert held.returncode == 2
    assert f"process {process.pid} works on" in held.stderr
    said = batch.moonpool("batch", "cancel", "out", "slow")
    assert "1 that run and export now" in said.stdout
    code, _ = batch.end(process)
    assert code == 1
    assert batch.outcomes() == {"slow": "interrupted", "other": "finished"}
    assert batch.moonpool("batch", "cancel", "out", "slow").stdout.startswith("nothing to cancel")
    assert batch.left() == []


@pytest.mark.slow
def test_paused_it_waits_and_resumed_it_goes_on(batch: Batching) -> None:
    batch.task("first", DONE)
    assert batch.run().returncode == 0
    batch.task("second", WRITE, DONE)
    assert batch.moonpool("batch", "pause", "out").returncode == 0
    process = batch.start()
    while "paused" not in (said := batch.until(process, "notice")["text"]):
        pass
    assert f"batch resume {batch.out}" in said
    looked = json.loads(batch.moonpool("batch", "status", "out", "--json").stdout)
    assert (looked["process"], looked["paused"]) == (process.pid, True)
    batch.moonpool("batch", "resume", "out", "-j", "3")
    code, _ = batch.end(process)
    assert code == 0
    assert batch.outcomes() == {"first": "finished", "second": "finished"}


def test_a_task_that_fills_what_it_may_fails_alone(batch: Batching) -> None:
    policy = batch.moonpool.directory / "small.yaml"
    policy.write_text(
        "version: 1\nname: small\nextends: default\n"
        "limits: {memory: 64MiB, pids: 64, disk: 32MiB, command_timeout: 20s}\n"
    )
    eat = "python3 -c 'b = bytearray(1 << 30)'; head -c 200M /dev/zero > big; echo over >> log.txt"
    batch.task("greedy", bash(eat), DONE, policy="small.yaml")
    batch.task("modest", WRITE, DONE)
    done = batch.run()
    assert batch.outcomes()["modest"] == "finished"
    assert batch.left() == []
    assert done.returncode in {0, 1}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": "../../x"}], "id"),
        ([{"id": "a"}, {"id": "a"}], "is there already"),
        ([{"id": "a", "workspace": "nowhere"}], "workspace"),
        ([{"id": "a", "tusk": "x"}], "tusk"),
    ],
)
def test_a_tasks_file_that_is_wrong_begins_nothing(
    moonpool: Shell, script: str, rows: list[dict[str, str]], words: str
) -> None:
    (moonpool.directory / "repo").mkdir()
    usual = {"workspace": "repo", "task": "x", "model": script}
    lines = [json.dumps({**usual, **row}) for row in rows]
    (moonpool.directory / "tasks.jsonl").write_text("\n".join(lines))
    done = moonpool("batch", "run", "tasks.jsonl", "-o", "out")
    assert done.returncode == 2
    assert f"tasks.jsonl:{len(rows)}" in done.stderr
    assert words in done.stderr
    assert not (moonpool.directory / "out").exists()


def test_the_batchs_folder_lies_in_no_workspace(moonpool: Shell, script: str) -> None:
    row = {"id": "a", "workspace": ".", "task": "x", "model": script}
    (moonpool.directory / "tasks.jsonl").write_text(json.dumps(row))
    done = moonpool("batch", "run", "tasks.jsonl", "-o", "out")
    assert done.returncode == 2
    assert "lies in the workspace" in done.stderr


@pytest.mark.parametrize("what", ["--instructions", "-p", "--ceiling", "MOONPOOL_CONFIG"])
def test_a_workspace_decides_neither_model_nor_permit(
    moonpool: Shell, script: str, what: str
) -> None:
    inside = moonpool.directory / "repo" / "deep" / "own.yaml"
    inside.parent.mkdir(parents=True)
    inside.write_text("version: 1\nname: own\nextends: default\n")
    row = {"id": "a", "workspace": "repo", "task": "x", "model": script}
    (moonpool.directory / "tasks.jsonl").write_text(json.dumps(row))
    option = [] if what.isupper() else [what, str(inside)]
    if what.isupper():
        inside.write_text(f"version: 1\nmodel: {script}\n")
    env = {what: str(inside)} if what.isupper() else {}
    done = moonpool("batch", "run", "tasks.jsonl", "-o", "out", *option, env=env)
    assert done.returncode == 2, done.stderr
    assert "in the workspace" in done.stderr
    assert not (moonpool.directory / "out").exists()


@pytest.mark.parametrize(
    "verb", [["status"], ["pause"], ["resume"], ["cancel"], ["retry"]], ids=lambda verb: verb[0]
)
def test_where_there_is_no_batch_the_verbs_say_so(moonpool: Shell, verb: list[str]) -> None:
    done = moonpool("batch", *verb, ".")
    assert done.returncode == 2
    assert "no batch in ." in done.stderr


@pytest.mark.parametrize(
    "verb", [["status"], ["pause"], ["resume"], ["cancel"], ["retry"]], ids=lambda verb: verb[0]
)
@pytest.mark.parametrize("name", ["", "tasks.jsonl"])
def test_what_is_no_folder_is_no_batch(moonpool: Shell, verb: list[str], name: str) -> None:
    (moonpool.directory / "tasks.jsonl").write_text("{}")
    assert moonpool("batch", *verb, name).returncode == 2


@pytest.mark.parametrize(
    ("option", "words"),
    [(("-o", ""), "the name of a folder"), (("--attempts", "101"), "from 1 to 100")],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_slip_of_the_hand_begins_nothing(
    moonpool: Shell, script: str, option: tuple[str, str], words: str
) -> None:
    (moonpool.directory / "repo").mkdir()
    row = {"id": "a", "workspace": "repo", "task": "x", "model": script}
    (moonpool.directory / "tasks.jsonl").write_text(json.dumps(row))
    done = moonpool("batch", "run", "tasks.jsonl", *option)
    assert done.returncode == 2
    assert words in done.stderr
    assert {path.name for path in moonpool.directory.iterdir()} == {"repo", "tasks.jsonl"}


def test_no_cluster_is_looked_for_and_nothing_is_begun(moonpool: Shell, script: str) -> None:
    (moonpool.directory / "repo").mkdir()
    row = {"id": "a", "workspace": "repo", "task": "x", "model": script}
    (moonpool.directory / "tasks.jsonl").write_text(json.dumps(row))
    done = moonpool("batch", "run", "tasks.jsonl", "-o", "out", "--engine", "ray")
    assert done.returncode == 2
    assert "needs --ray-address" in done.stderr
    assert not (moonpool.directory / "out").exists()
    (moonpool.directory / "mine.yaml").write_text("version: 1\nnonsense: true\n")
    more = ["--ray-address", "127.0.0.1:1", "--policy", "mine.yaml"]
    done = moonpool("batch", "run", "tasks.jsonl", "-o", "out", "--engine", "ray", *more)
    assert done.returncode == 2
    assert "mine.yaml:1" in done.stderr  # and nobody was asked before it was read


@pytest.mark.parametrize("word", ["0/4", "5/4", "x", "1/0", "-1/2"])
def test_a_shard_is_one_of_so_many(moonpool: Shell, word: str) -> None:
    done = moonpool("batch", "run", "tasks.jsonl", "--shard", word)
    assert done.returncode == 2
    assert "such as 2/8" in done.stderr


@pytest.mark.usefixtures("image")
def test_the_tasks_of_another_shard_are_not_called_gone(moonpool: Shell, script: str) -> None:
    (moonpool.directory / "repo").mkdir()
    rows = [
        {"id": name, "workspace": "repo", "task": "x", "model": script} for name in ("a", "b", "c")
    ]
    tasks = moonpool.directory / "tasks.jsonl"
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    begin = ["batch", "run", "tasks.jsonl", "-o", "out", "--shard"]
    first = moonpool(*begin, "1/2")
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    second = moonpool(*begin, "2/2")
    assert (first.returncode, second.returncode) == (0, 0)
    said = first.stdout + first.stderr
    assert "are kept" not in said
    said = second.stdout + second.stderr
    assert "1 of the folder's tasks are not in the file any more, and are kept: c" in said
    assert "1 of the folder's tasks are another shard's, and are kept: a" in said
