"""Where a batch's runs are made: the engine that ``--engine`` names."""

import os
from pathlib import Path

from agent.batch.board import Board
from agent.batch.engines.interface import AttemptEngine
from agent.batch.leftovers import LeftoverRemover
from agent.batch.plan import BatchPlan
from agent.cli.batch.options import usual_workers
from agent.config import environment
from agent.conversation.shared_budget import BatchUsed, SharedBudget, used_by
from agent.errors import UsageError, extra_missing
from agent.preparation import model as model_setup
from policies.frozen import dataclass

_LEAST_WAITING, _WAITING_SHARE = 2, 4
"""So many attempts wait on the cluster, so that no machine waits for this one to send the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunBatch:
    """What an engine makes runs of."""

    plan: BatchPlan
    workers: int
    budget: SharedBudget
    board: Board
    interrupted: frozenset[str]
    """Ids of the runs that an ended process left, to be gone on with."""


class ThisMachine:
    """Runs are made by the engine of this machine."""

    def usual_workers(self) -> tuple[int, str]:
        """How many run at once where nobody says it, and why, for a person."""
        return usual_workers()

    def open(self, batch: BegunBatch) -> AttemptEngine:
        from agent.batch.engines.local import LocalEngine
        from agent.batch.sandbox_pool import SandboxPool
        from agent.models.rate_limit import ModelRates

        environ = environment.environ()
        configuration = batch.plan.configuration
        secrets = model_setup.known_secrets(configuration)
        pool = SandboxPool(environ, jobs=batch.workers)
        leftovers = LeftoverRemover(
            engine=pool.engine,
            directory=batch.plan.directory,
            environ=environ,
            known_secrets=secrets,
        )
        leftovers.sweep(keep=batch.interrupted)
        return LocalEngine(
            environ=environ,
            known_secrets=secrets,
            boxes=pool,
            budget=batch.budget,
            rates=ModelRates(),
            board=batch.board,
            telemetry=model_setup.telemetry(configuration),
            sweep=lambda: leftovers.sweep(keep=batch.interrupted),
        )


class RayMachines:
    """A Ray cluster, to which this process is connected."""

    def __init__(self, address: str, *, attempts: int) -> None:
        """Raises UsageError: nothing answers there, or it can't be used."""
        _prepare_environment()
        from agent.batch.engines.cluster import ray_cluster

        self._room = ray_cluster.connect(address, attempts=attempts)

    def usual_workers(self) -> tuple[int, str]:
        waiting = max(_LEAST_WAITING, self._room // _WAITING_SHARE)
        words = f"room for {self._room} on the cluster's machines, {waiting} waiting there"
        return self._room + waiting, words

    def open(self, batch: BegunBatch) -> AttemptEngine:
        from agent.batch.engines.cluster import ray_cluster
        from agent.batch.engines.cluster.engine import ClusterEngine, batch_name
        from agent.batch.engines.cluster.node import BatchPlace, NodeFunctions

        place = BatchPlace(
            settings=NodeFunctions(
                environ=environment.environ,
                home=environment.home,
                known_secrets=model_setup.known_secrets,
                telemetry=model_setup.telemetry,
            ),
            name=batch_name(batch.plan.directory),
            configuration=batch.plan.configuration,
        )
        cluster = ray_cluster.RayCluster()
        begun = tuple(sorted(batch.interrupted))
        held = cluster.holders(place, begun, alone=True) if begun else {}
        there, used = used_by(spent for _, spent in held.values()), batch.budget.spent
        used = BatchUsed(usd=used.usd + there.usd, tokens=used.tokens + there.tokens)
        return ClusterEngine(
            cluster=cluster,
            desk=cluster.open_desk(batch.budget.allowed, used),
            store=cluster.store,
            place=place,
            budget=batch.budget,
            board=batch.board,
            held=held,
            at_once=min(batch.workers, self._room),
        )


AttemptPlace = ThisMachine | RayMachines
"""Where runs are made."""


def _prepare_environment() -> None:
    """Say what Ray reads when it is imported.

    Ray makes a token's file by itself and has clusters ask for it from then on, but does not send
    it to an address.
    """
    said = os.environ
    said["RAY_USAGE_STATS_ENABLED"] = "0"
    named = said.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else Path.home() / ".ray" / "auth_token"
    if said.get("RAY_AUTH_TOKEN") or file.is_file():
        said.setdefault("RAY_AUTH_MODE", "token")


def place_of(engine: str, address: str | None, *, attempts: int) -> AttemptPlace:
    """The place that ``--engine`` and ``--ray-address`` name.

    Args:
        attempts: how many there are to be made; those of a cluster get ready for them from now on.

    Raises:
        UsageError: they don't go together, or Ray is not there.
    """
    if engine != "ray":
        if address is not None:
            raise UsageError("--ray-address goes with --engine ray")
        return ThisMachine()
    if address is None or address in {"auto", "local"} or address.startswith("ray://"):
        raise UsageError(
            "--engine ray needs --ray-address HOST:PORT of a cluster of which this machine is one: "
            "none is looked for, and none is started (docs/scaling.md)"
        )
    try:
        return RayMachines(address, attempts=attempts)
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        what = "--engine ray needs Ray, here and on every machine"
        raise extra_missing(what, "ray") from error
