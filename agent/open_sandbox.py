"""The real sandbox for a run: engine, image, container. Imported late: the docker SDK is slow."""

from pathlib import PurePath

from agent.job import Job, OnProgress
from images.build import ensure
from sandbox import reattach
from sandbox.container.seal import KernelPolicy
from sandbox.engine.docker import Engine
from sandbox.errors import ContainerGone, EngineUnavailable, SandboxError
from sandbox.reattach import ReattachState
from sandbox.sandbox import Sandbox


def open_sandbox(job: Job, on_progress: OnProgress) -> Sandbox:
    """Engine ─► image ─► snapshot and container. Raises SandboxError and its children."""
    engine = Engine.connect(job.environ)
    image = ensure(engine, job.policy.image, environ=job.environ, on_progress=on_progress)
    if job.policy.setup.makes_layer:
        from images.setup.layer import find_or_make  # noqa: PLC0415 - few policies have one

        image = find_or_make(
            engine, image, job.policy, job.workspace, environ=job.environ, on_progress=on_progress
        ).image
    name = PurePath(str(job.workspace)).name or job.workspace
    on_progress(f"copying {name} into a sealed container")
    return Sandbox.open(
        workspace=job.workspace,
        policy=job.policy,
        image=image,
        run_id=job.run_id,
        may_ask=job.may_ask,
        kernel_policy=KernelPolicy(job.kernel_policy),
        engine=engine,
        on_progress=on_progress,
    )


def reopen_sealed(job: Job, remembered: ReattachState, engine: Engine) -> tuple[Sandbox, str]:
    """The standing container of a run whose orchestrator ended, and why it can only be exported.

    The reason is empty where the agent can go on in it.

    Raises:
        ContainerGone: it stands no more.
        EngineUnavailable, SandboxError: it can't be said.
    """
    reattach.require(engine, remembered.container_state, job.run_id)
    try:
        box = Sandbox.take_up(
            remembered,
            workspace=job.workspace,
            policy=job.policy,
            run_id=job.run_id,
            engine=engine,
            may_ask=job.may_ask,
            kernel_policy=KernelPolicy(job.kernel_policy),
        )
    except (ContainerGone, EngineUnavailable):
        raise
    except SandboxError as error:
        reason = str(error)
    else:
        return box, ""
    box = Sandbox.unattended(remembered, workspace=job.workspace, policy=job.policy, engine=engine)
    return box, reason
