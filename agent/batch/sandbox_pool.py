"""The sandboxes of a batch: opened from containers that were made ahead, removed behind it."""

from collections.abc import Hashable, Mapping

from agent.lifecycle.job import Job, OnProgress
from agent.lifecycle.open_sandbox import image_for, opened_for
from images.build import ensure
from sandbox.container.plan import whole_text
from sandbox.engine.docker import Engine
from sandbox.errors import SandboxError
from sandbox.opening.opened import OpenedContainer
from sandbox.pool.warm_supply import WarmSupply
from sandbox.sandbox import Sandbox


class SandboxPool:
    """For all runs of one process, in any number of threads. `open_box` is an `OpenBox`."""

    def __init__(self, environ: Mapping[str, str], *, jobs: int) -> None:
        """`jobs`: how many runs there are at once.

        Raises:
            EngineUnavailable: no engine answers.
        """
        self.engine = Engine.connect(environ)
        self._supply = WarmSupply(self.engine, limit=jobs)
        self._images: dict[Hashable, str] = {}

    def open_box(self, job: Job, on_progress: OnProgress) -> Sandbox:
        """A sandbox for this run alone; errors as for `open_sandbox`."""
        try:
            found = self._opened(job, on_progress, run_id=job.run_id)
        except SandboxError:
            # What an image was may be what is wrong.
            self._images.clear()
            raise
        self._supply.opened(kind_of(job), found.plan)
        return Sandbox(found)

    def expect(self, job: Job, count: int) -> None:
        """Say that so many runs more of the same workspace, policy and image come next.

        The first of them need not have been opened. Its own `open_box` counts as one.
        """
        self._supply.expect(
            kind_of(job), count, lambda: self._opened(job, lambda _: None, run_id="")
        )

    def settle(self, timeout_s: float) -> bool:
        """Wait until what is expected stands; False: time is up. Nobody has to."""
        return self._supply.settle(timeout_s)

    def close(self) -> tuple[str, ...]:
        """Remove what nobody took, and wait until what was closed is gone; gives what is not, in
        words. Sandboxes that are still open stay their runs'."""
        return self._supply.close()

    def _opened(self, job: Job, on_progress: OnProgress, *, run_id: str) -> OpenedContainer:
        image = self._image(job, on_progress)
        supply = self._supply
        return opened_for(job, self.engine, image, on_progress, run_id=run_id, supply=supply)

    def _image(self, job: Job, on_progress: OnProgress) -> str:
        """What the policy's image is called in the engine; looked up once in a batch."""
        name = job.policy.image
        image = self._images.get(name)
        if image is None:
            image = ensure(self.engine, name, on_progress=on_progress)
            self._images[name] = image
        return image_for(
            job.policy,
            job.workspace,
            self.engine,
            on_progress=on_progress,
            ensured=image,
        )


def kind_of(job: Job) -> tuple[Hashable, ...]:
    """What jobs have in common whose sandboxes are alike."""
    return job.workspace, whole_text(job.policy), job.may_ask, job.kernel_policy
