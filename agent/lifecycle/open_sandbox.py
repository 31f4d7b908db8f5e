"""The real sandbox for a run: engine, image, container. Imported late: the docker SDK is slow."""

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING

from agent.lifecycle.job import Job, OnProgress
from images.build import ensure
from policies.policy import Policy
from sandbox.container.prepared_image import PreparedImage
from sandbox.container.seal import KernelPolicy
from sandbox.engine.docker import Engine
from sandbox.errors import ContainerGone, EngineUnavailable, SandboxError, WorkspaceError
from sandbox.opening import opened
from sandbox.opening.opened import OpenedContainer
from sandbox.sandbox import Sandbox
from sandbox.supply import DIRECT, ContainerSupply
from sandbox.workspace.snapshot import Snapshot
from sandbox.workspace.source import Workspace

if TYPE_CHECKING:
    from sandbox.opening.reattach import ReattachState


def open_sandbox(job: Job, on_progress: OnProgress) -> Sandbox:
    """Engine ─► image ─► snapshot and container. Raises SandboxError and its children."""
    engine = Engine.connect(job.environ)
    image = _image(job, engine, on_progress)
    name = PurePath(str(job.workspace)).name or job.workspace
    on_progress(f"copying {name} into a sealed container")
    return Sandbox(opened_for(job, engine, image, on_progress))


def opened_for(
    job: Job,
    engine: Engine,
    image: str,
    on_progress: OnProgress,
    *,
    run_id: str | None = None,
    supply: ContainerSupply = DIRECT,
    carried: Callable[[PreparedImage], Snapshot] | None = None,
) -> OpenedContainer:
    """A sealed container as a job wants it; arguments and errors as `opened.open_workspace`.

    Args:
        run_id: in place of the job's own.
    """
    return opened.open_workspace(
        job.workspace,
        job.policy,
        image=image,
        run_id=job.run_id if run_id is None else run_id,
        may_ask=job.may_ask,
        kernel_policy=KernelPolicy(job.kernel_policy),
        engine=engine,
        on_progress=on_progress,
        supply=supply,
        carried=carried,
        brought=job.brought,
    )


def open_recorded(
    job: Job, remembered: "ReattachState", base_tree: str, on_progress: OnProgress
) -> Sandbox:
    """A fresh container with what a run began with, whatever stands in its workspace today.

    From the copy that the engine keeps of it; else from the workspace, which must be that still.

    Args:
        base_tree: tree id of what the run began with.

    Raises:
        WorkspaceError: neither is to be had.
        SandboxError: the container can't be opened.
    """
    engine = Engine.connect(job.environ)
    copy = remembered.snapshot(engine)
    # What a set-up prepares is done to a copy: one that it was done to already is none.
    setup = job.policy.setup
    if setup.makes_layer or setup.prepare or engine.image(copy.image) is None:
        box = open_sandbox(job, on_progress)
    else:
        on_progress("opening a sealed container on the copy that the run began with")
        image = _image(job, engine, on_progress)
        box = Sandbox(opened_for(job, engine, image, on_progress, carried=lambda _below: copy))
    try:
        if box.base_tree != base_tree:
            raise WorkspaceError(
                "the engine keeps no copy of what the run began with, and the workspace is not "
                "that any more"
            )
    except BaseException:
        box.close()
        raise
    return box


def _image(job: Job, engine: Engine, on_progress: OnProgress) -> str:
    return image_for(job.policy, job.workspace, engine, on_progress=on_progress)


def image_for(
    policy: Policy,
    workspace: Workspace,
    engine: Engine,
    *,
    on_progress: OnProgress,
    ensured: str | None = None,
) -> str:
    """What a container is made from, below the workspace; made where it is missing.

    Args:
        ensured: what the policy's image is called in the engine, where that is known.
    """
    image = ensured or ensure(engine, policy.image, on_progress=on_progress)
    if not policy.setup.makes_layer:
        return image
    from images.setup.layer import find_or_make  # noqa: PLC0415 - few policies have one

    return find_or_make(engine, image, policy, workspace, on_progress=on_progress).image


def reopen_sealed(job: Job, remembered: "ReattachState", engine: Engine) -> tuple[Sandbox, str]:
    """The standing container of a run whose orchestrator ended, and why it can only be exported.

    The reason is empty where the agent can go on in it.

    Raises:
        ContainerGone: it stands no more.
        EngineUnavailable, SandboxError: it can't be said.
    """
    from sandbox.opening import reattach  # noqa: PLC0415 - few runs are taken up

    reattach.require(engine, remembered.container_state, job.run_id)
    try:
        taken = reattach.take_up(
            remembered,
            workspace=job.workspace,
            policy=job.policy,
            run_id=job.run_id,
            engine=engine,
            may_ask=job.may_ask,
            kernel_policy=KernelPolicy(job.kernel_policy),
            brought=job.brought,
        )
    except (ContainerGone, EngineUnavailable):
        raise
    except SandboxError as error:
        reason = str(error)
    else:
        return Sandbox(taken), ""
    box = Sandbox.unattended(remembered, workspace=job.workspace, policy=job.policy, engine=engine)
    return box, reason
