"""Images that are not Moonpool's own, built for tests from Dockerfiles on top of what is here."""

import contextlib
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from images import recipes
from images.build import RECIPE_LABEL, ensure, ensure_recipe
from images.recipes import OPERATORS_REPOSITORY, Recipe
from sandbox.container.prepared_image import inventory_file, prepare
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError, SandboxError


@contextmanager
def foreign(
    engine: Engine, name: str, files: Mapping[str, bytes], *, moved: Sequence[str] = ("",)
) -> Generator[str]:
    """Build one, with what the guest needs in it at hand; it goes in the end, and so does what was
    prepared of it for the workspaces in it."""
    ensure(engine, recipes.RUNTIME, on_progress=lambda _: None)
    unique = f"{name}-{os.getpid()}"
    recipe = Recipe(name=unique, files=files, repository=OPERATORS_REPOSITORY)
    yield ensure_recipe(engine, recipe, {}, on_progress=lambda _: None)
    for info in engine.images(f"{RECIPE_LABEL}={unique}"):
        ours = list(info.tags)
        for folder in moved:
            with contextlib.suppress(SandboxError):
                made = prepare(engine, info, moved=folder, on_progress=lambda _: None)
                inventory_file(engine.cache, made.key).unlink(missing_ok=True)
                ours.append(made.id)
        for tag in ours:
            with contextlib.suppress(EngineError):  # a copy on top of it is being removed
                engine.remove_image(tag)
