"""Attempts in threads: what is made ready for them, and how each is told to end."""

import queue
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agent.batch.board import Board
from agent.batch.engines.local import LocalEngine
from agent.batch.order import AttemptEnd, AttemptOrder
from agent.batch.task import FolderWorkspace, GitWorkspace, ImageWorkspace
from agent.lifecycle.job import Job, OnProgress
from agent.models.rate_limit import ModelRates
from agent.tools.sandbox_protocol import SandboxProtocol
from fakes.batches import a_task, an_order
from fakes.box import TmpBox
from policies.policy import Policy


class Boxes:
    """Fits `agent.batch.engines.local.BoxSupply`; opens one when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.expected: dict[str, int] = {}
        self.closed = False

    def open_box(self, job: Job, _progress: OnProgress) -> SandboxProtocol:
        self.asked.put(job.run_id)
        self.may.wait()
        return TmpBox(files={})

    def expect(self, job: Job, count: int) -> None:
        self.expected[str(job.workspace)] = count

    def close(self) -> tuple[str, ...]:
        self.closed = True
        return ("something stays",)


@pytest.fixture
def boxes() -> Boxes:
    return Boxes()


@pytest.fixture
def engine(boxes: Boxes) -> LocalEngine:
    return LocalEngine(
        environ={}, known_secrets=(), boxes=boxes, budget=None, rates=ModelRates(), board=Board()
    )


def order_of(directory: Path, policy: Policy, name: str, folder: str = "a") -> AttemptOrder:
    task = replace(a_task(name), workspace=FolderWorkspace(path=Path("/", folder)))
    return an_order(directory, policy, task=task, run_id=name)


def test_each_attempt_is_reported_from_a_thread_of_its_own(
    engine: LocalEngine, boxes: Boxes, tmp_path: Path, policy: Policy
) -> None:
    ended: queue.SimpleQueue[tuple[str, AttemptEnd]] = queue.SimpleQueue()
    for name in ("r1", "r2", "r3"):
        order = order_of(tmp_path, policy, name)
        engine.submit(order, lambda order, end: ended.put((order.run_id, end)))
    assert {boxes.asked.get(timeout=60) for _ in range(3)} == {"r1", "r2", "r3"}
    boxes.may.set()
    ends = dict(ended.get(timeout=60) for _ in range(3))
    assert {end.result.outcome for end in ends.values()} == {"finished"}
    assert engine.close() == ("something stays",)


def test_where_there_is_no_thread_for_it_it_is_tried_again(
    engine: LocalEngine, tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ended: list[AttemptEnd] = []
    monkeypatch.setattr(threading.Thread, "start", full)
    engine.submit(order_of(tmp_path, policy, "r1"), lambda _, end: ended.append(end))
    (end,) = ended
    assert end.failure is not None
    assert (end.result.error_kind, end.failure.again) == ("environment", True)


def test_who_has_not_asked_yet_is_expected_beside_who_comes_next(
    engine: LocalEngine, boxes: Boxes, tmp_path: Path, policy: Policy
) -> None:
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    first = order_of(tmp_path, policy, "r1")
    engine.submit(first, lambda order, _: ended.put(order.run_id))
    boxes.asked.get(timeout=60)
    coming = [order_of(tmp_path, policy, n, f) for n, f in (("r2", "a"), ("r3", "a"), ("r4", "b"))]
    engine.expect(coming)
    assert boxes.expected == {"/a": 3, "/b": 1}
    boxes.may.set()
    ended.get(timeout=60)
    engine.expect(coming[2:])
    assert boxes.expected == {"/a": 0, "/b": 1}


def test_what_is_to_be_got_first_is_not_made_ready(
    engine: LocalEngine, boxes: Boxes, tmp_path: Path, policy: Policy
) -> None:
    order = order_of(tmp_path, policy, "r1")
    place = GitWorkspace(url="/repo", revision="main")
    engine.expect([replace(order, task=replace(order.task, workspace=place))])
    assert boxes.expected == {}


def test_a_folder_of_an_image_is_made_ready_where_it_is_known(
    engine: LocalEngine, boxes: Boxes, tmp_path: Path, policy: Policy
) -> None:
    order = order_of(tmp_path, policy, "r1")
    for path in ("/testbed", None, "/usr/bin"):
        task = replace(order.task, workspace=ImageWorkspace(path=path))
        engine.expect([replace(order, task=task)])
    assert boxes.expected == {"image:/testbed": 0}


def test_one_is_told_to_end_and_no_other(
    engine: LocalEngine, boxes: Boxes, tmp_path: Path, policy: Policy
) -> None:
    ended: queue.SimpleQueue[tuple[str, AttemptEnd]] = queue.SimpleQueue()
    for name in ("r1", "r2"):
        order = order_of(tmp_path, policy, name)
        engine.submit(order, lambda order, end: ended.put((order.run_id, end)))
        boxes.asked.get(timeout=60)
    engine.interrupt("r1", "SIGTERM")
    engine.interrupt("never there", "SIGTERM")
    boxes.may.set()
    ends = dict(ended.get(timeout=60) for _ in range(2))
    assert (ends["r1"].interrupted, ends["r2"].interrupted) == (True, False)
