"""A clock that is set back hides no change."""

import pytest

from sandbox.guest.loop import WallClock

S = 1_000_000_000
BEGAN = 1_800_000_000 * S


class Clocks:
    """The wall clock and a steady one, in ns; a test moves them."""

    def __init__(self) -> None:
        self.wall, self.steady = BEGAN, 50 * S

    def __call__(self) -> tuple[int, int]:
        return self.wall, self.steady

    def pass_by(self, ns: int, *, set_by: int = 0) -> None:
        self.steady += ns
        self.wall += ns + set_by


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_time_that_passes_and_a_clock_set_forward_change_nothing(clocks: Clocks) -> None:
    clock = WallClock(clocks)
    clocks.pass_by(5 * S)
    clocks.pass_by(S, set_by=3600 * S)
    assert clock.since(BEGAN) == BEGAN


def test_what_changes_after_the_clock_was_set_back_is_later_than_what_is_asked_for(
    clocks: Clocks,
) -> None:
    clock = WallClock(clocks)
    clocks.pass_by(5000 * S, set_by=-3600 * S)
    changed = clocks.wall - 4999 * S
    assert clock.since(BEGAN) <= changed < BEGAN


def test_it_is_remembered_when_the_clock_is_right_again(clocks: Clocks) -> None:
    clock = WallClock(clocks)
    clocks.pass_by(5000 * S, set_by=-3600 * S)
    clock.look()
    clocks.pass_by(S, set_by=3600 * S)
    assert clock.since(BEGAN) < BEGAN - 3600 * S


def test_a_clock_set_back_further_than_the_start_has_everything_looked_at(clocks: Clocks) -> None:
    clock = WallClock(clocks)
    clocks.pass_by(S, set_by=-86400 * S)
    assert clock.since(BEGAN) == 1


def test_a_restart_before_the_start_has_everything_looked_at(clocks: Clocks) -> None:
    clocks.pass_by(S, set_by=-86400 * S)
    assert WallClock(clocks).since(BEGAN) == 1
