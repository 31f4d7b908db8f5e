"""Attempts through the whole way of a cluster, but for the cluster: nothing of Ray takes part."""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agent import VERSION
from agent.batch.attempt import ErrorKind
from agent.batch.board import Board
from agent.batch.engines.cluster.engine import ClusterEngine, batch_name
from agent.batch.engines.cluster.loading import CargoLoader
from agent.batch.engines.cluster.node import (
    BatchPlace,
    NodeFunctions,
    RemoteOrder,
)
from agent.batch.failure import SharedBy
from agent.batch.order import AttemptEnd, AttemptOrder
from agent.batch.task import FolderWorkspace
from agent.cli.batch.places import place_of
from agent.config.values import Configuration
from agent.conversation.shared_budget import BatchAllowance, SharedBudget
from agent.errors import UsageError
from agent.record.store import new_run_id
from fakes.batches import a_task, an_order
from fakes.cluster import DictStore, ThreadCluster, ThreadDesk
from fakes.model import saying
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE

SECRET = "sk-ant-of-the-operator-0000"
WRITES = {"calls": [{"tool": "bash", "arguments": {"command": "echo step >> done.txt"}}]}
DONE = {"text": "Done."}

homes: dict[str, Path] = {}


def home() -> Path:
    return homes["here"]


def environ() -> Mapping[str, str]:
    return os.environ


def no_secrets(_configuration: Configuration) -> tuple[str, ...]:
    return ()


def none(_configuration: Configuration) -> None:
    """No telemetry."""


class OnThreads:
    """A batch's engine on a `ThreadCluster`."""

    def __init__(self, directory: Path, policy: Policy, workspace: Path) -> None:
        self.directory = directory / "night"
        self.policy = policy
        self.workspace = workspace
        homes["here"] = directory / "machine"
        self.place = BatchPlace(
            settings=NodeFunctions(
                environ=environ,
                home=home,
                known_secrets=no_secrets,
                telemetry=none,
            ),
            name=batch_name(self.directory),
            configuration=Configuration(),
        )
        self.desk, self.store = ThreadDesk(), DictStore()
        self.cluster = ThreadCluster(self.desk, self.store, self.place)
        self.board = Board()
        self.engine = self.opened()

    def opened(self, *runs: str) -> ClusterEngine:
        return ClusterEngine(
            cluster=self.cluster,
            desk=self.desk,
            store=self.store,
            place=self.place,
            budget=SharedBudget(),
            board=self.board,
            held=self.cluster.holders(self.place, runs, alone=True),
            at_once=1,
        )

    def order(self, *turns: object, **changes: object) -> AttemptOrder:
        model = saying(self.directory.parent / "script.yaml", *turns)
        task = replace(a_task("t1"), workspace=FolderWorkspace(path=self.workspace))
        usual = {"task": task, "run_id": new_run_id(), "model": model}
        return an_order(self.directory, self.policy, **usual | changes)

    def done(self, order: AttemptOrder) -> AttemptEnd:
        ends: list[AttemptEnd] = []
        over = threading.Event()

        def report(_order: AttemptOrder, end: AttemptEnd) -> None:
            ends.append(end)
            over.set()

        self.engine.submit(order, report)
        assert over.wait(120)
        assert len(ends) == 1
        return ends[0]

    def run(self, order: AttemptOrder) -> Path:
        return self.directory / "runs" / order.run_id


@pytest.fixture
def batch(
    engine: Engine,
    image: str,
    tmp_path: Path,
    default_policy: Policy,
    workspace: Path,
) -> Iterator[OnThreads]:
    (workspace / ".env").write_text(f"PASSWORD={SECRET}\n")
    made = OnThreads(tmp_path, default_policy, workspace)
    yield made
    made.engine.close()
    made.desk.close()


def test_a_run_comes_home_whole_and_leaves_nothing_where_it_was(batch: OnThreads) -> None:
    order = batch.order(WRITES, DONE)
    end = batch.done(order)
    assert end.result.outcome == "finished", end.result.detail
    assert end.result.patch == f"runs/{order.run_id}/patch.diff"
    assert b"+step" in (batch.run(order) / "patch.diff").read_bytes()
    names = {path.name for path in batch.run(order).iterdir()}
    assert {"run.json", "events.jsonl", "report.html", "trajectory.json", "run.log"} <= names
    batch.engine.close()
    assert not batch.place.home.exists()


def test_the_second_run_sends_no_workspace_again_and_no_image_goes_where_it_stands(
    batch: OnThreads,
) -> None:
    for path in batch.workspace.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    first, second = batch.order(WRITES, DONE), batch.order(WRITES, DONE)
    assert batch.done(first).result.outcome == "finished"
    got = list(batch.store.got)
    assert batch.done(second).result.outcome == "finished"
    assert batch.store.got == got  # the machine has the copy as a layer
    assert sum(map(len, batch.store.pieces)) < 1 << 20  # no image among it


def test_what_is_sent_holds_no_key_and_nothing_that_the_policy_leaves_out(
    batch: OnThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    order = batch.order(WRITES, DONE)
    assert batch.done(order).result.outcome == "finished"
    (remote, _), *_ = batch.cluster.sent
    assert SECRET.encode() not in pickle.dumps(remote)
    assert SECRET.encode() not in b"".join(batch.store.pieces)
    assert batch.store.pieces  # the workspace went


def test_a_process_that_is_lost_after_its_run_was_over_costs_nothing(batch: OnThreads) -> None:
    def over(remote: RemoteOrder) -> None:
        batch.cluster.attempt(remote)

    batch.cluster.lost_after.append(over)
    order = batch.order(WRITES, DONE)
    end = batch.done(order)
    assert (end.result.outcome, end.failure) == ("finished", None)
    assert (batch.run(order) / "patch.diff").read_text().count("+step") == 1
    assert [node for _, node in batch.cluster.sent] == ["", "machine"]
    assert batch.cluster.sent[1][0].order.take_up


def test_a_machine_that_is_lost_before_it_began_fails_by_its_environment_and_may_try_again(
    batch: OnThreads,
) -> None:
    batch.cluster.lost_after.append(lambda _: None)
    end = batch.done(batch.order(WRITES, DONE))
    assert end.failure is not None
    assert (end.failure.kind, end.failure.again) == (ErrorKind.ENVIRONMENT, True)
    assert end.result.error_kind is ErrorKind.ENVIRONMENT
    assert len(batch.cluster.sent) == 1


def test_a_process_that_is_lost_twice_is_no_reason_to_try_for_ever(batch: OnThreads) -> None:
    order = batch.order(WRITES, DONE)

    def begins(remote: RemoteOrder) -> None:
        batch.place.run(remote.order.run_id).mkdir(parents=True, exist_ok=True)

    batch.cluster.lost_after += [begins, begins]
    end = batch.done(order)
    assert end.failure is not None
    assert end.failure.again
    assert len(batch.cluster.sent) == 2


def test_where_the_desk_is_gone_an_attempt_ends_and_all_others_with_it(batch: OnThreads) -> None:
    def loses_both(_remote: RemoteOrder) -> None:
        batch.desk.gone = True

    batch.cluster.lost_after.append(loses_both)
    for order in (batch.order(WRITES, DONE), batch.order(WRITES, DONE)):
        end = batch.done(order)
        assert end.failure is not None
        assert end.failure.shared is SharedBy.BATCH
        assert end.result.error_kind is ErrorKind.SETTING
        assert "the same command goes on" in end.result.detail
    assert len(batch.cluster.sent) == 1


def test_the_screen_says_that_an_attempt_waits_for_room_on_the_cluster(batch: OnThreads) -> None:
    order = batch.order(DONE)
    batch.board.begin(order.run_id, "t1", 1)
    said: list[str] = []

    def looks(_remote: RemoteOrder) -> None:
        said.append(batch.board.lines()[order.run_id].doing)

    batch.cluster.lost_after.append(looks)
    batch.done(order)
    assert said == ["waits for room on the cluster"]


def test_a_run_whose_machine_is_not_there_is_begun_again(batch: OnThreads) -> None:
    end = batch.done(batch.order(WRITES, DONE, take_up=True))
    assert end.begin_again
    assert batch.cluster.sent == []


def test_a_run_that_was_home_before_its_batchs_process_ended_is_not_made_again(
    batch: OnThreads,
) -> None:
    order = batch.order(WRITES, DONE)
    assert batch.done(order).result.outcome == "finished"
    batch.engine.close()
    batch.engine = batch.opened(order.run_id)
    before = (batch.run(order) / "events.jsonl").read_bytes()
    end = batch.done(replace(order, take_up=True))
    assert (end.result.outcome, end.begin_again) == ("finished", False)
    assert (batch.run(order) / "events.jsonl").read_bytes() == before
    assert len(batch.cluster.sent) == 1


def test_a_run_that_another_process_began_is_taken_up_where_it_stands(batch: OnThreads) -> None:
    order = batch.order(WRITES, DONE)
    remote = remote_of(batch, order)
    batch.cluster.attempt(remote)
    batch.engine.close()
    batch.engine = batch.opened(order.run_id)
    end = batch.done(replace(order, take_up=True))
    assert end.result.outcome == "finished"
    assert (batch.run(order) / "patch.diff").read_text().count("+step") == 1
    ((_, node),) = batch.cluster.sent
    assert node == "machine"


def remote_of(batch: OnThreads, order: AttemptOrder) -> RemoteOrder:
    sent, cargo = CargoLoader(batch.store, os.environ).loaded(order)
    return RemoteOrder(
        order=sent, cargo=cargo, place=batch.place, allowed=BatchAllowance(), elapsed_s=0.0
    )


def test_a_machine_with_another_version_says_so_and_begins_nothing(batch: OnThreads) -> None:
    remote = replace(remote_of(batch, batch.order(WRITES, DONE)), version="0.0.1")
    end = batch.cluster.attempt(remote)
    assert "install the same" in end.end.result.detail
    assert end.end.result.error_kind is ErrorKind.ENVIRONMENT
    assert VERSION in end.end.result.detail
    assert end.run is None
    assert not batch.place.home.exists()


def test_what_can_not_be_sent_fails_alone_and_says_why(batch: OnThreads) -> None:
    task = replace(a_task("t1"), workspace=FolderWorkspace(path=batch.directory / "missing"))
    end = batch.done(batch.order(DONE, task=task))
    assert "missing" in end.result.detail
    assert end.failure is not None
    assert end.failure.kind is ErrorKind.ENVIRONMENT
    assert batch.cluster.sent == []


def test_a_run_that_is_told_to_end_before_it_begins_ends(batch: OnThreads, engine: Engine) -> None:
    order = batch.order(WRITES, DONE)
    batch.engine.interrupt(order.run_id, "SIGTERM")
    end = batch.done(order)
    assert end.interrupted
    names = [row.name for row in engine.containers(LABEL_DEADLINE)]
    assert not any(order.run_id in name for name in names)


def test_what_came_home_is_removed_by_whoever_makes_a_later_attempt(batch: OnThreads) -> None:
    first, second = batch.order(DONE), batch.order(DONE)
    batch.done(first)
    assert batch.place.run(first.run_id).is_dir()
    batch.done(second)
    assert not batch.place.run(first.run_id).exists()
    assert batch.place.run(second.run_id).is_dir()
    assert (batch.run(first) / "run.json").is_file()


def test_who_makes_the_last_attempt_makes_no_further_sandbox_ready(batch: OnThreads) -> None:
    first, last = batch.order(DONE), batch.order(DONE)
    batch.engine.expect([first, last])
    batch.done(first)
    batch.done(last)
    assert [remote.after for remote, _ in batch.cluster.sent] == [1, 0]


def test_without_ray_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "agent.batch.engines.cluster.ray_cluster", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(UsageError, match=r"pip install '.\[ray\]' in Moonpool's checkout"):
        place_of("ray", "127.0.0.1:6379", attempts=1)


def test_a_batch_on_this_machine_loads_nothing_of_a_cluster() -> None:
    code = (
        "import sys; from agent.cli.commands.batch import run;"
        "from agent.cli.batch.places import place_of; place_of('local', None, attempts=1);"
        " import agent.batch.engines.local, agent.batch.sandbox_pool;"
        "print([name for name in sys.modules if name == 'ray' or 'engines.cluster' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_no_option_of_the_command_finds_a_cluster_by_itself() -> None:
    for address in (None, "auto", "local", "ray://host:10001"):
        with pytest.raises(UsageError, match="HOST:PORT"):
            place_of("ray", address, attempts=1)
    with pytest.raises(UsageError, match="goes with --engine ray"):
        place_of("local", "127.0.0.1:6379", attempts=1)


def test_orders_that_share_a_policy_write_it_once_and_bring_one_object(batch: OnThreads) -> None:
    first = batch.order(DONE)
    second = replace(first, run_id=new_run_id())
    came, again = (pickle.loads(pickle.dumps(one)).policy for one in (first, second))
    assert came == first.policy
    assert again is came
    other = replace(first.policy, exec_workspace=not first.policy.exec_workspace)
    assert pickle.loads(pickle.dumps(other)) == other
    for name in range(100):
        named = replace(other, name=str(name))
        assert pickle.loads(pickle.dumps(named)) == named
