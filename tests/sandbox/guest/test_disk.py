"""The guest's look at its own disk, where others use the same one."""

import os
import time
from pathlib import Path

from sandbox.guest import disk
from sandbox.guest.disk import Disk
from waiting import until

MIB = 1 << 20


class Shared(Disk):
    """A disk on which others free as much as we take: the whole never grows."""

    def _used_each(self) -> list[int]:
        return [10 * MIB]


def filled(root: Path, megabytes: int) -> None:
    (root / "mine").write_bytes(os.urandom(megabytes * MIB))


def test_what_others_give_back_hides_nothing_for_long(tmp_path: Path) -> None:
    watched = Shared([os.fsencode(tmp_path)], 4 * MIB, 0, restarted=False)
    filled(tmp_path, 8)
    assert watched.left() > 0, "the whole disk has not grown"
    until(lambda: watched.left() == 0)
    assert watched.exceeded()


def test_a_count_is_not_made_again_at_once(tmp_path: Path) -> None:
    watched = Shared([os.fsencode(tmp_path)], 64 * MIB, 0, restarted=False)
    watched._recount_at = 0.0
    assert watched.left() == 0
    assert not watched.exceeded()
    assert watched.left() > 0
    assert watched._recount_at > time.monotonic() + disk._RECOUNT_S / 2
