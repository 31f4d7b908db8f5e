"""One attempt, from its order to its row: everything is real but the box."""

import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.batch.failure import NO_ENGINE
from agent.batch.order import AttemptEnd, AttemptOrder, WorkerServices
from agent.batch.plan import fitted, lacking, narrowed
from agent.batch.task import ImageWorkspace, TaskBudget, TaskLimits
from agent.batch.thread_interrupts import ThreadInterrupts
from agent.batch.worker import perform
from agent.conversation.shared_budget import SharedBudget
from agent.interrupts import SignalReceived
from agent.lifecycle.job import Job, OnProgress
from agent.models.interface import Usage
from agent.observe.otlp import TelemetrySettings
from agent.record.events.conversation import CallReserved
from agent.record.journal import unseen
from agent.tools.sandbox_protocol import SandboxProtocol
from fakes.batches import a_task, an_order
from fakes.box import TmpBox
from fakes.collector import Collector
from fakes.model import saying
from fakes.records import run_started, written_record
from policies.policy import Policy
from sandbox.errors import EngineUnavailable, ImageUnusable, SandboxError

WRITES = {"calls": [{"tool": "write_file", "arguments": {"path": "new.txt", "content": "made\n"}}]}
DONE = {"text": "Done."}


class AWorker:
    """Set it up, `perform`, look at what came of it."""

    def __init__(self, directory: Path, policy: Policy) -> None:
        self.directory = directory
        self.policy = policy
        self.interrupts = ThreadInterrupts()
        self.boxes: list[TmpBox] = []
        self.before_open: Callable[[], None] = lambda: None
        self.budget: SharedBudget | None = None
        self.telemetry: TelemetrySettings | None = None
        self.environ: dict[str, str] = {}

    def order(self, *turns: object, **changes: object) -> AttemptOrder:
        model = saying(self.directory / "script.yaml", *turns)
        return an_order(self.directory, self.policy, **{"model": model} | changes)

    def perform(self, order: AttemptOrder) -> AttemptEnd:
        return perform(
            order,
            WorkerServices(
                environ=self.environ,
                known_secrets=("0123456789-secret",),
                open_box=self._open,
                budget=self.budget,
                rate=lambda _: None,
                interrupts=self.interrupts,
                show=unseen,
                telemetry=self.telemetry,
            ),
        )

    def _open(self, _job: Job, _progress: OnProgress) -> SandboxProtocol:
        self.before_open()
        self.boxes.append(TmpBox(files={"a.txt": b"one\n"}))
        return self.boxes[-1]


@pytest.fixture
def worker(tmp_path: Path, policy: Policy) -> AWorker:
    return AWorker(tmp_path, policy)


def test_its_run_is_recorded_below_the_batchs_folder_and_its_row_says_so(worker: AWorker) -> None:
    end = worker.perform(worker.order(WRITES, DONE))
    row = end.result
    assert (row.task_id, row.outcome, row.error_kind, end.failure) == ("t1", "finished", None, None)
    run = worker.directory / "runs" / str(row.run_id)
    assert row.patch == f"runs/{row.run_id}/patch.diff"
    assert b"+made" in (run / "patch.diff").read_bytes()
    names = {path.name for path in run.iterdir()}
    assert {"run.json", "events.jsonl", "report.html", "trajectory.json", "run.log"} <= names
    assert worker.boxes[0].closed


def test_an_order_crosses_processes(worker: AWorker) -> None:
    order = worker.order(DONE)
    assert pickle.loads(pickle.dumps(order)) == order
    end = worker.perform(pickle.loads(pickle.dumps(order)))
    assert pickle.loads(pickle.dumps(end)) == end


@pytest.mark.parametrize(
    ("error", "kind", "again"),
    [
        (EngineUnavailable("no engine answers"), "environment", True),
        (ImageUnusable("for another platform"), "environment", False),
        (SandboxError("it failed"), "environment", True),
        (RuntimeError("a defect"), "environment", True),
    ],
)
def test_a_box_that_can_not_be_opened_is_the_environments(
    worker: AWorker, error: Exception, kind: str, *, again: bool
) -> None:
    def fail() -> None:
        raise error

    worker.before_open = fail
    end = worker.perform(worker.order(DONE))
    assert end.failure is not None
    assert (end.result.error_kind, end.failure.again) == (kind, again)
    assert str(error) in end.result.detail


def test_a_model_that_is_none_is_a_setting_and_leaves_no_run(worker: AWorker) -> None:
    end = worker.perform(worker.order(DONE, model="script:/nowhere.yaml"))
    assert (end.result.outcome, end.result.error_kind) == ("not begun", "setting")
    assert end.result.run_id is None
    assert not (worker.directory / "runs").exists()


def test_a_run_directory_that_stands_already_is_not_written_to(worker: AWorker) -> None:
    order = worker.order(DONE)
    outside = worker.directory / "outside"
    outside.mkdir()
    (worker.directory / "runs").mkdir()
    (worker.directory / "runs" / order.run_id).symlink_to(outside)
    end = worker.perform(order)
    assert end.result.error_kind == "environment"
    assert list(outside.iterdir()) == []


def test_what_a_run_used_that_can_not_be_taken_up_counts(worker: AWorker) -> None:
    """Another run is begun in its place: this row is the last that is said of it."""
    call = CallReserved(used=Usage(input_tokens=7, output_tokens=9), usd=2.5)
    written_record(worker.directory, run_started(), call)
    worker.environ["DOCKER_HOST"] = "unix:///nowhere"
    end = worker.perform(worker.order(DONE, run_id="r", take_up=True))
    assert (end.failure, end.result.run_id) == (NO_ENGINE, "r")
    assert (end.result.usd, end.result.input_tokens, end.result.output_tokens) == (2.5, 7, 9)


def test_a_defect_of_ours_is_a_value_too(worker: AWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("agent.review.pages.report.write_reports", broken)
    end = worker.perform(worker.order(DONE))
    assert end.failure is not None
    assert (end.result.error_kind, end.failure.again) == ("environment", True)


def test_a_script_that_does_not_fit_is_the_settings_and_is_not_tried_again(worker: AWorker) -> None:
    end = worker.perform(worker.order(WRITES, {"expect": "never there", "text": "x"}))
    assert end.failure is not None
    assert (end.result.outcome, end.result.error_kind, end.failure.again) == (
        "model failed",
        "setting",
        False,
    )


def test_told_to_end_where_there_is_no_run_yet(
    worker: AWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*_: object) -> None:
        raise SignalReceived("SIGTERM")

    monkeypatch.setattr("agent.batch.worker.workspace_of", told)
    end = worker.perform(worker.order(DONE))
    assert end.interrupted
    assert (end.result.outcome, end.result.detail) == ("not begun", "by SIGTERM")


def test_told_to_end_it_exports_what_it_has_done(worker: AWorker) -> None:
    order = worker.order(WRITES, WRITES, DONE)
    worker.before_open = lambda: worker.interrupts.receive("SIGINT")
    end = worker.perform(order)
    assert end.interrupted
    assert (end.result.outcome, end.failure) == ("interrupted", None)
    assert worker.boxes[0].closed


def test_told_to_end_from_another_thread_while_a_box_is_opened(worker: AWorker) -> None:
    opening, told = threading.Event(), threading.Event()

    def slow() -> None:
        opening.set()
        told.wait()

    def tell() -> None:
        opening.wait()
        worker.interrupts.receive("SIGTERM")
        told.set()

    worker.before_open = slow
    threading.Thread(target=tell).start()
    end = worker.perform(worker.order(WRITES, DONE))
    assert end.interrupted
    assert worker.boxes[0].closed


def test_a_batch_whose_time_is_over_asks_no_model(worker: AWorker) -> None:
    worker.budget = SharedBudget(seconds=0.0)
    end = worker.perform(worker.order(WRITES, DONE))
    assert end.result.outcome == "limit: the batch's time"
    assert end.result.error_kind == "setting"


def test_runs_at_once_have_a_trace_and_a_log_each(worker: AWorker) -> None:
    orders = [
        worker.order(
            run_id=f"20261129-01000{n}-0000000{n}",
            model=saying(worker.directory / f"{n}.yaml", WRITES, {"text": f"words {n}"}),
        )
        for n in range(4)
    ]
    ends: list[AttemptEnd] = []
    with Collector() as collector:
        worker.telemetry = TelemetrySettings(endpoint=collector.url)
        threads = [
            threading.Thread(target=lambda o=o: ends.append(worker.perform(o))) for o in orders
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        roots = [span for span in collector.spans if not span.parent]
    assert [end.result.outcome for end in ends] == ["finished"] * 4
    assert len({span.trace for span in roots}) == len(roots) == 4
    for n, order in enumerate(orders):
        log = (worker.directory / "runs" / order.run_id / "run.log").read_text()
        assert [m for m in range(4) if f"words {m}" in log] == [n]
        assert "Failed to detach context" not in log


def test_a_folder_that_no_image_has_as_its_workspace_fails_once(worker: AWorker) -> None:
    task = replace(a_task("t1"), workspace=ImageWorkspace(path="/usr/bin"))
    end = worker.perform(worker.order(DONE, task=task))
    assert end.failure is not None
    assert not end.failure.again


def test_a_task_gets_what_it_needs_below_its_policy_and_its_variables(policy: Policy) -> None:
    task = replace(
        a_task("t1"),
        limits=TaskLimits(cpus=1, memory_bytes=1 << 30, disk_bytes=1 << 50),
        env={"COLOUR": "red", "LEVEL": "1"},
    )
    found = fitted(replace(policy, env={"LEVEL": "2"}), task)
    assert (found.limits.cpus, found.limits.memory_bytes) == (1, 1 << 30)
    assert found.limits.disk_bytes == policy.limits.disk_bytes
    assert found.env == {"COLOUR": "red", "LEVEL": "2"}
    assert lacking(policy, task) == [
        "needs limits.disk of 1024TiB, and policy default gives 4GiB: take a policy that gives it"
    ]
    assert lacking(policy, a_task("t1")) == []


def test_a_task_narrows_its_policy_and_widens_nothing(policy: Policy) -> None:
    wide = TaskBudget(usd=1e9, turns=10**9, input_tokens=10**12, output_tokens=10**12, time_s=1e9)
    same = narrowed(policy, replace(wide, usd=policy.budget.usd))
    assert (same.budget, same.limits) == (policy.budget, policy.limits)
    narrow = narrowed(
        policy, TaskBudget(usd=0.5, turns=1, input_tokens=2, output_tokens=3, time_s=4)
    )
    budget = narrow.budget
    assert (budget.usd, budget.turns, budget.input_tokens, budget.output_tokens) == (0.5, 1, 2, 3)
    assert narrow.limits.time_s == 4
    without = replace(policy, budget=replace(policy.budget, usd=None))
    assert narrowed(without, TaskBudget(usd=2.0)).budget.usd == 2.0
