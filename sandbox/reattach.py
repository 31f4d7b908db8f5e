"""A container that outlived its orchestrator: what must be known to work in it again.

Owns these facts as a value, to be written down while they are known, and the check that a container
is the one meant. Refuses to know where they are kept.
"""

from dataclasses import dataclass

from sandbox.container.mounts import Mount
from sandbox.container.prepared_image import PreparedImage, recalled
from sandbox.container.seal import SealReport
from sandbox.engine.docker import Engine
from sandbox.engine.labels import LABEL_RUN
from sandbox.errors import ImageUnusable, SandboxLost
from sandbox.patch.values import LeftOut
from sandbox.workspace.snapshot import Snapshot, recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One sandbox, as its record must hold it."""

    container: str
    prepared_key: str
    """Names image and guest version together: the guest in there must be the one we speak to."""
    snapshot_key: str
    """Names the workspace copy, and with it the manifest that the patch is made against."""
    since_ns: int
    """The file system's clock when the guest first began; what changed later has a later ctime."""
    mounts: tuple[Mount, ...]
    """Its own, beside what the policy makes of every container."""
    volumes: tuple[str, ...]
    """Below them; to be removed after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReattachState:
    """A `ContainerState` with what else was recorded when the sandbox was opened."""

    container_state: ContainerState
    left_out: tuple[LeftOut, ...]
    seal: SealReport
    """As it was then; a guest that starts again is checked again."""

    def snapshot(self) -> Snapshot:
        return recorded(self.container_state.snapshot_key, self.left_out)


def require(engine: Engine, state: ContainerState, run_id: str) -> None:
    """Make sure that the container stands at this engine and is that run's.

    Raises:
        ContainerGone: there is none of that id.
        SandboxLost: it is another run's.
    """
    labels = (engine.inspect(state.container).get("Config") or {}).get("Labels") or {}
    if labels.get(LABEL_RUN) != run_id:
        raise SandboxLost(f"container {state.container[:12]} is not that of run {run_id}")


def prepared(engine: Engine, state: ContainerState) -> PreparedImage:
    """The image below the container, where its guest is one that we can speak to.

    Raises:
        ImageUnusable: it is another version's, or what is known of its programs is gone.
    """
    found = recalled(engine, state.prepared_key)
    if found is None:
        raise ImageUnusable(
            "the container was opened by another version of Moonpool, or what is known of its "
            "image is gone"
        )
    return found
