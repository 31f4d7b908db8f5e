"""The real sandbox for a run: engine, image, container. Imported late: the docker SDK is slow."""

from pathlib import Path

from agent.job import Job, OnProgress
from images.build import ensure
from sandbox.box import Sandbox
from sandbox.engine import Engine
from sandbox.seal import KernelPolicy


def open_sealed(job: Job, on_progress: OnProgress) -> Sandbox:
    """Engine ─► image ─► snapshot and container. Raises SandboxError and its children."""
    engine = Engine.connect(job.environ)
    image = ensure(engine, job.policy.image, on_progress=on_progress)
    on_progress(f"copying {Path(job.workspace).name or job.workspace} into a sealed container")
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
