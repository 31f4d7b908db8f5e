"""Looks that several share: few of them, and none that is older than the question."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from sandbox.errors import WorkspaceError
from sandbox.pool.looks import SharedLooks
from sandbox.workspace.scan import Scan
from sandbox.workspace.source import HostSource


class Watched(HostSource):
    """Says each look, which goes on when it is let."""

    looks: ClassVar[list[str]] = []
    begun = threading.Event()
    go_on = threading.Event()

    def glance(self) -> Scan:
        looked = super().glance()
        self.looks.append(looked.fingerprint)
        self.begun.set()
        assert self.go_on.wait(60)
        return looked


def in_thread(work: Callable[[], Scan], results: list[str]) -> threading.Thread:
    thread = threading.Thread(target=lambda: results.append(work().fingerprint))
    thread.start()
    return thread


def test_a_look_counts_for_those_who_asked_before_it_began(workspace: Path) -> None:
    source = Watched(workspace)
    looks = SharedLooks()
    first: list[str] = []
    later: list[str] = []
    threads = [in_thread(lambda: looks.look(source), first)]
    assert source.begun.wait(60)
    (workspace / "new").write_text("x")
    threads += [in_thread(lambda: looks.look(source), later) for _ in range(5)]
    source.go_on.set()
    for thread in threads:
        thread.join()
    after = HostSource(workspace).glance().fingerprint
    assert later == [after] * 5
    assert first != [after]
    assert len(source.looks) <= 1 + 5


def test_a_look_that_fails_fails_for_all(tmp_path: Path) -> None:
    looks = SharedLooks()
    for _ in range(2):
        with pytest.raises(WorkspaceError, match="does not exist"):
            looks.look(HostSource(tmp_path / "nowhere"))


def test_copies_of_one_workspace_are_made_one_after_the_other(workspace: Path) -> None:
    looks = SharedLooks()
    source = HostSource(workspace)
    waited: list[bool] = []
    begun = threading.Event()

    def copy() -> None:
        begun.set()
        with looks.copying(source) as shared:
            waited.append(shared)

    with looks.copying(source) as shared:
        assert not shared
        thread = threading.Thread(target=copy)
        thread.start()
        assert begun.wait(60)
        assert not waited
        with looks.copying(HostSource(workspace / "other")) as other:
            assert not other
    thread.join()
    assert len(waited) == 1
