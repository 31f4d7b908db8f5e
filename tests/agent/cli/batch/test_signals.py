"""What signals do to a batch: once, twice, three times, and when even that leads nowhere."""

import os
import signal
from collections.abc import Iterator

import pytest

from agent.batch.stopping import Stopping
from agent.cli.batch.signals import stopping


class Told:
    """Stands for a scheduler, of which only `stop` is called."""

    def __init__(self) -> None:
        self.how: list[Stopping] = []

    def stop(self, how: Stopping) -> None:
        self.how.append(how)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def told(*numbers: signal.Signals) -> list[Stopping]:
    scheduler = Told()
    with stopping(scheduler):  # type: ignore[arg-type]
        for number in numbers:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), 0)
    return scheduler.how


def test_each_ctrl_c_leaves_less_to_be_done() -> None:
    soon, at_once, dropped = told(*[signal.SIGINT] * 3)
    assert (soon, at_once, dropped) == (Stopping.SOON, Stopping.AT_ONCE, Stopping.DROPPED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_supervisors_signal_means_twice_however_often_it_comes(number: signal.Signals) -> None:
    assert set(told(number, number, number)) == {Stopping.AT_ONCE}


def test_who_waits_for_what_never_ends_can_still_leave() -> None:
    with pytest.raises(KeyboardInterrupt):
        told(*[signal.SIGINT] * 4)


def test_afterwards_a_late_one_changes_no_exit_code() -> None:
    told()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), 0)
