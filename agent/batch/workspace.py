"""Where a task works: what its file names, made ready on this machine.

Owns the way from a task to a workspace. How a repository is got is `agent.batch.tasks.checkout`'s,
which folder of an image is meant `sandbox.workspace.work_folder`'s.
"""

from collections.abc import Mapping

from agent.batch.order import AttemptOrder
from agent.batch.task import FolderWorkspace, GitWorkspace, ImageWorkspace
from sandbox.workspace.source import ImageFolder, Workspace, folder

STORE = "store"
"""The folder of repositories that tasks name, below the batch's."""


def workspace_of(order: AttemptOrder, environ: Mapping[str, str]) -> Workspace:
    """A directory of this machine, or a folder of the image.

    Args:
        environ: for finding the engine, and what git needs for another machine's repository.

    Raises:
        WorkspaceError: there is none.
        SandboxError: the image can't be looked into.
    """
    match order.task.workspace:
        case FolderWorkspace(path=path):
            return path
        case ImageWorkspace(path=str(path)):
            return folder(path)
        case ImageWorkspace(candidates=candidates):
            return _found(order, environ, candidates)
        case GitWorkspace() as place:
            from agent.batch.tasks.checkout import materialize  # noqa: PLC0415 - few tasks have one

            return materialize(place, order.directory / STORE, environ=environ)


def _found(
    order: AttemptOrder, environ: Mapping[str, str], candidates: tuple[str, ...]
) -> ImageFolder:
    from images.build import ensure  # noqa: PLC0415 - few tasks leave it open
    from sandbox.engine.docker import Engine  # noqa: PLC0415
    from sandbox.workspace.work_folder import work_folder  # noqa: PLC0415

    engine = Engine.connect(environ)
    reference = ensure(engine, order.policy.image, on_progress=lambda _: None)
    return work_folder(engine, engine.existing_image(reference), candidates)
