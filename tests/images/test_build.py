"""When an image is built, when it is not, and what is said about it."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.image_engine import FakeEngine, held
from images.base import proxy_settings
from images.build import DIGEST_LABEL, BuildProgress, ensure_recipe
from images.recipes import Recipe
from sandbox.errors import EngineError, ImageUnusable

BASE = "debian:bookworm-slim"
RECIPE = Recipe(name="small", files={"Dockerfile": f"FROM {BASE}\n".encode()})
REF = RECIPE.reference({})


def quiet(_: str) -> None:
    pass


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(held={BASE: held(BASE, labels={})})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def test_what_is_not_there_is_built_and_named_twice(engine: FakeEngine) -> None:
    assert ensure_recipe(engine, RECIPE, {}, on_progress=quiet) == REF
    assert engine.held[REF].labels == {
        "moonpool.managed": "1",
        "moonpool.recipe": "small",
        "moonpool.recipe-digest": RECIPE.digest({}),
        "moonpool.base": engine.held[BASE].id,
    }
    assert engine.held["moonpool/small:latest"].id == engine.held[REF].id


def test_unchanged_costs_one_question(engine: FakeEngine) -> None:
    ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    engine.calls.clear()
    lines: list[str] = []
    assert ensure_recipe(engine, RECIPE, {}, on_progress=lines.append) == REF
    assert engine.calls == [f"image {REF}"]
    assert lines == []


def test_unchanged_is_found_though_its_base_is_gone(engine: FakeEngine) -> None:
    ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    del engine.held[BASE]
    ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    assert len(engine.builds()) == 1


def test_a_changed_recipe_is_built_again(engine: FakeEngine) -> None:
    ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    changed = replace(RECIPE, files={"Dockerfile": f"FROM {BASE}\nRUN true\n".encode()})
    ref = ensure_recipe(engine, changed, {}, on_progress=quiet)
    assert engine.builds() == [f"build {REF}", f"build {ref}"]
    assert engine.held["moonpool/small:latest"].id == engine.held[ref].id


def test_latest_follows_back_to_what_is_wanted(engine: FakeEngine) -> None:
    ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    engine.held[REF] = replace(engine.held[REF], tags=(REF,))
    ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    assert engine.calls[-1] == f"tag {REF} moonpool/small:latest"
    assert len(engine.builds()) == 1


def test_another_image_under_our_name_is_not_believed(engine: FakeEngine) -> None:
    engine.held[REF] = held(REF, labels={})
    ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    assert engine.builds() == [f"build {REF}"]
    assert engine.held[REF].labels[DIGEST_LABEL] == RECIPE.digest({})


def test_a_recipe_that_does_not_build_says_so_with_its_last_lines(engine: FakeEngine) -> None:
    engine.build_error = EngineError("building it failed: returned a non-zero code: 9\nE: why")
    with pytest.raises(ImageUnusable) as caught:
        ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("the image small does not build, as its last lines say; if it was")
    assert rest[-1] == "E: why"
    assert "moonpool/small:latest" not in engine.held


def test_two_at_once_build_once(engine: FakeEngine) -> None:
    building_now, go_on = threading.Event(), threading.Event()
    lines: list[str] = []
    waiting = threading.Event()

    def hold() -> None:
        building_now.set()
        assert go_on.wait(30)

    def note(line: str) -> None:
        lines.append(line)
        waiting.set()

    engine.while_building = hold
    first = threading.Thread(
        target=ensure_recipe,
        args=(engine, RECIPE, {}),
        kwargs={"on_progress": quiet},
    )
    second = threading.Thread(
        target=ensure_recipe,
        args=(engine, RECIPE, {}),
        kwargs={"on_progress": note},
    )
    first.start()
    assert building_now.wait(30)
    second.start()
    assert waiting.wait(30)
    go_on.set()
    first.join(30)
    second.join(30)
    assert engine.builds() == [f"build {REF}"]
    assert lines == ["image small: another moonpool is building it, waiting"]


def test_without_a_place_for_the_lock_it_still_builds(engine: FakeEngine, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    ensure_recipe(engine, RECIPE, {}, on_progress=quiet)
    assert engine.builds() == [f"build {REF}"]


def test_progress_is_one_line_with_the_step() -> None:
    lines: list[str] = []
    progress = BuildProgress("small", lines.append, clock=iter(range(0, 100, 2)).__next__)
    for line in ["Step 1/2 : FROM a", " ---> 97f7286a1a93", "Step 2/2 : RUN x", "Setting up git"]:
        progress(line)
    assert lines == [
        "image small: step 1/2 FROM a",
        "image small: step 2/2 RUN x",
        "image small: step 2/2 Setting up git",
    ]


def test_a_flood_of_output_is_told_once_a_second() -> None:
    lines: list[str] = []
    progress = BuildProgress(
        "small", lines.append, clock=iter([i / 100 for i in range(500)]).__next__
    )
    for number in range(500):
        progress(f"Unpacking {number}")
    assert len(lines) == 5


def test_what_a_package_prints_can_not_steer_the_terminal() -> None:
    lines: list[str] = []
    BuildProgress("small", lines.append)("a\x1b[2Jb\x1b]0;title\x07c\rd\u009b31m" + "x" * 500)
    (line,) = lines
    assert line.isprintable()
    assert "\x1b" not in line
    assert len(line) <= 100


def test_proxies_of_this_machine_reach_a_build_and_nothing_else_does() -> None:
    environ = {"HTTP_PROXY": "a", "https_proxy": "b", "NO_PROXY": "", "ANTHROPIC_API_KEY": "secret"}
    assert proxy_settings(environ) == {"HTTP_PROXY": "a", "https_proxy": "b"}
