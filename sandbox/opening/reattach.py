"""A container that outlived its orchestrator: what must be known to work in it again.

Owns these facts as a value, to be written down while they are known, and the way back into the
container, which has to be the one meant. Refuses to know where they are kept.
"""

from dataclasses import replace

from policies.frozen import dataclass
from policies.policy import Policy
from sandbox import supply
from sandbox.container import opening, own_files, plan
from sandbox.container.opening import ContainerState
from sandbox.container.plan import BroughtFiles
from sandbox.container.prepared_image import PreparedImage, recalled
from sandbox.container.seal import KernelPolicy, SealReport
from sandbox.engine.docker import Engine
from sandbox.errors import ImageUnusable, SandboxLost
from sandbox.opening.opened import OpenedContainer
from sandbox.patch.values import LeftOut
from sandbox.workspace.snapshot import Snapshot, recorded
from sandbox.workspace.source import Workspace, on_host


@dataclass(frozen=True, slots=True, kw_only=True)
class ReattachState:
    """A `ContainerState` with what else was recorded when the sandbox was opened."""

    container_state: ContainerState
    left_out: tuple[LeftOut, ...]
    seal: SealReport
    """What was read back when the sandbox was opened; a guest that starts again is checked anew."""

    def snapshot(self, engine: Engine) -> Snapshot:
        return recorded(engine.cache, self.container_state.snapshot_key, self.left_out)


def require(engine: Engine, state: ContainerState, run_id: str) -> None:
    """Make sure that the container stands at this engine and is that run's.

    Raises:
        ContainerGone: there is none of that id.
        SandboxLost: it is another run's.
    """
    found = engine.inspect(state.container)
    labels = (found.get("Config") or {}).get("Labels") or {}
    if supply.run_of(labels, str(found.get("Name") or "").lstrip("/")) != run_id:
        raise SandboxLost(f"container {state.container[:12]} is not that of run {run_id}")


def _prepared(engine: Engine, state: ContainerState) -> PreparedImage:
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


def take_up(
    remembered: ReattachState,
    *,
    workspace: Workspace,
    policy: Policy,
    run_id: str,
    engine: Engine,
    may_ask: bool,
    kernel_policy: KernelPolicy,
    brought: BroughtFiles | None = None,
) -> OpenedContainer:
    """Go on in a container whose orchestrator ended. Its guest is started again: files are as they
    were, processes are gone.

    Args:
        brought: what was put in it when it was opened.

    Raises:
        ContainerGone: it stands no more.
        ImageUnusable: it was opened by another version.
        KernelUnsupported, SealBroken, SandboxLost: as for `Sandbox.open`; the container stays.
    """
    known = remembered.container_state
    require(engine, known, run_id)
    copied = remembered.snapshot(engine)
    made = plan.plan(
        policy,
        _prepared(engine, known),
        snapshot_image=copied.image,
        hosts_file=str(own_files.hosts_file(engine.cache)),
        run_id=run_id,
        may_ask=may_ask,
        kernel_policy=kernel_policy,
    )
    if brought is not None:
        made = made.bringing(brought)
    return OpenedContainer(
        engine=engine,
        plan=made,
        started=opening.take_up(
            engine,
            made,
            known.container,
            spec=replace(made.spec, mounts=known.mounts),
            volumes=known.volumes,
            since_ns=known.since_ns,
        ),
        snapshot=copied,
        workspace=on_host(workspace),
        prepared_key=known.prepared_key,
    )


def unattended(
    remembered: ReattachState, *, workspace: Workspace, policy: Policy, engine: Engine
) -> OpenedContainer:
    """A standing container whose guest is not asked."""
    known = remembered.container_state
    copied = remembered.snapshot(engine)
    made = plan.plan_of_none(policy, snapshot_image=copied.image)
    return OpenedContainer(
        engine=engine,
        plan=made,
        started=opening.unattended(
            made,
            known.container,
            volumes=known.volumes,
            since_ns=known.since_ns,
            seal=remembered.seal,
        ),
        snapshot=copied,
        workspace=on_host(workspace),
        prepared_key=known.prepared_key,
    )
