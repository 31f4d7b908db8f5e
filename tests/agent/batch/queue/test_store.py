"""What may become of an attempt, and that it is on disk before anything is done about it."""

import resource
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.queue.digest import digest_of
from agent.batch.queue.states import AttemptState, QueuedAttempt
from agent.batch.queue.store import BatchQueue
from agent.batch.task import GitWorkspace, Task, TaskBudget
from agent.errors import RecordError, UsageError
from fakes.batches import a_row, a_task


def take(store: BatchQueue, run_id: str = "r1") -> QueuedAttempt:
    one = store.take(run_id)
    assert one is not None
    return one


def states(store: BatchQueue) -> dict[str, str]:
    return {f"{one.task_id}.{one.attempt}": str(one.state) for one in store.all()}


def test_attempts_are_taken_in_the_order_of_the_file_and_once(store: BatchQueue) -> None:
    store.enlist([a_task("b"), replace(a_task("a"), attempts=2)], attempts=1)
    taken = [store.take(f"r{n}") for n in range(4)]
    assert [(one.task_id, one.attempt, one.run_id) if one else None for one in taken] == [
        ("b", 1, "r0"),
        ("a", 1, "r1"),
        ("a", 2, "r2"),
        None,
    ]
    assert [one.task_id for one in store.interrupted()] == ["b", "a", "a"]


def test_what_is_over_is_not_repeated_and_what_stopped_is(store: BatchQueue) -> None:
    tasks = [a_task(name) for name in ("done", "stopped", "aside", "cancelled")]
    store.enlist(tasks, attempts=1)
    for state in (
        AttemptState.DONE,
        AttemptState.STOPPED,
        AttemptState.SET_ASIDE,
        AttemptState.CANCELLED,
    ):
        one = take(store)
        store.ended(one, state, a_row(one.task_id))
    store.enlist(tasks, attempts=1)
    assert states(store) == {
        "done.1": "done",
        "stopped.1": "waiting",
        "aside.1": "set aside",
        "cancelled.1": "cancelled",
    }


def test_tasks_may_be_added_and_one_that_is_gone_is_kept(store: BatchQueue) -> None:
    first = store.enlist([a_task("a"), a_task("b")], attempts=1)
    store.ended(take(store), AttemptState.DONE, a_row("a"))
    second = store.enlist([a_task("c"), a_task("b")], attempts=1)
    assert (first.added, first.gone, second.added, second.gone) == (2, (), 1, ("a",))
    assert take(store).task_id == "c"
    assert {one.task_id for one in store.all()} == {"a", "b", "c"}


def test_a_task_that_is_gone_is_not_begun(store: BatchQueue) -> None:
    store.enlist([a_task("a"), a_task("b")], attempts=1)
    store.enlist([a_task("b")], attempts=1)
    assert take(store).task_id == "b"
    assert store.take("r") is None


def test_more_attempts_may_be_asked_for_later(store: BatchQueue) -> None:
    store.enlist([a_task("a")], attempts=1)
    store.ended(take(store), AttemptState.DONE, a_row("a"))
    store.enlist([a_task("a")], attempts=3)
    assert states(store) == {"a.1": "done", "a.2": "waiting", "a.3": "waiting"}


def test_a_changed_task_is_an_error_and_nothing_is_taken_in(store: BatchQueue) -> None:
    store.enlist([a_task("a")], attempts=1)
    changed = replace(a_task("a"), prompt="something else")
    with pytest.raises(UsageError, match=r"tasks\.yaml:1: task a is not what it was"):
        store.enlist([a_task("new"), changed], attempts=1)
    assert states(store) == {"a.1": "waiting"}


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "other"},
        {"verify": "true"},
        {"model": "script:x"},
        {"policy": "default"},
        {"image": "node"},
        {"budget": TaskBudget(usd=1.0)},
        {"workspace": GitWorkspace(url="/workspace", revision="main")},
    ],
)
def test_the_digest_goes_by_what_a_task_says(change: dict[str, object]) -> None:
    task = a_task("a")
    assert digest_of(replace(task, **change)) != digest_of(task)  # type: ignore[arg-type]


def test_the_digest_does_not_go_by_where_it_is_written() -> None:
    task = a_task("a")
    moved = replace(task, origin=replace(task.origin, file="other.yaml", line=70))
    assert digest_of(moved) == digest_of(task)


def test_what_void_runs_used_counts_too(store: BatchQueue) -> None:
    store.enlist([a_task("a")], attempts=1)
    paid = a_row("a").replaced({"usd": 0.25, "input_tokens": 7, "output_tokens": 3})
    one = take(store)
    store.delay(one, paid)
    store.wait_no_more("a", 1)
    store.ended(take(store), AttemptState.DONE, paid)
    assert (store.spent().usd, store.spent().tokens) == (0.5, 20)


def test_a_delayed_one_is_taken_when_it_may_be(store: BatchQueue) -> None:
    store.enlist([a_task("a")], attempts=1)
    store.delay(take(store), a_row("a"))
    assert store.take("r") is None
    store.wait_no_more("a", 1)
    assert take(store).tries == 1


# -- from another terminal ------------------------------------------------------------------------


def test_what_another_process_asks_for_is_seen(store: BatchQueue, tmp_path: Path) -> None:
    store.changed()
    assert not store.changed()
    with closing(BatchQueue.open(tmp_path)) as other:
        other.pause()
        other.employ(5)
    assert store.changed()
    assert (store.steering().paused, store.steering().workers) == (True, 5)
    with closing(BatchQueue.open(tmp_path)) as other:
        other.resume()
        other.employ(None)
    assert (store.steering().paused, store.steering().workers) == (False, None)


def test_cancelling_ends_what_waits_and_asks_what_runs(store: BatchQueue) -> None:
    store.enlist([a_task(name) for name in "abc"], attempts=1)
    store.ended(take(store), AttemptState.DONE, a_row("a"))
    running = take(store)
    assert store.cancel(None) == (1, 1)
    assert states(store) == {"a.1": "done", "b.1": "running", "c.1": "cancelled"}
    assert [one.task_id for one in store.cancelling()] == ["b"]
    store.ended(running, AttemptState.CANCELLED, a_row("b"))
    assert store.cancelling() == []


def test_what_is_over_is_not_cancelled(store: BatchQueue) -> None:
    store.enlist([a_task("a")], attempts=1)
    store.ended(take(store), AttemptState.DONE, a_row("a"))
    assert store.cancel("a") == (0, 0)
    assert states(store) == {"a.1": "done"}


def test_an_unknown_task_is_said_to_be_none(store: BatchQueue) -> None:
    for ask in (store.cancel, store.retry):
        with pytest.raises(UsageError, match=r"no task '\.\./\.\./x'"):
            ask("../../x")


def test_retry_of_all_leaves_what_the_agent_failed(store: BatchQueue) -> None:
    tasks = [a_task(name) for name in ("agents", "aside", "fine")]
    store.enlist(tasks, attempts=1)
    by_agent = a_row("agents").replaced({"error_kind": ErrorKind.AGENT})
    store.ended(take(store), AttemptState.DONE, by_agent)
    store.ended(take(store), AttemptState.SET_ASIDE, a_row("aside"))
    store.ended(take(store), AttemptState.DONE, a_row("fine"))
    assert store.retry(None) == 1
    assert states(store) == {"agents.1": "done", "aside.1": "waiting", "fine.1": "done"}
    assert (store.retry("agents"), store.retry("fine")) == (1, 0)


# -- a disk that is full --------------------------------------------------------------------------


def test_a_full_disk_is_said_and_the_database_stays_whole(
    store: BatchQueue, tmp_path: Path
) -> None:
    store.enlist([a_task(str(n)) for n in range(50)], attempts=1)
    one = take(store)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    full = (tmp_path / "batch.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, before[1]))
    try:
        with pytest.raises(RecordError, match=r"batch\.db can't be used"):
            store.ended(one, AttemptState.DONE, a_row(one.task_id))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert store.get(one.task_id, 1).state is AttemptState.RUNNING
    store.ended(one, AttemptState.DONE, a_row(one.task_id))
    with closing(BatchQueue.open(tmp_path)) as again:
        assert again.get(one.task_id, 1).state is AttemptState.DONE


def test_ten_thousand_tasks_are_taken_in_and_handed_out(store: BatchQueue) -> None:
    tasks: list[Task] = [a_task(f"t{n}") for n in range(10_000)]
    assert store.enlist(tasks, attempts=1).added == 10_000
    assert [take(store).task_id for _ in range(3)] == ["t0", "t1", "t2"]
    assert store.counts() == {AttemptState.WAITING: 9_997, AttemptState.RUNNING: 3}


def test_a_result_is_read_back_as_it_was(store: BatchQueue) -> None:
    store.enlist([a_task("a")], attempts=1)
    result: AttemptResult = a_row("a").replaced({"detail": "\u202e\x1b[31m"})
    store.ended(take(store), AttemptState.DONE, result)
    assert store.get("a", 1).result == result
