"""One attempt on a machine of a cluster: the worker of every engine, with what was sent for it.

The engine, the keys of models and the place for records are this machine's own. What the batch
shares is asked of its desk. The record is made here, and goes home as the answer.
"""

import copyreg
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent import VERSION
from agent.batch import failure
from agent.batch.engines.cluster.boxes import CargoBoxes
from agent.batch.engines.cluster.cargo import Cargo, PieceStore
from agent.batch.engines.cluster.link import DeskLink, DeskListener, RemoteBudget, RemoteRate
from agent.batch.engines.cluster.parcel import FileTree, read_tree, write_tree
from agent.batch.leftovers import LeftoverRemover
from agent.batch.order import AttemptEnd, AttemptOrder, WorkerServices
from agent.batch.take_up import spent_of
from agent.batch.thread_interrupts import ThreadInterrupts
from agent.batch.worker import not_begun, not_done, perform
from agent.config.values import Configuration
from agent.conversation.shared_budget import BatchAllowance, BatchBudget
from agent.lifecycle.job import Job, OnProgress, OpenBox
from agent.models.rate_limit import RequestRate
from agent.record.journal import Show
from agent.record.run_state import BudgetSpent
from agent.record.store import runs_directory
from agent.tools.sandbox_protocol import SandboxProtocol
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError, SandboxError
from sandbox.threads import Background, Recent, Same

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings

_KEPT = 16
"""Policies of orders that went, and of those that came."""
_PROCESSES = "processes"
"""Below a batch's home: which processes of this machine made sandboxes ahead for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFunctions:
    """What a machine's own environment says: functions that cross processes by their names."""

    environ: Callable[[], Mapping[str, str]]
    home: Callable[[], Path]
    """Where records of runs are kept."""
    known_secrets: Callable[[Configuration], tuple[str, ...]]
    telemetry: Callable[[Configuration], "TelemetrySettings | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlace:
    """A batch as the machines of a cluster know it."""

    settings: NodeFunctions
    name: str
    """Names it among all that a machine has seen."""
    configuration: Configuration

    @property
    def home(self) -> Path:
        """Where this machine keeps its runs until they are at home."""
        return self.settings.home() / "cluster" / self.name

    def run(self, run_id: str) -> Path:
        return runs_directory(self.home) / run_id

    @property
    def known_secrets(self) -> tuple[str, ...]:
        """This machine's."""
        return self.settings.known_secrets(self.configuration)

    def services(
        self,
        *,
        open_box: OpenBox,
        budget: BatchBudget | None,
        rate: Callable[[str], RequestRate | None],
        interrupts: ThreadInterrupts,
        show: Show,
    ) -> WorkerServices:
        """What a worker has on this machine."""
        return WorkerServices(
            environ=self.settings.environ(),
            known_secrets=self.known_secrets,
            open_box=open_box,
            budget=budget,
            rate=rate,
            interrupts=interrupts,
            show=show,
            telemetry=self.settings.telemetry(self.configuration),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOrder:
    """An order with all that another machine needs for it."""

    order: AttemptOrder
    cargo: Cargo | None
    """None: the run stands there already."""
    verifier: FileTree | None = None
    """The files of its check."""
    after: int = 0
    """So many attempts of the same kind are due where this one is made."""
    home: tuple[str, ...] = ()
    """Runs that came home, the last ones; who made one removes it."""
    place: BatchPlace
    allowed: BatchAllowance
    elapsed_s: float
    """Of the batch's time."""
    version: str = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEnd:
    """What comes home."""

    end: AttemptEnd
    run: FileTree | None
    """None: it came to no run."""


def attempt(
    remote: RemoteOrder,
    link: DeskLink,
    store: PieceStore,
    listener: DeskListener,
    boxes: CargoBoxes | None,
    *,
    node: str,
) -> RemoteEnd:
    """Make one attempt; whatever goes wrong is a value in what it gives.

    Args:
        listener: this process's.
        boxes: this process's; None: its engine does not answer.
        node: the cluster's name of this machine.
    """
    place = remote.place
    order = replace(remote.order, directory=place.home)
    if remote.version != VERSION:
        why = f"machine {node} has Moonpool {VERSION}, the batch {remote.version}: install the same"
        row = not_begun(order, why).replaced({"error_kind": failure.LASTING.kind})
        return RemoteEnd(end=AttemptEnd(result=row, failure=failure.LASTING), run=None)
    board, interrupts = listener.board, ThreadInterrupts()
    board.begin(order.run_id, order.task.id, order.attempt)

    def open_box(job: Job, on_progress: OnProgress) -> SandboxProtocol:
        if boxes is None or remote.cargo is None:
            raise EngineError("the engine of this machine does not answer, or the run is gone")
        _note_process(place, boxes)
        return boxes.open_box(job, on_progress, remote.cargo, link, store, after=remote.after)

    try:
        services = place.services(
            open_box=open_box,
            budget=RemoteBudget(link, order.run_id, remote.allowed, remote.elapsed_s),
            rate=lambda model: RemoteRate(link, order.run_id, model),
            interrupts=interrupts,
            show=board.listener(order.run_id),
        )
        removing = Background(lambda: _remove_runs(place, remote.home), name="home")
        removing.begin()
        with listener.heard_by(order.run_id, interrupts, taken_up=order.take_up):
            ended = perform(_with_verifier(order, remote.verifier), services)
        removing.wait()
        run = place.run(order.run_id)
        return RemoteEnd(end=ended, run=read_tree(run) if run.is_dir() else None)
    except Exception as error:  # noqa: BLE001 - as `perform`
        return RemoteEnd(end=not_done(order, error), run=None)
    finally:
        board.end(order.run_id)


_written = Recent[bytes](_KEPT)
_read = Recent[Policy](_KEPT)


def _reduced(policy: Policy) -> tuple[Callable[[bytes], Policy], tuple[bytes]]:
    """For `pickle`: many orders share a policy. It is written once, and is one object where they
    arrive, by which what is made of it is kept."""

    def values() -> bytes:
        return pickle.dumps({field.name: getattr(policy, field.name) for field in fields(policy)})

    return _policy, (_written.get(Same(policy), values),)


def _policy(values: bytes) -> Policy:
    return _read.get(values, lambda: Policy(**pickle.loads(values)))  # noqa: S301 - of an order


copyreg.pickle(Policy, _reduced)


def _with_verifier(order: AttemptOrder, files: FileTree | None) -> AttemptOrder:
    verifier = order.task.verifier
    if verifier is None or files is None:
        return order
    folder = order.directory / "verifiers" / order.run_id
    write_tree(files, folder)
    return replace(order, task=replace(order.task, verifier=replace(verifier, folder=folder)))


def _note_process(place: BatchPlace, boxes: CargoBoxes) -> None:
    folder = place.home / _PROCESSES
    with suppress(OSError):  # then what it leaves goes at its deadline
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / boxes.owner).touch()


# -- asked of each machine ------------------------------------------------------------------


def held_runs(
    place: BatchPlace, runs: tuple[str, ...], *, alone: bool
) -> tuple[tuple[str, BudgetSpent], ...]:
    """Those of the runs that this machine has begun, with what they used.

    Args:
        alone: nobody works for the batch now. What other runs of it left here is removed, once
            their work is exported.
    """
    if alone:
        _remove_leftovers(place, keep=runs)
    begun = [run for run in runs if place.run(run).is_dir()]
    return tuple((run, spent_of(place.run(run))) for run in begun)


def sweep(place: BatchPlace, runs: tuple[str, ...]) -> None:
    """Remove everything of runs that are at home, and the sandboxes that nobody took."""
    kept = [path.name for path in _listed(runs_directory(place.home)) if path.name not in runs]
    _remove_leftovers(place, keep=kept, home=runs)
    _remove_runs(place, runs)
    if not kept:
        shutil.rmtree(place.home, ignore_errors=True)


def _remove_runs(place: BatchPlace, runs: Sequence[str]) -> None:
    for path in _listed(runs_directory(place.home)):
        if path.name in runs:
            shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(place: BatchPlace, *, keep: Sequence[str], home: Sequence[str] = ()) -> None:
    with suppress(SandboxError):  # what stays has a deadline
        engine = Engine.connect(place.settings.environ())
        remover = LeftoverRemover(
            engine=engine,
            directory=place.home,
            environ=place.settings.environ(),
            known_secrets=place.known_secrets,
        )
        remover.sweep(keep=keep, home=home)
        for owner in _listed(place.home / _PROCESSES):
            remover.remove_ahead(owner.name)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
