"""Sandboxes for samples: opened from what a configuration asks for, and removed.

Owns what samples of one configuration share (image, engine), which sandboxes of this process stand,
and how those of another one are found again. Refuses to know Inspect's provider.
"""

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

from agent.config import environment
from agent.errors import UsageError
from agent.lifecycle.open_sandbox import image_for
from agent.servers.inspect.config import SandboxRequest
from images import recipes
from policies.frozen import dataclass
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_OWNER, LABEL_RUN, SAMPLE_RUN, owner
from sandbox.errors import WorkspaceError
from sandbox.sandbox import Sandbox
from sandbox.workspace.source import Workspace, folder

_counter = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadySandbox:
    """All that is known before a sample's sandbox is opened; samples share it."""

    engine: Engine
    policy: Policy
    image: str
    workspace: Workspace

    def open(self, sample: str) -> Sandbox:
        """A fresh sandbox for one sample. Raises `SandboxError`."""
        return Sandbox.open(
            workspace=self.workspace,
            policy=self.policy,
            image=self.image,
            run_id=_run_id(sample),
            engine=self.engine,
        )


def ready(request: SandboxRequest, on_progress: Callable[[str], None]) -> ReadySandbox:
    """Engine and image, made where it is missing, and what stands in a sandbox at its start.

    Raises:
        UsageError: the folder to work in can't be one.
        SandboxError: engine or image are not to be had.
    """
    engine = Engine.connect(environment.environ())
    empty = _empty_folder(engine)
    image = image_for(request.policy, empty, engine, on_progress=on_progress)
    return ReadySandbox(
        engine=engine,
        policy=request.policy,
        image=image,
        workspace=_workspace(request, engine, image, empty),
    )


def _workspace(request: SandboxRequest, engine: Engine, image: str, empty: Path) -> Workspace:
    asked = request.working_dir
    if asked is not None:
        try:
            return folder(asked)
        except WorkspaceError as error:
            raise UsageError(f"working_dir: {error}") from error
    # In an image of ours nothing stands where its processes start.
    info = None if request.policy.image in recipes.names() else engine.image(image)
    try:
        return folder(info.directory) if info is not None and info.directory else empty
    except WorkspaceError:
        return empty


def _empty_folder(engine: Engine) -> Path:
    """What samples without an image's folder begin with: nothing."""
    place = engine.cache / "empty-workspace"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(place.iterdir()):
            raise WorkspaceError(f"{place} is to be empty: remove what is in it")
    except OSError as error:
        raise WorkspaceError(f"{place} can't be made ({error.strerror})") from error
    return place


def _run_id(sample: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", sample)[:40].strip("-") or "sample"
    return f"{SAMPLE_RUN}{os.getpid()}-{next(_counter)}-{plain}"


def remove(wanted: str | None) -> tuple[str, ...]:
    """Remove sandboxes of samples, whichever process of this user opened them; gives their runs.

    Args:
        wanted: a run's name, or the beginning of a container's id; None: all.

    Raises:
        SandboxError: the engine fails.
    """
    engine = Engine.connect(environment.environ())
    removed: list[str] = []
    for row in engine.containers(LABEL_DEADLINE):
        run = row.labels.get(LABEL_RUN, "")
        if not run.startswith(SAMPLE_RUN) or row.labels.get(LABEL_OWNER) != owner():
            continue
        if wanted is None or run == wanted or (len(wanted) >= 12 and row.id.startswith(wanted)):
            engine.remove(row.id)
            removed.append(run)
    return tuple(removed)
