"""What runs of a batch left at the engine: found by the run, exported where it must be, removed.

Owns which containers and volumes are a run's. Whether a run is still to be gone on with is said by
whoever asks (`agent.batch.take_up`).
"""

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

from agent.past_runs.rescue import KeptContainer, Rescuer
from agent.record.store import runs_directory
from policies.frozen import dataclass
from sandbox import supply
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_DEADLINE,
    LABEL_MANAGED,
    LABEL_POOL,
    LABEL_RUN,
    ContainerInfo,
)
from sandbox.errors import EngineError, SandboxError
from sandbox.opening.stored import LeftoverKind
from sandbox.prune import Leftover


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverRemover:
    """For one batch, by the process that owns its folder."""

    engine: Engine
    directory: Path
    environ: Mapping[str, str]
    known_secrets: tuple[str, ...]

    def close(self, run_id: str) -> None:
        """Export what stands of a run, and remove it.

        Raises:
            SandboxError: it can't be exported, or the engine fails: then it stays.
        """
        for row in self._standing():
            if _run_of(row) == run_id:
                self._export(row)
        self.remove(run_id)

    def remove(self, run_id: str, *, but: str = "") -> None:
        """Remove what a run has beside one container with its volumes: that of its verification,
        or all. What can't be removed is `moonpool prune`'s."""
        for row in self._standing():
            if _run_of(row) == run_id and row.id != but:
                self._removed(row)
        self._remove_volumes({run_id})

    def sweep(self, *, keep: Collection[str], home: Collection[str] = ()) -> None:
        """Remove what processes left that ended: containers that no run took, and those of runs
        that are over, once their work is exported.

        Args:
            keep: ids of runs that are gone on with.
            home: ids of runs of which nothing is to be exported.
        """
        try:
            runs = {path.name for path in runs_directory(self.directory).iterdir()} - set(keep)
        except OSError:
            runs = set()
        runs |= set(home)
        for row in self._standing():
            run_id = _run_of(row)
            if run_id in runs:
                with contextlib.suppress(SandboxError):
                    if run_id not in home:
                        self._export(row)
                    self._removed(row)
            elif not run_id and supply.is_left(row.labels):
                self._removed(row)
        self._remove_volumes(runs)

    def remove_ahead(self, owner: str) -> None:
        """Remove what a process made ahead and nobody took, whether it still runs or not."""
        for row in self._standing():
            if row.labels.get(LABEL_POOL) == owner and not _run_of(row):
                self._removed(row)

    def _standing(self) -> list[ContainerInfo]:
        return self.engine.containers(LABEL_DEADLINE)

    def _export(self, row: ContainerInfo) -> None:
        rescue = Rescuer(
            engine=self.engine,
            home=self.directory,
            environ=self.environ,
            known_secrets=self.known_secrets,
            end_running=False,
        )
        run_id = _run_of(row)
        item = Leftover(
            kind=LeftoverKind.CONTAINER, id=row.id, run=run_id, state=row.state, expired=True
        )
        match rescue(item):
            case KeptContainer(reason=reason):
                raise SandboxError(f"what run {run_id} did can't be exported: {reason}")
            case _:
                pass

    def _removed(self, row: ContainerInfo) -> None:
        with contextlib.suppress(EngineError):
            self.engine.remove(row.id)

    def _remove_volumes(self, runs: Collection[str]) -> None:
        for volume in self.engine.volumes(LABEL_MANAGED):
            if volume.labels.get(LABEL_RUN) in runs or supply.is_left(volume.labels):
                # The engine refuses what a container still has.
                with contextlib.suppress(EngineError):
                    self.engine.remove_volume(volume.name)


def _run_of(row: ContainerInfo) -> str:
    return supply.run_of(row.labels, row.name)
