"""Attempts on a cluster: each is sent where there is room, and what comes home is put in its place.

Owns what becomes of an attempt whose machine, or process, is lost: it is taken up where it stood if
that can be, and fails by its environment if not. Refuses to know what a cluster is made of
(`ray_cluster`).
"""

import atexit
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Protocol, cast

from agent.batch.board import Board
from agent.batch.engines.cluster.cargo import PieceStore
from agent.batch.engines.cluster.desk import DeskNews
from agent.batch.engines.cluster.link import DeskLink
from agent.batch.engines.cluster.loading import CargoLoader
from agent.batch.engines.cluster.node import BatchPlace, RemoteEnd, RemoteOrder
from agent.batch.engines.cluster.parcel import read_tree, write_tree
from agent.batch.engines.interface import Report
from agent.batch.failure import OF_BATCH
from agent.batch.order import AttemptEnd, AttemptOrder
from agent.batch.thread_interrupts import ThreadInterrupts
from agent.batch.worker import not_begun, not_done, perform
from agent.conversation.shared_budget import BatchUsed, SharedBudget
from agent.errors import RecordError
from agent.lifecycle.job import Job, OnProgress
from agent.record.run_state import BudgetSpent
from agent.record.store import EVENTS, runs_directory
from sandbox.errors import SandboxError, SandboxLost

_NAMED = 64
"""So many runs that came home an order names."""
_THREADS = 4
"""So many read workspaces, or write what came home, at a time."""
_NO_DESK = "the process that keeps the batch's budget and rates is gone: the same command goes on"
_FORCE_S = 180.0
"""How long a run that is told to end at once may take, before its process is ended."""


class MachineLost(Exception):
    """The process that made an attempt ended without an answer, or its machine did."""


class Cluster(Protocol):
    """Machines on which `node.attempt` runs."""

    def start(self, remote: RemoteOrder, *, node: str = "") -> "Future[RemoteEnd]":
        """Make an attempt where there is room, or on one machine alone. The future raises
        MachineLost."""

    def end(self, run_id: str) -> None:
        """End the process of a run, whatever it does."""

    def holders(
        self, place: BatchPlace, runs: tuple[str, ...], *, alone: bool
    ) -> Mapping[str, tuple[str, BudgetSpent]]:
        """The machine on which each of the runs was begun, as far as one says so, and what it has
        used. `alone`: see `held_runs`."""

    def sweep(self, place: BatchPlace, runs: tuple[str, ...]) -> tuple[str, ...]:
        """Have every machine forget runs that are at home; gives which did not answer."""

    def close(self) -> None:
        """Leave it."""


class ClusterEngine:
    """Fits `agent.batch.engines.interface.AttemptEngine`."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        desk: DeskLink,
        store: PieceStore,
        place: BatchPlace,
        budget: SharedBudget,
        board: Board,
        held: Mapping[str, tuple[str, BudgetSpent]],
        at_once: int,
    ) -> None:
        """Args:
        at_once: how many attempts are made at a time.
        budget: its time counts; its sums are the desk's.
        held: where runs stand that an ended process began, as `Cluster.holders` says it.
        """
        self._cluster = cluster
        self._desk = desk
        self._place = place
        self._budget = budget
        self._board = board
        self._held = held
        self._at_once = at_once
        self._loader = CargoLoader(store, place.settings.environ())
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="cargo")
        self._lock = threading.Lock()
        self._desk_is_gone = False
        self._home: list[str] = []
        self._over: list[str] = []
        """Runs that the desk may forget, at the next occasion."""
        self._here: dict[str, ThreadInterrupts] = {}
        self._after: dict[str, int] = {}
        """By run, how many of its kind come after it."""
        self._force_at: dict[str, float] = {}
        self._closed = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="desk", daemon=True)
        self._listener.start()
        # Ray ends a process that asks something of it after it was left, whatever its exit code.
        atexit.register(self._listen_no_more)

    # -- an `AttemptEngine` -----------------------------------------------------------------

    def submit(self, order: AttemptOrder, report: Report) -> None:
        # Whoever makes the last ones gets no further one.
        after = self._after.get(order.run_id, 0) // self._at_once
        self._threads.submit(self._send, order, report, after=after)

    def expect(self, orders: Sequence[AttemptOrder]) -> None:
        """See `AttemptEngine.expect`: whoever makes an attempt makes the next sandbox ready."""
        counts: Counter[object] = Counter()
        self._after = {}
        for order in reversed(orders):
            self._after[order.run_id] = counts[_kind(order)]
            counts[_kind(order)] += 1

    def interrupt(self, run_id: str, name: str) -> None:
        self._desk.tell("tell", run_id, name)
        with self._lock:
            here = self._here.get(run_id)
        if here is not None:
            here.receive(name)
        if name != "SIGINT":
            with self._lock:
                self._force_at.setdefault(run_id, time.monotonic() + _FORCE_S)

    def _listen_no_more(self) -> None:
        self._closed.set()
        self._listener.join()

    def close(self) -> tuple[str, ...]:
        self._closed.set()
        silent = self._cluster.sweep(self._place, tuple(self._home))
        self._listen_no_more()
        self._threads.shutdown(wait=True)
        self._cluster.close()
        return tuple(
            f"machine {node} does not answer: what it still has of this batch is removed by the "
            "next one from this folder, or by `moonpool prune` there"
            for node in silent
        )

    # -- sending ----------------------------------------------------------------------------

    def _send(self, order: AttemptOrder, report: Report, *, after: int) -> None:
        try:
            if self._desk_is_gone:
                raise RecordError(_NO_DESK)
            if order.take_up:
                node, _ = self._held.get(order.run_id, ("", None))
                if not node:
                    self._report(order, self._not_held(order), report)
                    return
                remote = self._remote(order)
            else:
                sent, cargo = self._loader.loaded(order)
                node = ""
                remote = replace(self._remote(sent), cargo=cargo, after=after)
            self._start(order, remote, node, report, again=not order.take_up)
        except Exception as error:  # noqa: BLE001 - as `agent.batch.worker.perform`
            self._report(order, not_done(order, error), report)

    def _not_held(self, order: AttemptOrder) -> AttemptEnd:
        """Of a run that no machine holds: it is at home already, or was made here, or is lost."""
        if not (runs_directory(order.directory) / order.run_id / EVENTS).exists():
            why = "the machine that it ran on is not there"
            return AttemptEnd(result=not_begun(order, why), begin_again=True)

        def nothing(_job: Job, _on_progress: OnProgress) -> NoReturn:
            raise SandboxLost("a run that is gone on with has its sandbox")

        interrupts = ThreadInterrupts()
        with self._lock:
            self._here[order.run_id] = interrupts
        services = self._place.services(
            open_box=nothing,
            budget=self._budget,
            rate=lambda _: None,
            interrupts=interrupts,
            show=self._board.listener(order.run_id),
        )
        return perform(order, services)

    def _remote(self, order: AttemptOrder) -> RemoteOrder:
        verifier = order.task.verifier
        return RemoteOrder(
            order=order,
            cargo=None,
            verifier=None if verifier is None else read_tree(verifier.folder),
            place=self._place,
            allowed=self._budget.allowed,
            elapsed_s=self._budget.spent.seconds,
            home=tuple(self._home[-_NAMED:]),
        )

    def _start(
        self, order: AttemptOrder, remote: RemoteOrder, node: str, report: Report, *, again: bool
    ) -> None:
        """`again`: where its process is lost, it is taken up on the same machine."""
        # Until its machine says more: other programs may hold what it needs there.
        self._board.put(order.run_id, doing="waits for room on the cluster")

        def over(future: "Future[RemoteEnd]") -> None:
            self._threads.submit(self._arrived, order, remote, future, report, again=again)

        self._cluster.start(remote, node=node).add_done_callback(over)

    # -- coming home ------------------------------------------------------------------------

    def _arrived(
        self,
        order: AttemptOrder,
        remote: RemoteOrder,
        future: "Future[RemoteEnd]",
        report: Report,
        *,
        again: bool,
    ) -> None:
        try:
            came = future.result()
            if came.run is not None:
                write_tree(came.run, runs_directory(order.directory) / order.run_id)
                self._home.append(order.run_id)
            end = came.end
        except MachineLost as lost:
            node = self._holder(order.run_id) if again else ""
            if node:
                taken_up = replace(remote, order=replace(remote.order, take_up=True))
                self._start(order, taken_up, node, report, again=False)
                return
            end = not_done(order, SandboxLost(f"{lost}: what it had done there is lost"))
        except Exception as error:  # noqa: BLE001 - as `agent.batch.worker.perform`
            end = not_done(order, error)
        self._report(order, end, report)

    def _report(self, order: AttemptOrder, end: AttemptEnd, report: Report) -> None:
        with self._lock:
            self._force_at.pop(order.run_id, None)
            self._here.pop(order.run_id, None)
        if end.result.turns:
            self._over.append(order.run_id)
        else:
            billed = self._forgotten(order.run_id)
            if billed.tokens:
                # Its record is lost, and its bill is not.
                lost = {"usd": billed.usd, "input_tokens": billed.tokens}
                end = replace(end, result=end.result.replaced(lost))
        if self._desk_is_gone and end.failure is not None and end.failure.again:
            said = {"error_kind": OF_BATCH.kind, "detail": _NO_DESK}
            end = replace(end, failure=OF_BATCH, result=end.result.replaced(said))
        report(order, end)

    def _holder(self, run_id: str) -> str:
        """The machine on which a run was begun; empty where none says so, or nothing is gone on
        with."""
        if self._desk_is_gone:
            return ""
        held = self._cluster.holders(self._place, (run_id,), alone=False)
        return held[run_id][0] if run_id in held else ""

    def _forgotten(self, run_id: str) -> BatchUsed:
        """What the desk was told that a run was billed; its process may end as any other."""
        try:
            return cast("BatchUsed", self._desk.ask("forget", run_id))
        except RecordError:
            self._desk_is_gone = True
            return BatchUsed()

    # -- while they run ---------------------------------------------------------------------

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                over = tuple(self._over.pop() for _ in range(len(self._over)))
                news = self._desk.ask("news", over, until=self._closed.is_set)
            except RecordError:
                self._desk_is_gone = True
                return
            if isinstance(news, DeskNews):
                for run_id, progress in news.progress.items():
                    self._board.put(
                        run_id, turn=progress.turn, doing=progress.doing, usd=progress.usd
                    )
                for name in news.wanted:
                    self._threads.submit(self._deliver, name)
            self._end_the_deaf()

    def _deliver(self, name: str) -> None:
        try:
            what: object = self._loader.image_parcel(name)
        except (SandboxError, RecordError) as error:
            what = str(error)
        self._desk.tell("deliver", name, what)

    def _end_the_deaf(self) -> None:
        """End processes that did not end when they were told to; what they leave is taken up."""
        now = time.monotonic()
        with self._lock:
            due = [run for run, at in self._force_at.items() if at <= now]
            for run in due:
                del self._force_at[run]
        for run in due:
            self._cluster.end(run)


def batch_name(directory: Path) -> str:
    """Names a batch among all that a machine has seen, by its folder and where that is."""
    place = f"{os.uname().nodename} {directory}"
    return hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _kind(order: AttemptOrder) -> object:
    """What orders have in common whose sandboxes are alike, as far as it is known before."""
    return str(order.task.workspace), id(order.policy)
