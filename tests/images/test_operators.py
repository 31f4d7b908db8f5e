"""Dockerfiles of the operator's own: what goes into a build, and what of it makes the name."""

import os
from pathlib import Path

import pytest

from images import recipes
from images.build import ensure, held
from images.recipes import Recipe
from policies.loading import load
from sandbox.engine.docker import Engine
from sandbox.errors import ImageUnusable


def own_files(recipe: Recipe) -> dict[str, bytes]:
    return {path: data for path, data in recipe.files.items() if not path.startswith("shared/")}


def test_beside_a_dockerfile_nothing_goes_along(tmp_path: Path) -> None:
    """It may stand in a folder of policies, or in a repository."""
    (tmp_path / "Dockerfile.agent").write_text("FROM a\n")
    (tmp_path / "secret").write_text("x")
    recipe = recipes.of_operator(tmp_path / "Dockerfile.agent")
    assert own_files(recipe) == {"Dockerfile": b"FROM a\n"}
    assert recipe.reference({}).startswith("moonpool-operator/dockerfile-agent-")
    (tmp_path / "Dockerfile.agent").write_text("FROM b\n")
    assert recipes.of_operator(tmp_path / "Dockerfile.agent").reference({}) != recipe.reference({})


def test_a_folder_goes_in_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\nCOPY sub/x /x\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/x").write_text("1")
    first = recipes.of_operator(tmp_path)
    assert own_files(first).keys() == {"Dockerfile", "sub/x"}
    (tmp_path / "sub/x").write_text("2")
    assert recipes.of_operator(tmp_path).reference({}) != first.reference({})


@pytest.mark.parametrize("what", ["missing", "empty folder", "link", "pipe", "large", "many"])
def test_what_can_not_be_an_image_is_said(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    if what == "missing":
        folder = tmp_path / "nothing"
    elif what != "empty folder":
        (folder / "Dockerfile").write_text("FROM a\n")
    if what == "link":
        (folder / "passwd").symlink_to("/etc/passwd")
    elif what == "pipe":
        os.mkfifo(folder / "pipe")
    elif what == "large":
        with (folder / "hole").open("wb") as file:
            file.truncate(1 << 40)
    elif what == "many":
        for number in range(2_001):
            (folder / str(number)).touch()
    with pytest.raises(ImageUnusable, match=str(tmp_path)):
        recipes.of_operator(folder)


def test_all_stages_name_bases_and_what_is_none_does_not() -> None:
    text = b"FROM a:1 AS one\nfrom --platform=x B AS two\nFROM one\nFROM scratch\nFROM ${ARG}\n"
    assert Recipe(name="r", files={"Dockerfile": text}).bases == ("a:1", "B")


def test_a_policy_names_it_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("version: 1\nname: p\nextends: locked\nimage: ./D.agent\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/c.yaml").write_text("version: 1\nname: c\nextends: ../p.yaml\n")
    for file in ("p.yaml", "sub/c.yaml"):
        assert load(str(tmp_path / file)).image == str(tmp_path / "D.agent")


def test_it_is_built_once(engine: Engine, image: str, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(f"FROM {image}\nENV OWN=1\n")
    lines: list[str] = []
    assert held(engine, str(file)) is None
    made = ensure(engine, str(file), on_progress=lines.append)
    try:
        assert lines
        lines.clear()
        assert ensure(engine, str(file), on_progress=lines.append) == made
        assert lines == []
        found = held(engine, str(file))
        assert found is not None
        assert "OWN=1" in found.environment
    finally:
        for tag in (made, recipes.of_operator(file).latest):
            engine.remove_image(tag)


def test_an_image_that_nobody_has_is_an_error_that_says_where_to_get_it(engine: Engine) -> None:
    with pytest.raises(ImageUnusable, match=r"no image 'no/such:1'.*docker pull"):
        ensure(engine, "no/such:1", on_progress=lambda _: None)
