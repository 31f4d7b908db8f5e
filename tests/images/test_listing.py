"""The rows of ``moonpool image list``."""

from dataclasses import replace

from fakes.image_engine import held
from images.listing import rows_of
from images.recipes import Recipe
from sandbox.engine.values import ImageInfo

RECIPE = Recipe(name="small", files={"Dockerfile": b"FROM debian:bookworm-slim\n"})
REF = RECIPE.reference({})
OLD = "moonpool/small:000000000000"


def build_of(ref: str, *, digest: str) -> ImageInfo:
    return held(ref, labels={"moonpool.recipe": "small", "moonpool.recipe-digest": digest})


def test_a_recipe_never_built_is_listed_with_the_name_it_will_get() -> None:
    (row,) = rows_of([RECIPE], [], {})
    assert (row.state, row.reference, row.image_id) == ("not built", REF, "")


def test_a_built_one_is_ready() -> None:
    (row,) = rows_of([RECIPE], [build_of(REF, digest=RECIPE.digest({}))], {})
    assert (row.state, row.reference, row.size_bytes) == ("ready", REF, 1000)


def test_after_a_change_the_old_build_is_superseded() -> None:
    current, old = rows_of([RECIPE], [build_of(OLD, digest="0")], {})
    assert (current.state, current.reference) == ("outdated", REF)
    assert (old.state, old.reference) == ("superseded", OLD)


def test_a_snapshot_that_inherited_the_label_is_no_build() -> None:
    snapshot = replace(build_of(REF, digest="0"), tags=("moonpool-snapshot:abc",))
    (row,) = rows_of([RECIPE], [snapshot], {})
    assert row.state == "not built"


def test_an_image_of_a_recipe_that_is_no_more_is_listed() -> None:
    (row,) = rows_of([], [build_of(OLD, digest="0")], {})
    assert (row.recipe, row.state) == ("small", "superseded")


def test_one_image_under_two_names_is_one_row() -> None:
    info = build_of(REF, digest=RECIPE.digest({}))
    both = replace(info, tags=(REF, "moonpool/small:latest"))
    assert len(rows_of([RECIPE], [both], {})) == 1
