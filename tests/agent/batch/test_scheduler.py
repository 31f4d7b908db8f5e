"""Which attempt is begun when, and what becomes of it."""

from contextlib import closing
from dataclasses import replace

import pytest

from agent.batch import disposition
from agent.batch import scheduler as scheduling
from agent.batch.disposition import MOST_TRIES
from agent.batch.failure import (
    BUSY,
    BY_AGENT,
    LASTING,
    NO_ENGINE,
    OF_BATCH,
    OF_FIRST_REQUEST,
    OF_MODEL,
    OF_POLICY,
    OF_TASK,
    PASSING,
    Failure,
)
from agent.batch.order import AttemptEnd, AttemptOrder
from agent.batch.queue.states import AttemptState, QueuedAttempt
from agent.batch.queue.store import BatchQueue
from agent.batch.stopping import Stopping
from agent.batch.watching.events import AttemptBegun, AttemptDelayed
from agent.errors import RecordError
from agent.models.interface import Usage
from agent.record.events.conversation import CallReserved
from fakes.batches import a_row, a_task
from fakes.records import run_started, written_record
from fakes.scheduling import FakeScheduling, failed, finished


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits before another try waits for nothing here."""
    monkeypatch.setattr(disposition, "BACKOFF_S", dict.fromkeys(disposition.BACKOFF_S, 0.0))
    monkeypatch.setattr(scheduling, "_LOOK_S", 0.001)


def test_each_task_is_done_once_and_in_order(batch: FakeScheduling) -> None:
    tasks = [a_task(name) for name in "abc"]
    batch.go(tasks)
    batch.go(tasks)
    assert batch.engine.begun == ["a", "b", "c"]
    assert set(batch.states().values()) == {"done"}


def test_so_many_run_at_once_and_no_more(batch: FakeScheduling) -> None:
    batch.workers = 3
    batch.engine.end = lambda _: None

    batch.on_refresh = lambda batch: batch.engine.finish_any()
    batch.go([a_task(str(n)) for n in range(10)])
    assert batch.engine.most == 3
    assert set(batch.states().values()) == {"done"}


def test_what_is_begun_was_expected_with_what_comes_after_it(batch: FakeScheduling) -> None:
    batch.workers = 2
    heard: list[tuple[str, list[str]]] = []

    def ends(order: AttemptOrder) -> AttemptEnd:
        heard.append((order.task.id, batch.engine.expected))
        return finished(order)

    batch.engine.end = ends
    batch.go([a_task(name) for name in "abcd"])
    abcd = list("abcd")
    assert heard == [("a", abcd), ("b", abcd), ("c", abcd[2:]), ("d", abcd[3:])]


def test_what_was_taken_is_begun_though_the_rest_can_not_be_read(
    batch: FakeScheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = batch.store.waiting
    failures = [RecordError("batch.db can't be used: disk I/O error")]

    def failing(*, most: int = -1) -> list[QueuedAttempt]:
        if failures:
            raise failures.pop()
        return waiting(most=most)

    monkeypatch.setattr(batch.store, "waiting", failing)
    batch.go([a_task("a"), a_task("b")])
    assert batch.engine.begun == ["a", "b"]
    assert set(batch.states().values()) == {"done"}


def test_attempts_are_independent_runs(batch: FakeScheduling) -> None:
    batch.go([a_task("a"), replace(a_task("b"), attempts=3)], attempts=2)
    runs = [(order.task.id, order.attempt) for order in batch.engine.orders]
    assert runs == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]
    assert len({order.run_id for order in batch.engine.orders}) == 5


# -- kinds of failure -----------------------------------------------------------------------------


def once(failure: Failure) -> object:
    """Fails the first time."""
    seen: set[str] = set()

    def end(order: AttemptOrder) -> AttemptEnd:
        if order.task.id in seen:
            return finished(order)
        seen.add(order.task.id)
        return failed(failure)(order)

    return end


@pytest.mark.parametrize("failure", [PASSING, BUSY])
def test_what_may_pass_is_tried_again(batch: FakeScheduling, failure: Failure) -> None:
    batch.engine.end = once(failure)  # type: ignore[assignment]
    batch.go([a_task("a")])
    assert batch.engine.begun == ["a", "a"]
    assert batch.states() == {"a": "done"}
    assert sum(isinstance(event, AttemptDelayed) for event in batch.events) == 1


def test_an_environment_that_fails_three_times_is_set_aside(batch: FakeScheduling) -> None:
    batch.engine.end = failed(PASSING, "no engine answers")
    batch.go([a_task("a")])
    assert batch.engine.begun == ["a"] * MOST_TRIES
    assert batch.states() == {"a": "set aside"}
    assert batch.ended()[-1].detail == "set aside: no engine answers (after 3 tries)"
    assert batch.ended()[-1].error_kind == "environment"


def test_an_engine_that_starts_again_costs_no_task_a_try(batch: FakeScheduling) -> None:
    batch.workers = 3
    times = iter(range(20))

    def end(order: AttemptOrder) -> AttemptEnd:
        away = next(times) < 12
        return failed(NO_ENGINE, "no engine answers")(order) if away else finished(order)

    batch.engine.end = end
    batch.go([a_task(name) for name in "abcd"])
    assert set(batch.states().values()) == {"done"}
    assert batch.notices().count("no container engine answers") == 1


def test_an_engine_that_stays_away_is_not_awaited_for_ever(
    batch: FakeScheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "_ENGINE_PATIENCE_S", 0.0)
    batch.engine.end = failed(NO_ENGINE)
    batch.go([a_task("a")])
    assert batch.engine.begun == ["a"] * MOST_TRIES
    assert batch.states() == {"a": "set aside"}


def test_an_attempt_that_makes_the_engine_late_by_itself_is_not_tried_for_ever(
    batch: FakeScheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disposition, "BACKOFF_S", dict.fromkeys(disposition.BACKOFF_S, 0.01))

    def end(order: AttemptOrder) -> AttemptEnd:
        assert batch.engine.begun.count("hostile") < 50
        return failed(NO_ENGINE)(order) if order.task.id == "hostile" else finished(order)

    batch.engine.end = end
    batch.go([a_task("hostile"), *(a_task(str(n)) for n in range(3))])
    states = batch.states()
    assert states.pop("hostile") == "set aside"
    assert set(states.values()) == {"done"}


def test_an_image_for_another_platform_fails_once(batch: FakeScheduling) -> None:
    batch.engine.end = failed(LASTING, "the image is for arm64")
    batch.go([a_task("a")])
    assert batch.engine.begun == ["a"]
    assert batch.states() == {"a": "set aside"}


def test_a_service_that_stays_down_is_left_for_the_next_start(batch: FakeScheduling) -> None:
    batch.engine.end = failed(BUSY)
    batch.go([a_task("a")])
    assert batch.states() == {"a": "stopped"}
    batch.engine.end = finished
    batch.go([a_task("a")])
    assert batch.states() == {"a": "done"}


def test_what_the_agent_failed_counts_and_is_not_tried_again(batch: FakeScheduling) -> None:
    batch.engine.end = failed(BY_AGENT)
    batch.go([a_task("a")])
    batch.go([a_task("a")])
    assert batch.engine.begun == ["a"]
    assert batch.states() == {"a": "done"}


def test_a_setting_of_one_task_stops_no_other(batch: FakeScheduling) -> None:
    batch.engine.end = failed(OF_TASK)
    batch.go([a_task("a"), a_task("b")])
    assert batch.engine.begun == ["a", "b"]


def test_a_key_that_is_refused_stops_all_of_its_model_and_is_said_once(
    batch: FakeScheduling,
) -> None:
    other = replace(a_task("other"), model="script:other")

    def end(order: AttemptOrder) -> AttemptEnd:
        refused = order.model != "script:other"
        return failed(OF_MODEL, "401: check the key")(order) if refused else finished(order)

    batch.engine.end = end
    batch.go([a_task("a"), a_task("b"), other, a_task("c")])
    assert batch.engine.begun == ["a", "other"]
    assert batch.notices().count("401: check the key") == 1
    assert batch.states() == {"a": "stopped", "b": "stopped", "other": "done", "c": "stopped"}
    assert {row.error_kind for row in batch.ended() if row.task_id != "other"} == {"setting"}


def test_a_model_that_refuses_several_first_requests_and_answers_none_is_asked_no_more(
    batch: FakeScheduling,
) -> None:
    batch.engine.end = failed(OF_FIRST_REQUEST, "404: no such model")
    batch.go([a_task(name) for name in "abcde"])
    assert batch.engine.begun == ["a", "b", "c"]
    assert batch.notices().count("404: no such model") == 1
    assert set(batch.states().values()) == {"stopped"}


def test_attempts_of_one_task_do_not_speak_for_all(batch: FakeScheduling) -> None:
    def end(order: AttemptOrder) -> AttemptEnd:
        return failed(OF_FIRST_REQUEST)(order) if order.task.id == "a" else finished(order)

    batch.engine.end = end
    batch.go([replace(a_task("a"), attempts=9), a_task("b")])
    assert batch.engine.begun == ["a"] * 9 + ["b"]
    assert batch.states()["b"] == "done"


def test_repositories_whose_words_a_model_refuses_stop_no_other_that_it_answers(
    batch: FakeScheduling,
) -> None:
    def end(order: AttemptOrder) -> AttemptEnd:
        if order.task.id.startswith("hostile"):
            return failed(OF_FIRST_REQUEST, "400: content filter")(order)
        end = finished(order)
        return replace(end, result=end.result.replaced({"turns": 1}))

    batch.engine.end = end
    names = ("hostile-0", "a", *(f"hostile-{n}" for n in range(1, 6)), "b")
    batch.go([a_task(name) for name in names])
    assert batch.engine.begun == list(names)
    assert batch.states()["b"] == "done"


def test_a_policy_that_can_not_be_used_stops_all_under_it(batch: FakeScheduling) -> None:
    def end(order: AttemptOrder) -> AttemptEnd:
        return failed(OF_POLICY)(order) if order.policy.name == "own" else finished(order)

    batch.engine.end = end
    batch.go([replace(a_task(n), policy=p) for n, p in (("a", "own"), ("b", "own"), ("c", "x"))])
    assert batch.engine.begun == ["a", "c"]


def test_a_budget_that_is_used_up_stops_everything_until_the_next_start(
    batch: FakeScheduling,
) -> None:
    batch.engine.end = failed(OF_BATCH, "$20 of $20")
    batch.go([a_task("a"), a_task("b")])
    assert batch.engine.begun == ["a"]
    assert batch.notices().count("$20 of $20") == 1
    batch.engine.end = finished
    batch.go([a_task("a"), a_task("b")])
    assert set(batch.states().values()) == {"done"}


def test_fail_fast_begins_nothing_after_a_failure(batch: FakeScheduling) -> None:
    batch.fail_fast = True
    batch.engine.end = failed(BY_AGENT)
    batch.go([a_task("a"), a_task("b")])
    assert batch.states() == {"a": "done", "b": "waiting"}


# -- taking up ------------------------------------------------------------------------------------


def test_what_ran_when_a_process_ended_is_taken_up_in_its_run(batch: FakeScheduling) -> None:
    batch.store.enlist([a_task("a"), a_task("b")], attempts=1)
    batch.store.take("run-of-before")
    batch.go([a_task("a"), a_task("b")])
    first, second = batch.engine.orders
    assert (first.task.id, first.run_id, first.take_up) == ("a", "run-of-before", True)
    assert (second.task.id, second.take_up) == ("b", False)


def test_no_more_are_taken_up_at_once_than_run_at_once(batch: FakeScheduling) -> None:
    tasks = [a_task(name) for name in "abcd"]
    batch.store.enlist(tasks, attempts=1)
    for n in range(3):
        batch.store.take(f"run-of-before-{n}")
    batch.engine.end = lambda _: None
    batch.on_refresh = lambda batch: batch.engine.finish_any()
    batch.go(tasks)
    assert batch.engine.most == 1
    assert [order.take_up for order in batch.engine.orders] == [True, True, True, False]
    assert set(batch.states().values()) == {"done"}


def test_what_was_not_taken_up_before_it_was_stopped_is_so_later(batch: FakeScheduling) -> None:
    tasks = [a_task("a"), a_task("b")]
    batch.store.enlist(tasks, attempts=1)
    for n in range(2):
        batch.store.take(f"run-of-before-{n}")
    batch.engine.end = lambda _: None
    batch.on_refresh = lambda batch: batch.scheduler.stop(Stopping.SOON)
    batch.go(tasks)
    assert batch.states() == {"a": "stopped", "b": "running"}


def test_what_ran_of_a_task_that_is_gone_is_not_taken_up(batch: FakeScheduling) -> None:
    batch.store.enlist([a_task("gone")], attempts=1)
    batch.store.take("run-of-before")
    batch.go([a_task("a")])
    assert batch.engine.begun == ["a"]
    assert batch.states() == {"gone": "stopped", "a": "done"}


def test_what_a_killed_run_of_a_task_that_is_gone_used_stays_spent(batch: FakeScheduling) -> None:
    batch.store.enlist([a_task("gone")], attempts=1)
    batch.store.take("r")
    call = CallReserved(used=Usage(input_tokens=7, output_tokens=9), usd=2.5)
    written_record(batch.store.directory, run_started(), call)
    for _ in range(2):
        batch.go([a_task("a")])
        spent = batch.store.spent()
        assert (spent.usd, spent.tokens) == (2.5, 16)


def test_one_that_can_not_be_gone_on_with_gets_another_run(batch: FakeScheduling) -> None:
    batch.store.enlist([a_task("a")], attempts=1)
    batch.store.take("run-of-before")

    def end(order: AttemptOrder) -> AttemptEnd:
        if order.take_up:
            paid = a_row("a", run_id=order.run_id, usd=0.5, outcome="cut short")
            return AttemptEnd(result=paid, begin_again=True)
        return finished(order)

    batch.engine.end = end
    batch.go([a_task("a")])
    first, second = batch.engine.orders
    assert first.run_id != second.run_id
    assert batch.store.get("a", 1).run_id == second.run_id
    assert batch.store.spent().usd == 0.5
    assert batch.states() == {"a": "done"}


# -- steering -------------------------------------------------------------------------------------


def test_pausing_begins_nothing_and_resuming_goes_on(batch: FakeScheduling) -> None:
    def steer(batch: FakeScheduling) -> None:
        with closing(BatchQueue.open(batch.store.directory)) as other:
            if batch.looks == 1:
                other.pause()
            if batch.looks == 8:
                assert batch.engine.begun == ["a"]
                other.resume()

    batch.on_refresh = steer
    batch.go([a_task(name) for name in "abc"])
    assert batch.looks >= 8
    assert set(batch.states().values()) == {"done"}
    assert "paused" in batch.notices()


def test_the_number_at_once_may_change_while_it_runs(batch: FakeScheduling) -> None:
    batch.engine.end = lambda _: None

    def steer(batch: FakeScheduling) -> None:
        if batch.looks == 1:
            with closing(BatchQueue.open(batch.store.directory)) as other:
                other.employ(4)
        if batch.looks > 10:
            batch.engine.finish_any()

    batch.on_refresh = steer
    batch.go([a_task(str(n)) for n in range(6)])
    assert batch.engine.most == 4


def test_a_task_that_runs_is_cancelled_from_another_terminal(batch: FakeScheduling) -> None:
    batch.engine.end = lambda order: None if order.task.id == "a" else finished(order)

    def steer(batch: FakeScheduling) -> None:
        if batch.looks == 2:
            with closing(BatchQueue.open(batch.store.directory)) as other:
                assert other.cancel("a") == (0, 1)

    batch.on_refresh = steer
    batch.go([a_task("a"), a_task("b")])
    assert batch.engine.interrupts == [("a", "moonpool batch cancel")]
    assert batch.states() == {"a": "cancelled", "b": "done"}


def test_one_that_is_cancelled_while_it_fails_is_not_tried_again(batch: FakeScheduling) -> None:
    def end(order: AttemptOrder) -> AttemptEnd:
        with closing(BatchQueue.open(batch.store.directory)) as other:
            assert other.cancel("a") == (0, 1)
        return failed(PASSING)(order)

    batch.engine.end = end
    batch.go([a_task("a")])
    assert batch.engine.begun == ["a"]
    assert batch.states() == {"a": "cancelled"}


def test_retry_while_it_runs_is_begun_again(batch: FakeScheduling) -> None:
    batch.engine.end = once(LASTING)  # type: ignore[assignment]
    batch.workers = 2

    def steer(batch: FakeScheduling) -> None:
        with closing(BatchQueue.open(batch.store.directory)) as other:
            if batch.states()["a"] == AttemptState.SET_ASIDE:
                other.retry("a")

    batch.on_refresh = steer
    batch.go([a_task("a"), a_task("b")])
    assert batch.engine.begun.count("a") == 2
    assert batch.states()["a"] == "done"


# -- stopping -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "name"), [(Stopping.SOON, "SIGINT"), (Stopping.AT_ONCE, "SIGTERM")]
)
def test_stopping_tells_what_runs_and_begins_nothing(
    batch: FakeScheduling, how: Stopping, name: str
) -> None:
    batch.engine.end = lambda _: None
    batch.on_refresh = lambda batch: batch.scheduler.stop(how)
    batch.go([a_task("a"), a_task("b")])
    assert batch.engine.interrupts == [("a", name)]
    assert batch.states() == {"a": "stopped", "b": "waiting"}


def test_leaving_at_once_leaves_what_runs_to_be_taken_up(batch: FakeScheduling) -> None:
    batch.engine.end = lambda _: None
    batch.on_refresh = lambda batch: batch.scheduler.stop(Stopping.DROPPED)
    batch.go([a_task("a")])
    assert batch.states() == {"a": "running"}


def test_what_fails_while_it_is_stopped_is_begun_again_next_time(batch: FakeScheduling) -> None:
    def end(order: AttemptOrder) -> AttemptEnd:
        batch.scheduler.stop(Stopping.AT_ONCE)
        return failed(PASSING)(order)

    batch.engine.end = end
    batch.go([a_task("a")])
    assert batch.states() == {"a": "stopped"}


# -- a database that can't be written -------------------------------------------------------------


def test_a_result_that_can_not_be_written_is_said_and_written_later(
    batch: FakeScheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = batch.store.ended, iter([True, True])

    def full(*arguments: object) -> None:
        if next(failures, False):
            raise RecordError("batch.db can't be used: database or disk is full")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(batch.store, "ended", full)
    scheduler = batch.go([a_task("a"), a_task("b")])
    assert "disk is full; 1 results wait" in batch.notices()
    assert batch.states() == {"a": "done", "b": "done"}
    assert scheduler.trouble == ""


def test_a_disk_that_stays_full_ends_the_batch_and_nothing_is_lost(
    batch: FakeScheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RecordError("batch.db can't be used: database or disk is full")

    monkeypatch.setattr(scheduling, "_UNWRITTEN_S", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(batch.store, "ended", full)
        scheduler = batch.go([a_task("a"), a_task("b")])
    assert "disk is full" in scheduler.trouble
    assert batch.engine.begun == ["a"]
    assert batch.states() == {"a": "running", "b": "waiting"}
    batch.go([a_task("a"), a_task("b")])
    assert batch.engine.orders[1].take_up


def test_each_is_said_to_be_begun(batch: FakeScheduling) -> None:
    batch.go([a_task("a")])
    begun = [event for event in batch.events if isinstance(event, AttemptBegun)]
    assert [(event.task_id, event.taken_up) for event in begun] == [("a", False)]
