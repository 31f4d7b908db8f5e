"""Signals: once to end well, twice to end now, three times to drop the export too."""

import os
import signal
from collections.abc import Callable

import pytest

from agent.interrupts import Interrupts, SignalReceived, TimeUp


def test_the_first_only_sets_a_mark() -> None:
    interrupts = Interrupts()
    interrupts.receive("SIGINT")
    assert interrupts.requested


def test_between_the_steps_of_a_run_nothing_raises() -> None:
    interrupts = Interrupts()
    for _ in range(4):
        interrupts.receive("SIGINT")
    assert interrupts.at_once


def test_in_a_call_the_second_ends_the_command_and_the_third_breaks_off() -> None:
    interrupts = Interrupts()
    ended = []
    with interrupts.calling(lambda: ended.append("the command"), up_to_s=120):
        interrupts.receive("SIGINT")
        assert ended == []
        interrupts.receive("SIGINT")
        assert ended == ["the command"]
        with pytest.raises(SignalReceived):
            interrupts.receive("SIGINT")


def test_a_call_that_begins_too_late_is_ended_at_once() -> None:
    interrupts = Interrupts()
    interrupts.receive("SIGTERM")
    ended = []
    with interrupts.calling(lambda: ended.append("the command"), up_to_s=120):
        assert ended == ["the command"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_supervisors_signal_is_the_second_however_often_it_comes(name: str) -> None:
    interrupts = Interrupts()
    with interrupts.shielded():
        for _ in range(5):
            interrupts.receive(name)
        assert interrupts.at_once
        with pytest.raises(SignalReceived):
            interrupts.receive("SIGINT")


def test_nothing_raises_between_a_line_and_its_digest() -> None:
    interrupts = Interrupts()
    steps = []

    def write() -> None:
        with interrupts.shielded(), interrupts.held():
            with interrupts.writing():
                for _ in range(4):
                    interrupts.receive("SIGINT")
                steps.append("the line and its digest")
            steps.append("the screen")

    with pytest.raises(SignalReceived):
        write()
    assert steps == ["the line and its digest", "the screen"]


def test_a_screen_that_blocks_does_not_hold_the_third_up() -> None:
    interrupts = Interrupts()

    def blocked() -> None:
        with interrupts.shielded(), interrupts.held():
            for _ in range(3):
                interrupts.receive("SIGINT")
            raise AssertionError("it went on")

    with pytest.raises(SignalReceived):
        blocked()


def test_the_first_raises_where_nothing_can_tear() -> None:
    interrupts = Interrupts()
    with pytest.raises(SignalReceived), interrupts.immediate():
        interrupts.receive("SIGTERM")


def test_one_that_came_before_counts_there_too() -> None:
    interrupts = Interrupts()
    interrupts.receive("SIGTERM")
    with pytest.raises(SignalReceived), interrupts.immediate():
        raise AssertionError("went on")


def test_only_the_third_breaks_the_export_off() -> None:
    interrupts = Interrupts()
    with interrupts.shielded():
        interrupts.receive("SIGINT")
        interrupts.receive("SIGINT")
        with pytest.raises(SignalReceived):
            interrupts.receive("SIGINT")


def test_a_line_being_written_is_finished_first() -> None:
    interrupts = Interrupts()
    steps = []

    def write_a_line() -> None:
        with interrupts.immediate(), interrupts.held():
            interrupts.receive("SIGINT")
            steps.append("the line was written")

    with pytest.raises(SignalReceived):
        write_a_line()
    assert steps == ["the line was written"]


def test_real_signals_arrive_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    interrupts = Interrupts()
    with interrupts.installed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), 0)
        assert (interrupts.at_once, interrupts.name) == (True, "SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is before


def test_who_left_the_export_before_it_began_does_not_get_it() -> None:
    interrupts = Interrupts()
    for _ in range(2):
        interrupts.receive("SIGINT")
        interrupts.unless_dropped()
    interrupts.receive("SIGINT")
    with pytest.raises(SignalReceived):
        interrupts.unless_dropped()


# -- a chat -----------------------------------------------------------------------------------


def test_in_a_request_the_first_ends_the_command_and_the_second_breaks_it_off() -> None:
    interrupts = Interrupts()
    ended = []
    with interrupts.request():
        with interrupts.calling(lambda: ended.append("the command"), up_to_s=120):
            interrupts.receive("SIGINT")
            assert ended == ["the command"]
            with pytest.raises(SignalReceived):
                interrupts.receive("SIGINT")
        assert interrupts.broken_off


def test_a_request_forgets_its_signals_and_one_that_ends_the_chat_stays() -> None:
    interrupts = Interrupts()
    with interrupts.request():
        interrupts.receive("SIGINT")
        interrupts.receive("SIGINT")
    assert not interrupts.requested
    with interrupts.request():
        interrupts.receive("SIGINT")
        interrupts.receive("SIGINT")
        interrupts.receive("SIGTERM")
    assert interrupts.leaving
    assert interrupts.requested
    interrupts.unless_dropped()  # it says nothing of leaving the work behind


def test_a_signal_between_two_requests_does_not_stop_the_next() -> None:
    interrupts = Interrupts()
    interrupts.receive("SIGINT")
    with interrupts.request(), interrupts.immediate():
        pass


def test_after_the_chat_signals_count_as_in_a_run() -> None:
    interrupts = Interrupts()
    with interrupts.request():
        interrupts.receive("SIGINT")
    with interrupts.shielded():
        interrupts.receive("SIGINT")
        interrupts.receive("SIGINT")
        with pytest.raises(SignalReceived):
            interrupts.receive("SIGINT")


# -- a wait with a listener ---------------------------------------------------------------------


def test_what_is_awaited_hears_and_gives_what_it_comes_to() -> None:
    heard: list[str] = []

    def answer(hear: Callable[[str], None]) -> str:
        hear("a piece")
        return "the whole"

    interrupts = Interrupts()
    assert interrupts.awaited(answer, heard.append, left_s=lambda: 60.0) == "the whole"
    assert heard == ["a piece"]


def test_a_signal_raises_in_what_is_awaited_and_no_cancel_is_needed() -> None:
    interrupts = Interrupts()
    cancelled: list[str] = []

    def answer(_hear: Callable[[str], None]) -> None:
        with interrupts.ended_by(lambda: cancelled.append("it")):
            interrupts.receive("SIGINT")

    with pytest.raises(SignalReceived):
        interrupts.awaited(answer, lambda _: None, left_s=lambda: 60.0)
    assert cancelled == []


def test_the_clock_raises_in_what_is_awaited() -> None:
    def answer(_hear: Callable[[str], None]) -> None:
        while True:
            signal.pause()

    with pytest.raises(TimeUp):
        Interrupts().awaited(answer, lambda _: None, left_s=lambda: 0.01)
