"""Which folder of an image is the one that is worked in, where nobody said.

Owns the order of the guesses. Nothing of the image runs: the engine is asked what stands there.
"""

from collections.abc import Sequence

from sandbox.container.spec import shelf
from sandbox.engine.docker import Engine
from sandbox.engine.first_member import first_member
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
            found = first_member(engine, container, place.path)
            if found is None or not found[0].isdir():
                continue
            if first_member(engine, container, f"{place.path}/{_MARK}") is not None:
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
