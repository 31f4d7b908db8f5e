"""The shape of the source: what a stranger finds by the folders' names alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import ROOT

ROOMS = ("agent", "sandbox", "images", "policies")
ENTRIES = 25
_PATH = re.compile(rf"`((?:{'|'.join(ROOMS)}|tests|benchmarks)/[\w/.]*)`")


def entries(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name != "__pycache__"]


def folders() -> Iterator[Path]:
    """Without those of which only Python's cache is left."""
    for top in (*ROOMS, "tests"):
        inside = (path for path in (ROOT / top).rglob("*") if path.is_dir())
        yield from (f for f in (ROOT / top, *inside) if f.name != "__pycache__" and entries(f))


def test_no_folder_holds_more_than_one_look_takes_in() -> None:
    counts = {str(folder.relative_to(ROOT)): len(entries(folder)) for folder in folders()}
    assert {folder: count for folder, count in counts.items() if count > ENTRIES} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_the_tests_of_a_room_stand_as_its_source_does(room: str) -> None:
    mine = ROOT / "tests" / room
    tested = [path for path in folders() if path.is_relative_to(mine)]
    assert [path for path in tested if not (ROOT / path.relative_to(ROOT / "tests")).is_dir()] == []


@pytest.mark.parametrize("document", ["AGENTS.md", "README.md"])
def test_every_path_that_a_document_names_is_there(document: str) -> None:
    named = _PATH.findall((ROOT / document).read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert named


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for name in re.findall(r"^class ([A-Za-z]\w*)", path.read_text("utf-8"), re.MULTILINE):
                places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
