"""Removing an image that Moonpool made, and what was prepared of it for sandboxes.

Owns which that is. An image that an operator only refers to is never removed.
"""

from pathlib import Path

from images import recipes
from images.build import RECIPE_LABEL
from images.listing import prepared_of
from policies.file.scalars import is_path
from sandbox.container.prepared_image import inventory_file
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo
from sandbox.errors import ImageUnusable


def remove(engine: Engine, name: str) -> tuple[str, ...]:
    """Remove each build of a recipe or an operator's Dockerfile, or what was made of a reference.

    Copies of workspaces on top go when `prune` finds them unused. Gives the names removed.

    Raises:
        ImageUnusable: there is no such image.
        EngineError: a container of it stands.
    """
    builds = _builds(engine, name)
    origins = {info.id for info in builds} or _referred(engine, name)
    if not origins:
        raise ImageUnusable(
            f"there is no image {name!r}: `moonpool image list` shows those there are"
        )
    removed: list[str] = []
    for origin, prepared in prepared_of(engine):
        if origin in origins:
            for tag in prepared.tags:
                engine.remove_image(tag)
                inventory_file(engine.cache, tag.rpartition(":")[2]).unlink(missing_ok=True)
                removed.append(tag)
    for tag in (tag for info in builds for tag in info.tags):
        engine.remove_image(tag)
        removed.append(tag)
    return tuple(removed)


def _builds(engine: Engine, name: str) -> list[ImageInfo]:
    if is_path(name):
        recipe = recipes.of_operator(Path(name))
        label, repository = recipe.name, recipe.repository
    elif name.startswith(f"{recipes.OPERATORS_REPOSITORY}/"):
        # As `image list` names it; its Dockerfile may be gone.
        repository, _, label = name.partition(":")[0].partition("/")
    else:
        # A recipe that is no more may have left builds.
        label, repository = name, recipes.REPOSITORY
    return [
        info
        for info in engine.images(f"{RECIPE_LABEL}={label}")
        if any(tag.startswith(f"{repository}/{label}:") for tag in info.tags)
    ]


def _referred(engine: Engine, name: str) -> set[str]:
    info = None if is_path(name) else engine.image(name)
    return set() if info is None else {info.id}
