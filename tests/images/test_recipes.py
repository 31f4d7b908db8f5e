"""What a recipe is made of, and when its name changes."""

import compileall
import io
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from images import recipes
from images.base import BOOTSTRAPPABLE
from images.recipes import Recipe
from sandbox.errors import ImageUnusable

RECIPE = Recipe(name="small", files={"Dockerfile": b"FROM debian:bookworm-slim\n", "a/b": b"1"})
AUTHORITY = {"abc.crt": b"-----BEGIN CERTIFICATE-----\n"}


def test_the_recipes_that_ship() -> None:
    assert recipes.names() == (
        "c", "go", "java", "node", "polyglot", "python", "python3.13", "rust",
    )  # fmt: skip
    bases = {name: recipes.find(name).base for name in recipes.names()}
    assert bases.pop("polyglot") == "moonpool/python:latest"
    assert bases.pop("python3.13") == "debian:trixie-slim"
    assert {*bases.values()} == {"debian:bookworm-slim"}
    assert {*recipes.find("python3.13").bases, *bases.values()} == BOOTSTRAPPABLE.keys()


def test_a_recipe_on_top_of_another_is_built_anew_with_it() -> None:
    below = recipes.find("python")
    one = Recipe(name="x", files={"Dockerfile": b"FROM moonpool/python\n"})
    other = Recipe(name="x", files={"Dockerfile": b"FROM moonpool/python2\n"})
    assert one.digest({}) != one.digest(AUTHORITY)
    assert recipes.of_reference(below.latest) == "python"
    assert recipes.of_reference("moonpool/python:472ae604bdf4") is None
    assert other.bases == ("moonpool/python2",)


@pytest.mark.parametrize("name", recipes.names())
def test_what_recipes_share_is_part_of_each_and_of_its_name(name: str) -> None:
    """Users, rights and cleaning are the same in all, and a change of them builds all again."""
    recipe = recipes.find(name)
    shared = {path for path in recipe.files if path.startswith("shared/")}
    begins, ends = ("shared/install.sh", "shared/python.sh"), "shared/finish.sh"
    more = {"shared/backports.sh", "shared/node.sh", "shared/tools.in", "shared/tools.txt"}
    assert shared == {*begins, ends, *more}
    dockerfile = recipe.files["Dockerfile"].decode()
    assert any(f"sh /tmp/{path}" in dockerfile for path in begins)
    assert "sh /tmp/shared/install.sh" in recipe.files["shared/python.sh"].decode()
    assert f"sh /tmp/{ends}" in dockerfile
    other = replace(recipe, files={**recipe.files, "shared/finish.sh": b""})
    assert other.reference({}) != recipe.reference({})


@pytest.mark.parametrize(
    "name", ["nope", "", "..", "../images", "python/", "Python", ".", "shared"]
)
def test_an_unknown_recipe_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(ImageUnusable, match=r"no image recipe named .*: there is .*python"):
        recipes.find(name)


def test_the_name_is_the_content() -> None:
    again = Recipe(name="small", files=dict(reversed([*RECIPE.files.items()])))
    assert again.reference({}) == RECIPE.reference({})
    assert RECIPE.reference({}).startswith("moonpool/small:")
    assert len(RECIPE.reference({}).rpartition(":")[2]) == 12


@pytest.mark.parametrize(
    "changed",
    [
        replace(RECIPE, files={**RECIPE.files, "Dockerfile": b"FROM debian:bookworm-slim\n\n"}),
        replace(RECIPE, files={**RECIPE.files, "a/b": b"2"}),
        replace(RECIPE, files={**RECIPE.files, "a/c": b""}),
        replace(RECIPE, files={"Dockerfile": RECIPE.files["Dockerfile"]}),
        # The same bytes, cut differently between name and content.
        replace(RECIPE, files={"Dockerfile": RECIPE.files["Dockerfile"], "a/b1": b""}),
    ],
)
def test_any_change_changes_the_name(changed: Recipe) -> None:
    assert changed.reference({}) != RECIPE.reference({})


def test_what_an_installation_compiles_changes_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip compiles the modules of the proxy's recipe where they stand, and notes the time."""
    folder = tmp_path / "recipes"
    shutil.copytree(Path(recipes.__file__).with_name("recipes"), folder)
    for compiled in folder.rglob("__pycache__"):
        shutil.rmtree(compiled)
    monkeypatch.setattr(recipes, "_root", lambda: folder)
    before = recipes.find(recipes.PROXY)
    assert compileall.compile_dir(folder, quiet=2)
    assert list(folder.rglob("*.pyc"))
    assert recipes.find(recipes.PROXY) == before


def test_another_authority_changes_the_name() -> None:
    assert RECIPE.reference(AUTHORITY) != RECIPE.reference({})


def test_the_context_holds_the_files_and_nothing_of_this_machine() -> None:
    with tarfile.open(fileobj=io.BytesIO(recipes.context_tar(RECIPE, AUTHORITY))) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [
            "trust",
            "Dockerfile",
            "a/b",
            "trust/abc.crt",
        ]
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
        file = tar.extractfile("Dockerfile")
        assert file is not None
        assert file.read() == RECIPE.files["Dockerfile"]


def test_the_trust_folder_is_there_without_any_authority() -> None:
    with tarfile.open(fileobj=io.BytesIO(recipes.context_tar(RECIPE, {}))) as tar:
        assert tar.getmember("trust").isdir()


@pytest.mark.parametrize(
    ("dockerfile", "base"),
    [
        ("FROM a:1\n", "a:1"),
        ("# FROM x\nARG A\nfrom  --platform=linux/amd64 b:2 AS last\n", "b:2"),
        ("FROM a:1 AS one\nFROM c:3\n", "c:3"),
    ],
)
def test_the_base_is_what_the_last_stage_starts_from(dockerfile: str, base: str) -> None:
    assert Recipe(name="x", files={"Dockerfile": dockerfile.encode()}).base == base


def test_a_recipe_without_a_base_is_refused() -> None:
    with pytest.raises(ImageUnusable, match="add a FROM line"):
        _ = Recipe(name="x", files={"Dockerfile": b"RUN true\n"}).base
