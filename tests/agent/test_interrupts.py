"""Signals: once to end well, twice to end now, three times to drop it all."""

import os
import signal

import pytest

from agent.interrupts import Interrupts, Stop


def test_the_first_only_sets_a_mark() -> None:
    interrupts = Interrupts()
    interrupts.receive("SIGINT")
    assert interrupts.requested


def test_the_second_raises() -> None:
    interrupts = Interrupts()
    interrupts.receive("SIGINT")
    with pytest.raises(Stop):
        interrupts.receive("SIGINT")


def test_the_first_raises_where_nothing_can_tear() -> None:
    interrupts = Interrupts()
    with pytest.raises(Stop), interrupts.immediate():
        interrupts.receive("SIGTERM")


def test_one_that_came_before_counts_there_too() -> None:
    interrupts = Interrupts()
    interrupts.receive("SIGTERM")
    with pytest.raises(Stop), interrupts.immediate():
        raise AssertionError("went on")


def test_only_the_third_breaks_the_export_off() -> None:
    interrupts = Interrupts()
    with interrupts.shielded():
        interrupts.receive("SIGINT")
        interrupts.receive("SIGINT")
        with pytest.raises(Stop):
            interrupts.receive("SIGINT")


def test_a_line_being_written_is_finished_first() -> None:
    interrupts = Interrupts()
    steps = []

    def write_a_line() -> None:
        with interrupts.immediate(), interrupts.held():
            interrupts.receive("SIGINT")
            steps.append("the line was written")

    with pytest.raises(Stop):
        write_a_line()
    assert steps == ["the line was written"]


def test_real_signals_arrive_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    interrupts = Interrupts()
    with interrupts.installed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), 0)
        assert (interrupts.count, interrupts.name) == (1, "SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is before
