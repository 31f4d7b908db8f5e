"""Getting a recipe's image into the engine: found where it is there, built where it is not.

Owns the tags, the labels and the lock between processes. What a recipe is made of is
`images.recipes`' to say, where the base comes from `images.base`'.
"""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from images import recipes
from images.recipes import Recipe, local_authorities
from policies.file.scalars import is_path
from sandbox import cache
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_MANAGED, ImageInfo
from sandbox.errors import EngineError, ImageUnusable

RECIPE_LABEL = "moonpool.recipe"
DIGEST_LABEL = "moonpool.recipe-digest"
BASE_LABEL = "moonpool.base"

_STEP = re.compile(r"^Step (\d+)/(\d+) : ")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]")
_NOISE = ("--->", "Removing intermediate container", "Successfully", "(Reading database")
_LINE_LIMIT = 80
_PROGRESS_EVERY_S = 1.0


def ensure(engine: Engine, name: str, *, on_progress: Callable[[str], None]) -> str:
    """Make sure the engine holds an image to work in; gives the reference to use.

    An unchanged recipe costs one question to the engine. Two processes at once build it once.

    Args:
        name: a recipe's, an image reference that the engine has, or the path of a Dockerfile.

    Raises:
        ImageUnusable: there is no such image, or it does not build.
        EngineError, EngineUnavailable: the engine fails otherwise.
    """
    trust = local_authorities()

    def made(recipe: Recipe) -> str:
        return ensure_recipe(engine, recipe, trust, on_progress=on_progress)

    if not is_path(name) and (name in recipes.names() or name in recipes.INTERNAL):
        return made(recipes.find(name))
    if is_path(name):
        reference = made(recipes.of_operator(Path(name)))
    else:
        reference = name
        if engine.image(name) is None:
            from policies.suggestion import did_you_mean  # noqa: PLC0415 - for a mistake only

            raise ImageUnusable(
                f"there is no image {name!r}: it is no recipe ({', '.join(recipes.names())}), and "
                "the engine holds none of that name (`docker pull` it, or `docker load` it)"
                f"{did_you_mean(name, recipes.names())}"
            )
    from sandbox.container import guest_runtime  # noqa: PLC0415 - for such an image only

    info = engine.image(reference)
    if info is None or guest_runtime.is_needed(info):
        made(recipes.find(recipes.RUNTIME))
    return reference


def ensure_recipe(
    engine: Engine,
    recipe: Recipe,
    trust: Mapping[str, bytes],
    *,
    on_progress: Callable[[str], None],
) -> str:
    """As `ensure`, for a recipe from anywhere."""
    if not _is_there(engine, recipe, trust):
        with _building(engine, recipe.name, on_progress):
            # Another process may have built it while this one waited.
            if not _is_there(engine, recipe, trust):
                from images.base import ensure_base  # noqa: PLC0415 - for a missing image only

                for base in recipe.bases:
                    name = recipes.of_reference(base)
                    if name is None:
                        ensure_base(engine, base, on_progress=on_progress)
                    else:
                        ensure(engine, name, on_progress=on_progress)
                build(engine, recipe, trust, on_progress=on_progress)
    return recipe.reference(trust)


def held(engine: Engine, name: str) -> ImageInfo | None:
    """What the engine has of an image that a policy names, as it was built or found last.

    Raises:
        ImageUnusable: there is no Dockerfile at the path that it names.
    """
    if is_path(name):
        return engine.image(recipes.of_operator(Path(name)).latest)
    found = engine.image(recipes.find(name).latest) if name in recipes.names() else None
    return found or engine.image(name)


def rebuild(engine: Engine, name: str, *, on_progress: Callable[[str], None]) -> str:
    """Build a recipe's image again on the base as it is today; as `ensure` otherwise."""
    recipe = recipes.of_operator(Path(name)) if is_path(name) else recipes.find(name)
    trust = local_authorities()
    with _building(engine, recipe.name, on_progress):
        from images.base import refresh_base  # noqa: PLC0415 - for a build only

        for base in recipe.bases:
            if not base.startswith(f"{recipes.REPOSITORY}/") and not (
                is_path(name) and engine.image(base)
            ):
                refresh_base(engine, base, on_progress=on_progress)
        build(engine, recipe, trust, on_progress=on_progress)
    return recipe.reference(trust)


def build(
    engine: Engine,
    recipe: Recipe,
    trust: Mapping[str, bytes],
    *,
    on_progress: Callable[[str], None],
) -> None:
    """Build one recipe on a base the engine holds; errors as `ensure`."""
    from images.base import proxy_settings  # noqa: PLC0415 - for a build only

    base = engine.image(recipe.base) if recipe.bases else None
    ref = recipe.reference(trust)
    labels = {
        LABEL_MANAGED: "1",
        RECIPE_LABEL: recipe.name,
        DIGEST_LABEL: recipe.digest(trust),
        BASE_LABEL: base.id if base is not None else "",
    }
    try:
        engine.build(
            recipes.context_tar(recipe, trust),
            ref=ref,
            labels=labels,
            # They reach the build, not its image, and nothing else of the environment does.
            build_args=proxy_settings(engine.environ),
            on_line=BuildProgress(recipe.name, on_progress),
        )
    except EngineError as error:
        raise ImageUnusable(
            f"the image {recipe.name} does not build, as its last lines say; if it was the "
            f"network, try again with `moonpool image build {recipe.name}`\n{_legible(str(error))}"
        ) from error
    engine.tag(ref, recipe.latest)


class BuildProgress:
    """Turns the engine's build output into lines for a person: recipe, step, what it does.

    A new step is told at once, what happens within it once a second: installing packages prints
    hundreds of lines, and where the output is no terminal each of ours stays.
    """

    def __init__(
        self,
        name: str,
        on_progress: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._on_progress = on_progress
        self._clock = clock
        self._step = ""
        self._next_s = 0.0

    def __call__(self, line: str) -> None:
        now_s = self._clock()
        if step := _STEP.match(line):
            self._step = f"step {step[1]}/{step[2]} "
            line = line[step.end() :]
        elif now_s < self._next_s or line.strip().startswith(_NOISE):
            return
        if text := _plain(line):
            self._next_s = now_s + _PROGRESS_EVERY_S
            self._on_progress(f"image {self._name}: {self._step}{text[:_LINE_LIMIT]}")


def _plain(line: str) -> str:
    """Packages write what they like, and this goes to a terminal."""
    return " ".join(_CONTROL.sub(" ", line).split())


def _legible(output: str) -> str:
    lines = [_plain(line) for line in output.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith(_NOISE))


def _is_there(engine: Engine, recipe: Recipe, trust: Mapping[str, bytes]) -> bool:
    ref = recipe.reference(trust)
    info = engine.image(ref)
    if info is None or info.labels.get(DIGEST_LABEL) != recipe.digest(trust):
        return False
    if recipe.latest not in info.tags:
        engine.tag(ref, recipe.latest)
    return True


def _building(
    engine: Engine, name: str, on_progress: Callable[[str], None]
) -> AbstractContextManager[None]:
    waiting = f"image {name}: another moonpool is building it, waiting"
    return cache.alone(engine.cache, f"image-{name}", lambda: on_progress(waiting))
