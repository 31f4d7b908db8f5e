"""Which folder of an image is the one that is worked in, where nobody said.

Owns the order of the guesses. Nothing of the image runs: the engine is asked what stands there.
"""

from collections.abc import Sequence

from sandbox.container.moved_folder import first
from sandbox.container.spec import shelf
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo
from sandbox.errors import WorkspaceError
from sandbox.workspace.source import ImageFolder, folder

_MARK = ".git"


def work_folder(engine: Engine, image: ImageInfo, candidates: Sequence[str] = ()) -> ImageFolder:
    """The first of the candidates, or at last the image's own working directory, that holds a
    repository; where none does, the first that is there.

    A link is none: what it leads to is the workspace then, and would have to be named.

    Args:
        candidates: absolute paths.

    Raises:
        WorkspaceError: nothing that can be a workspace stands at any of them.
        EngineError: the engine fails.
    """
    container = engine.create(shelf(image.id))
    tried: list[str] = []
    there: list[ImageFolder] = []
    try:
        for path in dict.fromkeys((*candidates, image.directory)):
            try:
                place = folder(path)
            except WorkspaceError:
                continue
            tried.append(place.path)
            if not _is_folder(engine, container, place.path):
                continue
            if _stands(engine, container, f"{place.path}/{_MARK}"):
                return place
            there.append(place)
    finally:
        engine.remove(container)
    if there:
        return there[0]
    looked = ", ".join(tried) or "no folder that could be one"
    raise WorkspaceError(
        f"the work folder is not found in the image ({looked}): name it with path, as /testbed"
    )


def _is_folder(engine: Engine, container: str, path: str) -> bool:
    try:
        member = first(engine, container, path)
    except FileNotFoundError:
        return False
    return member is not None and member.isdir()


def _stands(engine: Engine, container: str, path: str) -> bool:
    try:
        return first(engine, container, path) is not None
    except FileNotFoundError:
        return False
