"""What is removed behind those who go on."""

import threading

from sandbox.errors import EngineError
from sandbox.pool.removal import BackgroundRemoval


def test_whoever_gives_up_goes_on_and_close_waits() -> None:
    removal = BackgroundRemoval(1)
    gate, gone = threading.Event(), threading.Event()

    def slow() -> None:
        assert gate.wait(60)
        gone.set()

    removal(slow)
    assert not gone.is_set()
    gate.set()
    removal.close()
    assert gone.is_set()


def test_how_many_wait_is_bounded() -> None:
    removal = BackgroundRemoval(1)
    gate = threading.Event()
    where: list[int] = []
    for _ in range(5):
        removal(lambda: where.append(gate.wait(60) and threading.get_ident()))
    removal(lambda: where.append(threading.get_ident()))
    assert where == [threading.get_ident()], "one too many is removed on the spot"
    gate.set()
    removal.close()
    assert len(where) == 6


def test_what_fails_is_told_in_the_end_and_what_comes_late_is_removed_too() -> None:
    removal = BackgroundRemoval(1)

    def fails() -> None:
        raise EngineError("no engine today")

    removal(fails)
    removal.close()
    late: list[int] = []
    removal(lambda: late.append(1))
    assert late == [1]
    assert removal.failures == ["no engine today"]
