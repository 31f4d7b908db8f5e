"""A run in a worker thread: told by another one, it ends where it waits."""

import threading
from collections.abc import Callable

import pytest

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.interrupts import SignalReceived, TimeUp

Listener = Callable[[str], None]


def for_ever() -> float:
    return 1000.0


def test_the_first_lets_an_answer_come_to_its_end() -> None:
    interrupts = ThreadInterrupts()

    def answer(_hear: Listener) -> str:
        interrupts.receive("SIGINT")
        return "the answer"

    assert interrupts.awaited(answer, lambda _: None, left_s=for_ever) == "the answer"
    assert interrupts.requested
    with pytest.raises(SignalReceived):
        interrupts.awaited(answer, lambda _: None, left_s=for_ever)


def test_the_second_ends_a_wait_that_nothing_else_would_end() -> None:
    interrupts = ThreadInterrupts()
    hung, over = threading.Event(), threading.Event()

    def hang(_hear: Listener) -> str:
        hung.set()
        over.wait()
        return "late"

    def signal() -> None:
        hung.wait()
        interrupts.receive("SIGINT")
        interrupts.receive("SIGINT")

    threading.Thread(target=signal).start()
    with pytest.raises(SignalReceived):
        interrupts.awaited(hang, lambda _: None, left_s=for_ever)
    over.set()


def test_what_is_heard_after_that_is_not_told_and_ends_the_work() -> None:
    interrupts = ThreadInterrupts()
    hung, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    heard: list[str] = []

    def speak(hear: Listener) -> None:
        hear("before")
        hung.set()
        goes_on.wait()
        try:
            hear("after")
        except SignalReceived:
            ended.set()
            raise

    def signal() -> None:
        hung.wait()
        interrupts.receive("SIGTERM")

    threading.Thread(target=signal).start()
    with pytest.raises(SignalReceived):
        interrupts.awaited(speak, heard.append, left_s=for_ever)
    goes_on.set()
    assert ended.wait(60)
    assert heard == ["before"]


def test_the_clock_ends_it_too() -> None:
    interrupts = ThreadInterrupts()
    over = threading.Event()
    left = iter([0.001, 0.0])
    with pytest.raises(TimeUp):
        interrupts.awaited(lambda _: over.wait(), lambda _: None, left_s=lambda: next(left))
    over.set()


def test_one_thread_does_it_all_until_the_run_is_over() -> None:
    interrupts = ThreadInterrupts()
    first, second = (
        interrupts.awaited(lambda _: threading.current_thread(), lambda _: None, left_s=for_ever)
        for _ in range(2)
    )
    assert first is second is not threading.current_thread()
    del interrupts
    first.join(60)
    assert not first.is_alive()


def test_work_that_hangs_holds_up_no_other_and_its_thread_ends_with_it() -> None:
    interrupts = ThreadInterrupts()
    over = threading.Event()
    hung: list[threading.Thread] = []

    def hang(_hear: Listener) -> None:
        hung.append(threading.current_thread())
        over.wait()

    left = iter([0.001, 0.0])
    with pytest.raises(TimeUp):
        interrupts.awaited(hang, lambda _: None, left_s=lambda: next(left))
    assert interrupts.awaited(lambda _: "other", lambda _: None, left_s=for_ever) == "other"
    over.set()
    for thread in hung:
        thread.join(60)
        assert not thread.is_alive()


def test_what_the_work_raises_is_raised() -> None:
    def fail(hear: Listener) -> None:
        hear("it")

    def refuse(_heard: str) -> None:
        raise ValueError("of the listener")

    with pytest.raises(ValueError, match="of the listener"):
        ThreadInterrupts().awaited(fail, refuse, left_s=for_ever)


def test_in_a_call_the_first_waits_and_the_second_ends_the_command() -> None:
    interrupts = ThreadInterrupts()
    ended = []
    with interrupts.calling(lambda: ended.append("it"), up_to_s=60):
        interrupts.receive("SIGINT")
        assert ended == []
        interrupts.receive("SIGINT")
    assert ended == ["it"]
    interrupts.receive("SIGINT")
    assert ended == ["it"]


def test_a_call_that_begins_too_late_is_ended_at_once() -> None:
    interrupts = ThreadInterrupts()
    interrupts.receive("moonpool batch cancel")
    ended = []
    with interrupts.calling(lambda: ended.append("it"), up_to_s=60):
        assert ended == ["it"]


def test_a_sandbox_that_was_opened_meanwhile_is_not_lost() -> None:
    interrupts = ThreadInterrupts()
    box = []

    def opened() -> None:
        with interrupts.immediate():
            interrupts.receive("SIGTERM")
            box.append("opened")

    with pytest.raises(SignalReceived):
        opened()
    assert box == ["opened"]


def test_nothing_raises_in_the_export_however_often_it_is_told() -> None:
    interrupts = ThreadInterrupts()
    with interrupts.shielded(), interrupts.held():
        for _ in range(5):
            interrupts.receive("SIGINT")
    interrupts.unless_dropped()
    assert interrupts.at_once
    assert not interrupts.broken_off
