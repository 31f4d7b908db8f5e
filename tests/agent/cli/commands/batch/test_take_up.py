"""What a batch makes of runs whose process ended, where they can't simply be gone on with."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from command_line.batching import Batching
from command_line.running import DONE, Shell, bash
from fakes.engine_proxy import EngineProxy
from sandbox import supply
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE

WRITE = bash("echo made >> log.txt")
HANGS = bash("echo hung >> log.txt; sleep 600")

SHORT = "limits: {command_timeout: 1s}\n"


@pytest.fixture
def batch(moonpool: Shell, engine: Engine, image: str) -> Iterator[Batching]:
    made = Batching(moonpool, engine, workers=1)
    yield made
    made.close()


def killed_in_a_call(batch: Batching, **more: str) -> str:
    """A run whose second call was going on; gives its id."""
    batch.task("a", WRITE, HANGS, DONE, **more)
    process = batch.start()
    batch.until_recorded(process, '"number": 2', 1)
    (record,) = batch.records()
    process.kill()
    process.wait()
    return record.parent.name


def write_policy(batch: Batching, name: str, more: str = "") -> str:
    path = batch.moonpool.directory / "own.yaml"
    path.write_text(f"version: 1\nname: {name}\nextends: default\n{more}")
    return path.name


def containers_of(engine: Engine, run_id: str) -> list[str]:
    return [
        row.id
        for row in engine.containers(LABEL_DEADLINE)
        if supply.run_of(row.labels, row.name) == run_id
    ]


@pytest.mark.slow
def test_under_another_policy_it_is_exported_and_begun_again(batch: Batching) -> None:
    first = killed_in_a_call(batch, policy=write_policy(batch, "own"))
    write_policy(batch, "own", SHORT)
    done = batch.run()
    (row,) = batch.rows()
    assert (row["outcome"], done.returncode) == ("finished", 0), done.stderr
    assert row["run_id"] != first
    exported = (batch.out / "runs" / first / "patch.diff").read_text()
    assert "+made" in exported
    assert batch.left() == []


@pytest.mark.slow
def test_a_container_that_is_gone_is_begun_again(batch: Batching, engine: Engine) -> None:
    first = killed_in_a_call(batch, policy=write_policy(batch, "own", SHORT))
    for container in containers_of(engine, first):
        engine.remove(container)
    done = batch.run()
    (row,) = batch.rows()
    assert (row["outcome"], done.returncode) == ("finished", 0), done.stderr
    assert row["run_id"] != first
    assert batch.left() == []


@pytest.mark.slow
def test_a_record_that_was_damaged_is_exported_by_its_container(batch: Batching) -> None:
    first = killed_in_a_call(batch, policy=write_policy(batch, "own", SHORT))
    record = batch.out / "runs" / first / "events.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))
    done = batch.run()
    (row,) = batch.rows()
    assert (row["outcome"], done.returncode) == ("finished", 0), done.stderr
    assert row["run_id"] != first
    (recovered,) = (batch.out / "recovered").iterdir()
    assert b"+made" in recovered.read_bytes()
    assert batch.left() == []


def test_a_run_that_was_over_is_not_done_again(batch: Batching) -> None:
    """Killed between its last event and its row."""
    batch.task("a", WRITE, DONE)
    assert batch.run().returncode == 0
    (before,) = batch.rows()
    with closing(sqlite3.connect(batch.out / "batch.db")) as database:
        database.execute("UPDATE attempts SET state = 'running', result = NULL")
        database.commit()
    (batch.out / "results.jsonl").unlink()
    done = batch.run()
    assert done.returncode == 0, done.stderr
    assert "taken up" in done.stderr
    assert batch.rows() == [before]
    assert len(batch.records()) == 1


def test_a_database_that_is_none_is_left_alone(batch: Batching) -> None:
    batch.task("a", DONE)
    batch.out.mkdir()
    (batch.out / "batch.db").write_text("something of mine")
    done = batch.run()
    assert done.returncode == 3
    assert "is damaged, or no database of a batch" in done.stderr
    assert (batch.out / "batch.db").read_text() == "something of mine"
    assert sorted(path.name for path in batch.out.iterdir()) == ["batch.db"]


def test_a_task_that_was_changed_is_told_by_its_line(batch: Batching) -> None:
    batch.task("a", DONE)
    batch.task("b", DONE)
    assert batch.run().returncode == 0
    batch.tasks[1]["task"] = "something else"
    done = batch.run()
    assert done.returncode == 2
    assert "tasks.jsonl:2: task b is not what it was" in done.stderr


@pytest.mark.slow
def test_an_engine_that_goes_away_for_a_while_costs_no_task(
    batch: Batching, tmp_path: Path
) -> None:
    batch.workers = 2
    for n in range(4):
        batch.task(f"t{n}", WRITE, bash("sleep 1"), WRITE, DONE)
    with EngineProxy(tmp_path / "e.sock") as proxy:
        batch.moonpool.environ["DOCKER_HOST"] = proxy.url
        process = batch.start()
        batch.until_calls(process, 2)
        proxy.cut()
        batch.until_recorded(process, "the engine does not answer", 2)
        proxy.mend()
        code, rows = batch.end(process)
    assert code == 0
    assert "attempt_delayed" in {row["event"] for row in rows}
    assert set(batch.outcomes().values()) == {"finished"}
    assert batch.left() == []
