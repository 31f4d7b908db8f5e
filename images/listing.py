"""The images there are and could be, as rows: what ``moonpool image list`` prints.

Owns the comparison of recipes with what an engine holds. Changes nothing, prints nothing.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from images import recipes
from images.build import DIGEST_LABEL, RECIPE_LABEL
from images.recipes import Recipe, local_authorities
from policies.frozen import dataclass
from sandbox.container.prepared_image import inventory_file
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_PREPARED, LABEL_SNAPSHOT, ImageInfo

State = Literal["ready", "outdated", "not built", "superseded", "no recipe", "set-up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    recipe: str
    reference: str
    """The image's content-addressed name; for one to be built, the name that it will get."""
    state: State
    """``ready``: `ensure` will use it. ``not built``, ``outdated``: `ensure` will build (the latter
    where an older build is there). ``superseded``: an older build that nothing needs any more.
    ``no recipe``: an operator's own, by Dockerfile or by reference. ``set-up``: another one, with
    what a set-up installed."""
    image_id: str
    """Empty where it is not built."""
    size_bytes: int
    created: str
    """RFC 3339; empty where it is not built."""
    base: str
    """Name of the image it starts from; empty for a recipe that is no more."""
    used_s: float | None = None
    """When a sandbox of it was last opened by this user, in s since the epoch."""


def rows(engine: Engine) -> tuple[ImageRow, ...]:
    """One row for each recipe, in order, one for each superseded build, newest first, and one for
    each other image that was worked in or built for that."""
    held = engine.images(RECIPE_LABEL)
    used = _last_uses(engine)
    known = [recipes.find(name) for name in (*recipes.names(), *sorted(recipes.INTERNAL))]
    found = rows_of(known, held, local_authorities())
    listed = {row.image_id for row in found}
    others = {info.id: info for info in held if _is_operators(info)}
    for origin in used:
        if origin not in listed and (info := engine.image(origin)) is not None:
            others[origin] = info
    own = tuple(_other(info) for info in others.values())
    return tuple(replace(row, used_s=used.get(row.image_id)) for row in (*found, *own))


def _is_operators(info: ImageInfo) -> bool:
    return any(tag.startswith(f"{recipes.OPERATORS_REPOSITORY}/") for tag in info.tags)


def _other(info: ImageInfo) -> ImageRow:
    by_name = sorted(info.tags, key=lambda tag: (not tag.endswith(":latest"), tag))
    name = by_name[0] if by_name else info.id
    is_setup = name.startswith(f"{recipes.REPOSITORY}/setup:")
    return _row("", name, "set-up" if is_setup else "no recipe", info)


def _row(
    recipe: str, reference: str, state: State, info: ImageInfo | None, base: str = ""
) -> ImageRow:
    return ImageRow(
        recipe=recipe,
        reference=reference,
        state=state,
        image_id=info.id if info else "",
        size_bytes=info.size_bytes if info else 0,
        created=info.created if info else "",
        base=base,
    )


def _last_uses(engine: Engine) -> dict[str, float]:
    """By id of the image that a sandbox's was prepared from: when that was last opened."""
    found: dict[str, float] = {}
    for origin, prepared in prepared_of(engine):
        for tag in prepared.tags:
            with suppress(OSError):
                when = inventory_file(engine.cache, tag.rpartition(":")[2]).stat().st_mtime
                found[origin] = max(when, found.get(origin, 0.0))
    return found


def prepared_of(engine: Engine) -> list[tuple[str, ImageInfo]]:
    """Every image that was prepared for sandboxes, behind the id of the one it was made from."""
    return [
        (info.labels[LABEL_PREPARED], info)
        for info in engine.images(LABEL_PREPARED)
        # Labels are inherited by a copy of a workspace that was put on top.
        if LABEL_SNAPSHOT not in info.labels
    ]


def rows_of(
    known: list[Recipe], held: list[ImageInfo], trust: Mapping[str, bytes]
) -> tuple[ImageRow, ...]:
    """As `rows`, from values."""
    # Labels are inherited: a snapshot made of an image carries them too. The name tells them apart.
    builds = {tag: info for info in held for tag in _build_tags(info)}
    current = [_current(recipe, builds, trust) for recipe in known]
    wanted = {row.reference for row in current}
    older = [
        _row(info.labels[RECIPE_LABEL], tag, "superseded", info)
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
    return _row(recipe.name, reference, state, info, recipe.base)


def _build_tags(info: ImageInfo) -> list[str]:
    """An image's content-addressed names; none for one that only inherited the label."""
    name = info.labels.get(RECIPE_LABEL)
    prefix = f"{recipes.REPOSITORY}/{name}:"
    return [tag for tag in info.tags if tag.startswith(prefix) and not tag.endswith(":latest")]
