"""The host's disk, watched from the host: when a command is ended, when the container is."""

import threading
from collections.abc import Iterator
from itertools import chain, repeat

from sandbox.container.host_disk import DiskState, EngineDisk, Floor, HostDisk, Space
from sandbox.engine.docker import Engine

GIB = 1 << 30


def floor(free: int, total: int) -> Floor:
    return Floor(Space(free=free, total=total))


def test_the_floor_is_two_percent_or_a_gibibyte_or_half_of_what_is_free() -> None:
    assert floor(500 * GIB, 1000 * GIB).floor_bytes == 20 * GIB
    assert floor(10 * GIB, 20 * GIB).floor_bytes == GIB
    assert floor(GIB, 1000 * GIB).floor_bytes == GIB // 2


def test_a_disk_that_was_full_from_the_start_ends_nothing_while_it_stays_so() -> None:
    for free in (0, 1 << 20, GIB):
        judge = floor(free, 1000 * GIB).judge
        assert [judge(free) for _ in range(3)] == [DiskState.FINE] * 3


def test_below_the_floor_each_further_step_ends_a_command_and_half_of_it_the_container() -> None:
    judge = floor(500 * GIB, 1000 * GIB).judge
    assert judge(20 * GIB) is DiskState.FINE
    assert judge(20 * GIB - 1) is DiskState.END_COMMAND
    assert judge(20 * GIB - 1) is DiskState.FINE
    assert judge(18 * GIB) is DiskState.FINE
    assert judge(17 * GIB) is DiskState.END_COMMAND
    assert judge(10 * GIB - 1) is DiskState.KILL


def test_room_that_was_made_sets_the_floor_back() -> None:
    judge = floor(500 * GIB, 1000 * GIB).judge
    assert judge(15 * GIB) is DiskState.END_COMMAND
    assert judge(30 * GIB) is DiskState.FINE
    assert judge(19 * GIB) is DiskState.END_COMMAND


def watched(*free: int) -> tuple[int, list[str]]:
    """Commands ended, and reasons to kill, of a disk that has so much free look after look."""
    ended: list[int] = []
    killed: list[str] = []
    looks: Iterator[Space | None] = chain(
        (Space(free=each, total=1000 * GIB) for each in free), repeat(None)
    )
    disk = HostDisk(
        lambda: next(looks), end_command=lambda: ended.append(1), kill=killed.append, every_s=0.001
    )
    assert disk.over.wait(60)
    return len(ended), killed


def test_the_thread_acts_on_what_it_sees_and_ends_with_the_container() -> None:
    assert watched(500 * GIB, 19 * GIB, 19 * GIB, 500 * GIB) == (1, [])
    ended, killed = watched(500 * GIB, 19 * GIB, GIB, GIB, GIB)
    assert ended == 1
    assert len(killed) == 1
    assert "host's disk is nearly full (1024 MiB free, floor 20480 MiB)" in killed[0]


def test_one_thread_looks_after_all_and_ends_with_the_last() -> None:
    looks: list[int] = []
    seen = threading.Event()

    def look() -> Space:
        looks.append(threading.get_ident())
        if len(looks) > 3:
            seen.set()
        return Space(free=500 * GIB, total=1000 * GIB)

    disks = [
        HostDisk(look, end_command=lambda: None, kill=lambda _: None, every_s=0.001)
        for _ in range(10)
    ]
    assert seen.wait(60)
    assert len(set(looks)) == 1
    for disk in disks:
        disk.stop()


def test_a_look_sees_the_disk_of_an_engine_on_this_machine(engine: Engine) -> None:
    space = EngineDisk(engine)()
    assert space is not None
    assert 0 < space.free < space.total
