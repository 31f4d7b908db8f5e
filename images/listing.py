"""The images there are and could be, as rows: what ``moonpool image list`` prints.

Owns the comparison of recipes with what an engine holds. Changes nothing, prints nothing.
"""

from collections.abc import Mapping
from typing import Literal

from images import recipes
from images.build import DIGEST_LABEL, RECIPE_LABEL
from images.recipes import Recipe
from images.trust import local_authorities
from policies.frozen import dataclass
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo

State = Literal["ready", "outdated", "not built", "superseded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    recipe: str
    reference: str
    """The image's content-addressed name; for one to be built, the name that it will get."""
    state: State
    """``ready``: `ensure` will use it. ``not built``, ``outdated``: `ensure` will build (the latter
    where an older build is there). ``superseded``: an older build that nothing needs any more."""
    image_id: str
    """Empty where it is not built."""
    size_bytes: int
    created: str
    """RFC 3339; empty where it is not built."""
    base: str
    """Name of the image it starts from; empty for a recipe that is no more."""


def rows(engine: Engine) -> tuple[ImageRow, ...]:
    """One row for each recipe, in order, then one for each superseded build, newest first."""
    return rows_of(
        [recipes.find(name) for name in recipes.names()],
        engine.images(RECIPE_LABEL),
        local_authorities(),
    )


def rows_of(
    known: list[Recipe], held: list[ImageInfo], trust: Mapping[str, bytes]
) -> tuple[ImageRow, ...]:
    """As `rows`, from values."""
    # Labels are inherited: a snapshot made of an image carries them too. The name tells them apart.
    builds = {tag: info for info in held for tag in _build_tags(info)}
    current = [_current(recipe, builds, trust) for recipe in known]
    wanted = {row.reference for row in current}
    older = [
        ImageRow(
            recipe=info.labels[RECIPE_LABEL],
            reference=tag,
            state="superseded",
            image_id=info.id,
            size_bytes=info.size_bytes,
            created=info.created,
            base="",
        )
        for tag, info in builds.items()
        if tag not in wanted
    ]
    return (*current, *older)


def _current(
    recipe: Recipe, builds: Mapping[str, ImageInfo], trust: Mapping[str, bytes]
) -> ImageRow:
    reference = recipe.reference(trust)
    info = builds.get(reference)
    if info is not None and info.labels.get(DIGEST_LABEL) != recipe.digest(trust):
        info = None
    state: State = "ready"
    if info is None:
        built_before = any(i.labels[RECIPE_LABEL] == recipe.name for i in builds.values())
        state = "outdated" if built_before else "not built"
    return ImageRow(
        recipe=recipe.name,
        reference=reference,
        state=state,
        image_id=info.id if info else "",
        size_bytes=info.size_bytes if info else 0,
        created=info.created if info else "",
        base=recipe.base,
    )


def _build_tags(info: ImageInfo) -> list[str]:
    """An image's content-addressed names; none for one that only inherited the label."""
    name = info.labels.get(RECIPE_LABEL)
    prefix = f"{recipes.REPOSITORY}/{name}:"
    return [tag for tag in info.tags if tag.startswith(prefix) and not tag.endswith(":latest")]
