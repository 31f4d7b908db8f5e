"""The shape of the source: what a stranger finds by the folders' names alone."""

import ast
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import ROOT

ROOMS = ("agent", "sandbox", "images", "policies")
ENTRIES = 25
_NAMED = re.compile(rf"`((?:{'|'.join(ROOMS)})(?:\.\w+)+)(?:\(\))?`")
_PATH = re.compile(rf"`((?:{'|'.join(ROOMS)}|tests|benchmarks)/[\w/.]*)`")


def modules() -> dict[str, Path]:
    """Every module of the four rooms, by its dotted name."""
    found = {}
    for path in itertools.chain.from_iterable((ROOT / room).rglob("*.py") for room in ROOMS):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@functools.cache
def trees() -> dict[str, ast.Module]:
    """Parsed when a test wants them: each worker of the suite loads this module."""
    return {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}


def defined(module: str) -> set[str]:
    """Names that a module has at its top level, those that it imports included."""
    names = set()
    for node in ast.walk(trees()[module]):
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.alias():
                names.add(node.asname or node.name)
    return names


def is_there(dotted: str) -> bool:
    """Whether it is a module, or something in one; deeper is not looked."""
    if dotted in MODULES:
        return True
    module, _, name = dotted.rpartition(".")
    return (module in MODULES and name in defined(module)) or (
        module.rpartition(".")[0] in MODULES and is_there(module)
    )


def entries(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name != "__pycache__"]


def folders() -> Iterator[Path]:
    """Without those of which only Python's cache is left."""
    for top in (*ROOMS, "tests"):
        inside = (path for path in (ROOT / top).rglob("*") if path.is_dir())
        yield from (f for f in (ROOT / top, *inside) if f.name != "__pycache__" and entries(f))


def test_each_class_name_stands_once() -> None:
    where = defaultdict(list)
    for module, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                where[node.name].append(module)
    assert {name: found for name, found in where.items() if len(found) > 1} == {}


def test_no_module_is_past_its_bound() -> None:
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_bytes().splitlines())
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }
    assert lines
    assert {path: count for path, count in lines.items() if count > 350} == {}


def test_no_folder_holds_more_than_one_look_takes_in() -> None:
    counts = {str(folder.relative_to(ROOT)): len(entries(folder)) for folder in folders()}
    assert {folder: count for folder, count in counts.items() if count > ENTRIES} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_the_tests_of_a_room_stand_as_its_source_does(room: str) -> None:
    mine = ROOT / "tests" / room
    tested = [path for path in folders() if path.is_relative_to(mine)]
    assert [path for path in tested if not (ROOT / path.relative_to(ROOT / "tests")).is_dir()] == []


def test_every_module_that_a_text_names_is_there() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in itertools.chain.from_iterable(folder.glob("*.py") for folder in folders())
        for name in _NAMED.findall(path.read_text("utf-8"))
        if not is_there(name)
    ]
    assert wrong == []


def test_every_folder_of_a_room_has_its_place_in_the_readme() -> None:
    named = (ROOT / "README.md").read_text("utf-8")
    inside = {
        f"{room}/{path.name}/"
        for room in ROOMS
        for path in (ROOT / room).iterdir()
        if path.is_dir() and any(path.glob("*.*")) and not path.name.startswith("__")
    }
    assert len(inside) > 20
    assert [path for path in sorted(inside) if f"`{path}`" not in named] == []


def reads_environment(tree: ast.Module) -> bool:
    """Whether it names `os.environ`, its twin in bytes, or a function that reads them.

    What the standard library looks up for a caller is no part of it: the folders with programs, the
    home directory, the one for temporary files.
    """
    names = {"environ", "environb", "getenv", "getenvb"}
    return any(
        (isinstance(node, ast.Attribute) and node.attr in names and _is_os(node.value))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module in {"os", "posix"}
            and any(each.name in {*names, "*"} for each in node.names)
        )
        for node in ast.walk(tree)
    )


def _is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"os", "posix"}


def test_the_environment_is_read_by_command_line_and_configuration_only() -> None:
    readers = {
        MODULES[name].relative_to(ROOT) for name, tree in trees().items() if reads_environment(tree)
    }
    inside = {path for path in readers if path.is_relative_to("images/setup/inside")}
    assert inside, "programs that run in a container, whose environment is made by us"
    command_line = {path for path in readers if path.is_relative_to("agent/cli")}
    assert {path.as_posix() for path in readers - inside - command_line} == {
        "agent/config/environment.py",
        # A program that opens a sandbox by itself: there is no command line that would hand it on.
        "sandbox/sandbox.py",
    }


@pytest.mark.parametrize(
    "source",
    ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ"],
)
def test_each_way_to_read_the_environment_is_seen(source: str) -> None:
    assert reads_environment(ast.parse(source))


@pytest.mark.parametrize("document", ["AGENTS.md", "README.md"])
def test_every_path_that_a_document_names_is_there(document: str) -> None:
    named = _PATH.findall((ROOT / document).read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert named
