"""The one module that imports Ray: a cluster's machines, its object store, and the batch's desk.

What of Ray would surprise is settled here, once:
- A cluster is only ever the one whose address is named: none is looked for, and none is started.
- Workers look for modules first in the folder in which a driver connected, and that may be an
  untrusted tree: so it connects in the root directory.
- Nothing is uploaded: every machine has its own installation of the same version.
- What workers print stays in their machines' logs.
- A task that takes no CPU leaves a machine, in Ray's eyes, idle while it works: with each that is
  asked for another process is started ahead, and stays unused. So an attempt takes its share.
- Ray repeats nothing by itself, for what an attempt did can't be repeated.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, cast

import ray
from ray import exceptions
from ray._private import worker as ray_worker
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from agent.batch.engines.cluster.boxes import CargoBoxes
from agent.batch.engines.cluster.cargo import PieceStore
from agent.batch.engines.cluster.desk import BatchDesk
from agent.batch.engines.cluster.engine import MachineLost
from agent.batch.engines.cluster.link import DeskLink, DeskListener
from agent.batch.engines.cluster.node import (
    BatchPlace,
    RemoteEnd,
    RemoteOrder,
    attempt,
    held_runs,
    sweep,
)
from agent.conversation.shared_budget import BatchAllowance, BatchUsed
from agent.errors import RecordError, UsageError
from agent.record.run_state import BudgetSpent
from agent.untrusted_text import one_line
from policies.frozen import dataclass
from sandbox.errors import SandboxError

RESOURCE = "sandbox"
"""What a machine says it has as many of as it may run attempts at once."""
_AT_ONCE = 1 << 20
"""Calls that wait at the desk."""
_LOG = logging.getLogger("moonpool.cluster")
_WIDTH = 500
_GLANCE_S = 0.25
_CONNECT_S = 10.0
_ANSWER_S = 60.0
"""For a machine that is asked what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPieces:
    """A `PieceStore`: Ray's object store."""

    def put(self, piece: bytes, /) -> object:
        return ray.put(piece)

    def get(self, name: object, /) -> bytes:
        try:
            return cast("bytes", ray.get(cast("Any", name)))
        except exceptions.RayError as error:
            raise RecordError(f"what was sent is gone from the cluster: {error!s:.200}") from error


class RayDesk:
    """A `DeskLink`: the desk is an actor. Crosses processes."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def ask(self, method: str, *values: object, until: Callable[[], bool] | None = None) -> object:
        try:
            answer = getattr(self._actor, method).remote(*values)
            while until is not None:
                ready, _ = ray.wait([answer], timeout=_GLANCE_S)
                if ready:
                    break
                if until():
                    return None
            return ray.get(answer)
        except exceptions.RayError as error:
            raise RecordError(
                f"the batch's own process, or its machine, is gone: {error!s:.200}"
            ) from error

    def tell(self, method: str, *values: object) -> None:
        with suppress(exceptions.RayError):
            getattr(self._actor, method).remote(*values)


class RayCluster:
    """Fits `agent.batch.engines.cluster.engine.Cluster`. One to a process."""

    def __init__(self) -> None:
        self._actor: Any = None
        self._lock = threading.Lock()
        self._tasks: dict[str, Any] = {}
        self._attempt = ray.remote(_attempt)
        self._costs = _costs()

    def open_desk(self, allowed: BatchAllowance, used: BatchUsed) -> DeskLink:
        """The batch's desk, in a process of this machine that ends with this one."""
        self._actor = (
            ray.remote(BatchDesk)
            .options(
                num_cpus=0,
                max_restarts=0,
                max_concurrency=_AT_ONCE,
                scheduling_strategy=_only_on(ray.get_runtime_context().get_node_id()),
            )
            .remote(allowed, used)
        )
        return RayDesk(self._actor)

    @property
    def store(self) -> PieceStore:
        return RayPieces()

    def start(self, remote: RemoteOrder, *, node: str = "") -> "Future[RemoteEnd]":
        run_id = remote.order.run_id
        task = self._attempt.options(
            name=f"moonpool {run_id}",
            scheduling_strategy=_only_on(node) if node else "SPREAD",
            **self._costs,
        ).remote(remote, self._actor)
        with self._lock:
            self._tasks[run_id] = task
        made: Future[RemoteEnd] = Future()

        def over(future: "Future[RemoteEnd]") -> None:
            with self._lock:
                self._tasks.pop(run_id, None)
            try:
                made.set_result(future.result())
            except exceptions.RayError as error:
                made.set_exception(MachineLost(_words(error)))
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                made.set_exception(error)

        task.future().add_done_callback(over)
        return made

    def end(self, run_id: str) -> None:
        with self._lock:
            task = self._tasks.get(run_id)
        if task is not None:
            # Without force Ray waits for what blocks.
            ray.cancel(task, force=True)

    def holders(
        self, place: BatchPlace, runs: tuple[str, ...], *, alone: bool
    ) -> Mapping[str, tuple[str, BudgetSpent]]:
        return {
            run: (node, spent)
            for node, held in self._on_each(held_runs, place, runs, alone=alone).items()
            for run, spent in cast("tuple[tuple[str, BudgetSpent], ...]", held)
        }

    def sweep(self, place: BatchPlace, runs: tuple[str, ...]) -> tuple[str, ...]:
        answered = self._on_each(sweep, place, runs)
        return tuple(node for node in _machines() if node not in answered)

    def _on_each(
        self, work: Callable[..., object], *values: object, **named: object
    ) -> dict[str, object]:
        """What a function gives on each machine that answers in time."""
        task = ray.remote(work)
        asked = {
            task.options(num_cpus=0, max_retries=0, scheduling_strategy=_only_on(node)).remote(
                *values, **named
            ): node
            for node in _machines()
        }
        if not asked:
            return {}
        ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)
        for one in late:
            ray.cancel(one, force=True)
        answers: dict[str, object] = {}
        for one in ready:
            with suppress(exceptions.RayError):
                answers[asked[one]] = ray.get(one)
        return answers

    def close(self) -> None:
        ray.shutdown()


def connect(address: str, *, attempts: int) -> int:
    """Connect this process to a cluster; gives how many attempts it may run at once.

    Machines begin to start their processes: one for each of the `attempts` that there is room for.

    Raises:
        UsageError: nothing answers there, or none of its machines runs attempts.
    """
    _require_listener(address)
    try:
        with _in_nobodys_directory():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                namespace="moonpool",
            )
        # Ray tells of lost machines on standard output, whatever `log_to_driver` says.
        ray_worker.print_to_stdstream = _to_our_log
    except (ConnectionError, RuntimeError, ValueError, exceptions.RayError) as error:
        raise UsageError(
            f"--ray-address {address}: {_words(error)}; this machine has to be one of the "
            "cluster's, with its token where it asks for one (docs/scaling.md)"
        ) from error
    room = int(sum(machine[RESOURCE] for machine in _machines().values()))
    if room < 1:
        ray.shutdown()
        raise UsageError(
            f"--ray-address {address}: no machine there runs attempts: start Ray on each that "
            f"may with --resources='{{\"{RESOURCE}\": 8}}', for eight at once"
        )
    ready = ray.remote(_ready).options(scheduling_strategy="SPREAD", **_costs())
    for _ in range(min(room, attempts)):
        ready.remote()
    return room


def _ready() -> None:
    """Whoever does this has imported what attempts need."""


def _to_our_log(data: Mapping[str, Any], **_: object) -> None:
    """In place of Ray's own, which prints."""
    for line in data.get("lines", ()):
        _LOG.info("%s", one_line(str(line), _WIDTH))


def _require_listener(address: str) -> None:
    """Ray itself asks for minutes where nobody listens."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"--ray-address {address}: nobody answers there ({error}): name HOST:PORT as "
            "`ray start --head` prints it"
        ) from error


def _attempt(remote: RemoteOrder, actor: Any) -> RemoteEnd:
    node = ray.get_runtime_context().get_node_id()
    link = RayDesk(actor)
    boxes = _boxes(remote.place.settings.environ)
    return attempt(remote, link, RayPieces(), _listener(link), boxes, node=node)


# Of this worker process, which makes many attempts of one batch, one after the other.
_kept: list[CargoBoxes] = []
_listeners: list[DeskListener] = []


def _listener(link: DeskLink) -> DeskListener:
    if not _listeners:
        _listeners.append(DeskListener(link))
    return _listeners[0]


def _boxes(environ: Callable[[], Mapping[str, str]]) -> CargoBoxes | None:
    if not _kept:
        with suppress(SandboxError):  # whoever opens one says so
            _kept.append(CargoBoxes(environ()))
    return _kept[0] if _kept else None


def _only_on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


def _machines() -> dict[str, dict[str, float]]:
    """What each machine has that may run attempts."""
    return {
        row["NodeID"]: row["Resources"]
        for row in cast("list[dict[str, Any]]", ray.nodes())
        if row["Alive"] and row.get("Resources", {}).get(RESOURCE)
    }


def _costs() -> dict[str, Any]:
    """What an attempt takes of a machine, wherever it is made. Ray does not repeat it."""
    shares = [machine.get("CPU", 0) / machine[RESOURCE] for machine in _machines().values()]
    return {"resources": {RESOURCE: 1}, "num_cpus": min([1, *shares]), "max_retries": 0}


def _words(error: Exception) -> str:
    """Ray's messages have many lines; the first that says something is enough."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__


@contextmanager
def _in_nobodys_directory() -> Generator[None]:
    before = os.getcwd()
    os.chdir(os.sep)
    try:
        yield
    finally:
        os.chdir(before)
