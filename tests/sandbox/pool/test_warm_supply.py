"""Containers made ahead: what they are given for, what they are not, and that none is left."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from policies.loading import load
from policies.policy import Policy
from sandbox import supply
from sandbox.container.seal import KernelPolicy
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_POOL, ContainerInfo
from sandbox.errors import SandboxLost
from sandbox.opening import opened, reattach
from sandbox.opening.opened import OpenedContainer
from sandbox.pool.warm_supply import WarmSupply, affordable
from sandbox.prune import leftovers, prune
from sandbox.sandbox import Sandbox
from sandbox.supply import ContainerSupply
from waiting import until

DEFAULT = load("default")
RUN = "20261129-0000"
LONG_S = 120


class OpenOne(Protocol):
    def __call__(
        self, supply: ContainerSupply, *, policy: Policy = ..., run_id: str = ...
    ) -> OpenedContainer: ...


@pytest.fixture
def open_one(engine: Engine, image: str, workspace: Path) -> OpenOne:
    def open_one(
        supply: ContainerSupply, *, policy: Policy = DEFAULT, run_id: str = ""
    ) -> OpenedContainer:
        return opened.open_workspace(
            workspace,
            policy,
            image=image,
            run_id=run_id,
            may_ask=False,
            kernel_policy=KernelPolicy.REQUIRE,
            engine=engine,
            on_progress=lambda _: None,
            supply=supply,
        )

    return open_one


@pytest.fixture
def pool(engine: Engine) -> Iterator[WarmSupply]:
    pool = WarmSupply(engine, limit=2)
    yield pool
    assert pool.close() == ()


def mine(engine: Engine) -> list[ContainerInfo]:
    """Containers of this process's pools."""
    return engine.containers(f"{LABEL_POOL}={supply.this_process()}")


def waiting(engine: Engine) -> set[str]:
    return {row.id for row in mine(engine) if supply.is_waiting(row)}


def ready(pool: WarmSupply, engine: Engine, open_one: OpenOne, count: int = 1) -> set[str]:
    """Ids of so many that wait."""
    pool.expect("same", count, lambda: open_one(pool))
    assert pool.settle(LONG_S)
    return waiting(engine)


def test_each_is_given_once_and_nothing_of_one_is_in_the_next(
    pool: WarmSupply, engine: Engine, open_one: OpenOne, workspace: Path
) -> None:
    (workspace / "a").write_text("one\n")
    made = ready(pool, engine, open_one, 2)
    assert len(made) == 2
    with closing(Sandbox(open_one(pool, run_id=RUN))) as first:
        assert first.id in made
        first.run("echo hers > a; echo hers > /tmp/b; echo hers > ~/c; (sleep 600 &)")
        with closing(Sandbox(open_one(pool, run_id=RUN))) as second:
            assert second.id in made - {first.id}
            found = second.run("cat a; ls /tmp ~; ps ax | grep -c '[s]leep'")
            assert found.stdout == b"one\n/home/agent:\n\n/tmp:\n0\n"
    assert not waiting(engine)


def test_a_life_begins_when_it_is_taken(
    pool: WarmSupply, engine: Engine, open_one: OpenOne
) -> None:
    (made,) = ready(pool, engine, open_one)
    given = open_one(pool, run_id=RUN)
    with closing(Sandbox(given)) as box:
        assert box.id == made
        labels = engine.inspect(box.id)["Config"]["Labels"]
        assert int(labels[LABEL_DEADLINE]) > time.time() + given.plan.lifetime_s
        reattach.require(engine, box.container_state, RUN)
        with pytest.raises(SandboxLost, match="is not that of run"):
            reattach.require(engine, box.container_state, "another")
        (row,) = [item for item in leftovers(engine) if item.id == box.id]
        assert (row.run, row.expired) == (RUN, False)


def test_a_workspace_that_changed_meanwhile_is_not_served_stale(
    pool: WarmSupply, engine: Engine, open_one: OpenOne, workspace: Path
) -> None:
    file = workspace / "a"
    file.write_text("one")
    before = file.stat()
    (old,) = ready(pool, engine, open_one)
    # Only the content tells: same size, and the modification time put back.
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    given = open_one(pool, run_id=RUN)
    with closing(Sandbox(given)) as box:
        assert box.id != old
        assert box.read_file("a") == b"two"
        pool.expect("same", 2, lambda: open_one(pool))
        pool.opened("same", given.plan)
        assert pool.settle(LONG_S)
        with closing(Sandbox(open_one(pool, run_id=RUN))) as following:
            assert following.read_file("a") == b"two"
    pool.close()
    assert not waiting(engine)


def stricter(policy: Policy) -> Policy:
    return replace(policy, limits=replace(policy.limits, pids=policy.limits.pids - 1))


def with_variable(policy: Policy) -> Policy:
    return replace(policy, env={**policy.env, "ONE": "more"})


def without_program(policy: Policy) -> Policy:
    return replace(policy, commands=policy.commands[1:])


@pytest.mark.parametrize("change", [stricter, with_variable, without_program])
def test_another_policy_gets_none_of_them(
    change: Any, pool: WarmSupply, engine: Engine, open_one: OpenOne
) -> None:
    made = ready(pool, engine, open_one)
    policy = change(DEFAULT)
    with closing(Sandbox(open_one(pool, policy=policy, run_id=RUN))) as box:
        assert box.id not in made
    assert waiting(engine) == made


def test_a_task_with_another_budget_gets_one_of_them(
    pool: WarmSupply, engine: Engine, open_one: OpenOne
) -> None:
    made = ready(pool, engine, open_one)
    policy = replace(DEFAULT, budget=replace(DEFAULT.budget, turns=1))
    with closing(Sandbox(open_one(pool, policy=policy, run_id=RUN))) as box:
        assert {box.id} == made


def kill(engine: Engine, container: str) -> None:
    engine.kill(container)
    engine.wait(container, timeout_s=LONG_S)


def pause(_: Engine, container: str) -> None:
    # On a busy machine the engine gives up before all of it stands still.
    pausing = ["docker", "pause", container]
    until(lambda: subprocess.run(pausing, check=False, capture_output=True).returncode == 0)


def enter(_: Engine, container: str) -> None:
    subprocess.run(
        ["docker", "exec", "-d", container, "sleep", "600"], check=True, capture_output=True
    )


def widen(_: Engine, container: str) -> None:
    subprocess.run(
        ["docker", "update", "--pids-limit", "9999", container], check=True, capture_output=True
    )


def remove(engine: Engine, container: str) -> None:
    engine.remove(container)


@pytest.mark.slow
@pytest.mark.parametrize("harm", [kill, pause, enter, widen, remove])
def test_one_that_others_meddled_with_is_replaced(
    harm: Any, pool: WarmSupply, engine: Engine, open_one: OpenOne
) -> None:
    (made,) = ready(pool, engine, open_one)
    harm(engine, made)
    with closing(Sandbox(open_one(pool, run_id=RUN))) as box:
        assert box.id != made
        assert box.run("echo here").stdout == b"here\n"
    assert pool.close() == ()
    assert not mine(engine)


def test_closing_leaves_nothing_behind(
    engine: Engine, open_one: OpenOne, workspace: Path, image: str
) -> None:
    closed = replace(DEFAULT, exec_workspace=False)
    pool = WarmSupply(engine, limit=2)
    pool.expect("noexec", 5, lambda: open_one(pool, policy=closed))
    assert pool.settle(LONG_S)
    assert len(waiting(engine)) == 2, "no more than the limit, whatever is expected"
    Sandbox(open_one(pool, policy=closed, run_id=RUN)).close()
    assert pool.close() == ()
    assert not mine(engine)
    assert not engine.volumes(f"{LABEL_POOL}={supply.this_process()}")


def test_what_is_not_expected_any_more_goes(
    pool: WarmSupply, engine: Engine, open_one: OpenOne
) -> None:
    assert len(ready(pool, engine, open_one, 2)) == 2
    pool.expect("same", 0, lambda: open_one(pool))
    pool.close()
    assert not mine(engine)


def test_threads_that_ask_at_once_make_one_copy(
    engine: Engine, open_one: OpenOne, workspace: Path
) -> None:
    loads = []

    class Counting(WarmSupply):
        """Notes each look at a workspace that somebody is about to copy."""

        def copying(self, source: Any) -> Any:
            loads.append(source)
            return super().copying(source)

    (workspace / "a").write_text("one\n")
    pool = Counting(engine, limit=0)
    with ThreadPoolExecutor(4) as threads:
        boxes = [Sandbox(one) for one in threads.map(lambda _: open_one(pool), range(4))]
    images = {engine.inspect(box.id)["Image"] for box in boxes}
    for box in boxes:
        assert box.read_file("a") == b"one\n"
        box.close()
    assert len(images) == 1
    assert loads, "the copy was not there before"
    assert pool.close() == ()


_KILLED = """
import os, signal, sys
from pathlib import Path
from policies.loading import load
from sandbox.opening import opened
from sandbox.container.seal import KernelPolicy
from sandbox.engine.docker import Engine
from sandbox.pool.warm_supply import WarmSupply

engine = Engine.connect(os.environ)

def open_one(run_id=""):
    return opened.open_workspace(
        Path(sys.argv[1]), load("default"), image=sys.argv[2], run_id=run_id, may_ask=False,
        kernel_policy=KernelPolicy.REQUIRE, engine=engine, on_progress=id, supply=pool,
    )

pool = WarmSupply(engine, limit=2)
pool.expect("same", 2, open_one)
pool.settle(120)
taken = open_one(sys.argv[3])
print(taken.started.container, flush=True)
print(*(row.id for row in engine.containers("moonpool.pool") if not row.name.startswith("moonpool.")
        and row.labels["moonpool.pool"].split()[2] == str(os.getpid())), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.xdist_group("prune")  # takes away what others made ahead
def test_what_a_killed_process_made_ahead_is_prunable_at_once_and_its_run_can_go_on(
    engine: Engine, image: str, workspace: Path
) -> None:
    command = [sys.executable, "-P", "-c", _KILLED, str(workspace), image, RUN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    taken, left = done.stdout.split()
    try:
        found = {item.id: item for item in leftovers(engine)}
        assert (found[left].run, found[left].expired) == ("", True)
        assert (found[taken].run, found[taken].expired) == (RUN, False)
        removed = prune(engine, first=lambda item: item.id in {taken, left})
        assert [item.id for item in removed] == [left]
    finally:
        engine.remove(taken)
        engine.remove(left)


def test_memory_bounds_how_many_wait() -> None:
    assert affordable(1) == 1
    assert affordable(1 << 40) < 1 << 40


_LEAVING = """
import sys
from sandbox.pool.removal import BackgroundRemoval
import threading

begun = threading.Event()

def never() -> None:
    begun.set()
    threading.Event().wait()

BackgroundRemoval(1)(never)
begun.wait()
print("left", flush=True)
"""


def test_who_leaves_at_once_waits_for_no_removal() -> None:
    command = [sys.executable, "-P", "-c", _LEAVING]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONG_S)
    assert done.stdout == "left\n"
