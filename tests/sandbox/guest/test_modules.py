"""The guest's own modules: what an old Python reads, and what a resident process imports."""

import ast
from pathlib import Path

import pytest

import sandbox.guest
from sandbox.container.prepared_image import guest_sources
from sandbox.guest.inventory import _unannotated

FOLDER = Path(sandbox.guest.__path__[0])
SOURCES = guest_sources()
RESIDENT = sorted(SOURCES.keys() - {"inventory.py"})
"""The inventory is taken once per image, in a container of its own."""

LIGHT = {"_thread", "ctypes", "os", "select", "signal", "time", "sandbox.guest"}


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str() as module):
                found.add(module)
    return found


def test_every_module_goes_into_the_container() -> None:
    assert SOURCES.keys() == {path.name for path in FOLDER.glob("*.py")}


@pytest.mark.parametrize("name", SOURCES)
def test_python_3_8_reads_it(name: str) -> None:
    ast.parse(SOURCES[name], feature_version=(3, 8))


@pytest.mark.parametrize("name", RESIDENT)
def test_a_resident_module_imports_little(name: str) -> None:
    outside = {
        module
        for module in imported(_unannotated(SOURCES[name]))
        if not module.startswith("sandbox.guest")
    }
    assert outside <= LIGHT


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_for_the_type_checker_is_left_at_run_time(name: str) -> None:
    tree = _unannotated(SOURCES[name])
    assert not imported(tree) & {"__future__", "typing", "collections.abc"}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.returns is None
        if isinstance(node, ast.arg):
            assert node.annotation is None
    # In a module or class body an annotation is evaluated; in a function it is not.
    bodies = [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    assert not any(isinstance(node, ast.AnnAssign) for body in bodies for node in body)


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_left_compiles_and_keeps_its_line_numbers(name: str) -> None:
    before, after = ast.parse(SOURCES[name]), _unannotated(SOURCES[name])
    compile(after, name, "exec", dont_inherit=True, optimize=2)

    def functions(tree: ast.Module) -> list[tuple[str, int]]:
        return [(n.name, n.lineno) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]

    assert functions(after) == functions(before)
