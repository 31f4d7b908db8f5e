"""The guest's own modules: what an old Python reads, and what a resident process imports."""

import ast
import marshal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sandbox.guest
from sandbox.container.prepared_image import guest_sources
from sandbox.guest.inventory import _unannotated, compiled

FOLDER = Path(sandbox.guest.__path__[0])
SOURCES = guest_sources()
RESIDENT = sorted(SOURCES.keys() - {"inventory.py", "image_protocol.py"})
"""The inventory is taken once per image, in a container of its own."""

LIGHT = {
    "_ctypes",
    "_operator",
    "_signal",
    "_struct",
    "_thread",
    "os",
    "select",
    "sys",
    "time",
    "sandbox.guest",
}


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str() as module):
                found.add(module)
    return found


def imported_modules(tree: ast.AST) -> set[str]:
    """As `imported`, with the modules that are named after a package."""
    found = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "sandbox.guest":
            found |= {f"sandbox.guest.{alias.name}" for alias in node.names}
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


def test_a_resident_guest_holds_nothing_of_the_large_modules(tmp_path: Path) -> None:
    """The standard library's own imports counted, which are most of what an idle guest takes."""
    package = tmp_path / "sandbox" / "guest"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    for name, source in SOURCES.items():
        (package / f"{name}c").write_bytes(compiled(name, source))
    told = "import sys; sys.path.insert(0, sys.argv[1]); import sandbox.guest.init, "
    told += "sandbox.guest.services; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", told, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "sandbox.guest.services" in loaded
    assert not loaded & {"collections", "ctypes", "enum", "functools", "re", "signal", "typing"}


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_for_the_type_checker_is_left_at_run_time(name: str) -> None:
    tree = _unannotated(SOURCES[name])
    # The inventory compiles the others as if each began with that import.
    allowed = {"__future__"} if name == "inventory.py" else set()
    assert not imported(tree) & {"__future__", "typing", "collections.abc"} - allowed
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.returns is None
        if isinstance(node, ast.arg):
            assert node.annotation is None
    # In a module or class body an annotation is evaluated, or kept as text as it is here: those of
    # messages are their fields.
    bodies = [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    if name not in {"message.py", "protocol.py", "image_protocol.py", "service_protocol.py"}:
        assert not any(isinstance(node, ast.AnnAssign) for body in bodies for node in body)


def test_the_modules_make_no_circle() -> None:
    needs = {
        name[:-3]: {
            module.rpartition(".")[2]
            for module in imported_modules(_unannotated(source))
            if module.startswith("sandbox.guest.")
        }
        for name, source in SOURCES.items()
    }
    while free := {name for name, below in needs.items() if not below & needs.keys()}:
        for name in free:
            del needs[name]
    assert needs == {}


def test_the_fields_of_messages_outlive_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = {}
    for name in ("message", "protocol"):
        module = loaded[name] = ModuleType(f"sandbox.guest.{name}")
        exec(marshal.loads(compiled(f"{name}.py", SOURCES[f"{name}.py"])[16:]), vars(module))
        # The second takes its classes from the first, not from those that the suite itself uses.
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert loaded["protocol"].FilePiece._kinds == {"data": "bytes", "size": "int"}
    assert loaded["protocol"].Done._kinds == {}


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_left_compiles_and_keeps_its_line_numbers(name: str) -> None:
    before, after = ast.parse(SOURCES[name]), _unannotated(SOURCES[name])
    compile(after, name, "exec", dont_inherit=True, optimize=2)

    def functions(tree: ast.AST) -> set[tuple[str, int]]:
        return {(n.name, n.lineno) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}

    checked = [
        node
        for statement in before.body
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
        for node in statement.body
    ]
    assert functions(after) == functions(before) - set().union(*map(functions, checked))
