"""Signals: once to end well, twice to end now, three times to drop the export too."""

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

import pytest

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.interrupts import NOW, Interrupts, SignalReceived, TimeUp


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


class Struck:
    """Interrupts to which something happens before one instruction of their own code, from 1."""

    def __init__(
        self, at: int, interrupts: Interrupts, strike: Callable[[Interrupts], None]
    ) -> None:
        self._left = at
        self._strike = strike
        self.interrupts = interrupts
        self._before: Any = None

    @property
    def came(self) -> bool:
        """There was such an instruction."""
        return self._left <= 0

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.endswith("interrupts.py"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._left -= 1
            if self._left == 0:
                self._strike(self.interrupts)
        return self._trace


def test_a_signal_that_ends_the_chat_is_lost_at_no_instruction_of_a_request() -> None:
    for at in itertools.count(1):
        struck = Struck(at, Interrupts(), lambda it: it.receive("SIGTERM"))
        with struck, struck.interrupts.request():
            pass
        if not struck.came:
            break
        assert struck.interrupts.at_once, at
    assert at > 20


def test_what_a_request_forgets_while_another_thread_counts_is_counted_for_no_later_one() -> None:
    for at in itertools.count(1):
        interrupts = ThreadInterrupts()
        interrupts.receive("SIGINT")
        ending = threading.Thread(target=interrupts._forget)

        def end(_: Interrupts, ending: threading.Thread = ending) -> None:
            ending.start()
            # Where it has to wait for the count, it ends behind it.
            ending.join(0.02)

        with Struck(at, interrupts, end) as struck:
            interrupts.receive("SIGINT")
        if not struck.came:
            break
        ending.join()
        assert interrupts.level < NOW, at
    assert at > 20


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
