"""Python: what the project, its build and its tests ask for, into a virtual environment."""

import re
from typing import NamedTuple

from agent.proposal import python_locks, python_tests
from agent.proposal.python_project import PythonProject
from agent.proposal.repository import RepositoryFiles
from agent.proposal.requirements import as_arguments, both, normal
from agent.proposal.values import Lines, Proposed, ProposedLine

_PIP = "/opt/venv/bin/pip"
_MARKS = (
    "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "tox.ini",
    "noxfile.py", "uv.lock", "poetry.lock",
)  # fmt: skip
_BACKENDS = {
    "hatchling": ("hatchling", "editables"),
    "flit_core": ("flit_core",),
    "pdm": ("pdm-backend",),
    "poetry": ("poetry-core",),
    "mesonpy": ("meson-python", "meson", "ninja"),
    "scikit_build_core": ("scikit-build-core", "cmake", "ninja"),
}
"""What an editable build needs beside what `requires` says: backends ask for it as they build."""
_FROM_GIT = re.compile(r"\b(setuptools[-_]scm|hatch-vcs|setuptools-git-versioning|versioningit)\b")


class _Build(NamedTuple):
    lines: Lines
    notes: tuple[str, ...]


def propose(files: RepositoryFiles) -> Proposed | None:
    """None where nothing here is Python's."""
    mark = next((name for name in _MARKS if name in files), None)
    if mark is None:
        return None
    project = PythonProject.read(files)
    tests = python_tests.find(files, project)
    pins = python_locks.pinned(files)
    asked = project.with_extras(both(project.requires, tests.requirements))
    own = both(python_locks.held_to(asked, pins), project.build)
    wanted = [it for it in own.found if it.name != project.name]
    names = {it.name for it in wanted}
    commands = [
        ProposedLine(
            "python3 -m venv /opt/venv",
            "an environment of its own, outside the workspace and first in PATH",
        )
    ]
    build = _prepare(files, project) if project.can_be_built else _Build((), ())
    tools = [it for it in _build_tools(project) if normal(it) not in names] if build.lines else []
    if "pytest" not in names and not tests.runner_is_unittest:
        tools.append("pytest")
    if tools:
        why = "the build's backend, and a test runner where none is asked for"
        commands.append(ProposedLine(f"{_PIP} install {' '.join(tools)}", why))
    if wanted:
        sources = [it for it in (project.source, tests.source) if it]
        commands.append(
            ProposedLine(
                f"{_PIP} install {as_arguments(wanted)}",
                f"asked for by {', '.join(sources) or mark}",
            )
        )
    inputs = tuple(
        ProposedLine(path, "says what is installed; a change of it makes set-up run again")
        for path in (*(name for name in _MARKS if name in files), *tests.files)
    )
    notes = [*own.refused, *build.notes, *project.notes]
    lock = next((name for name in python_locks.NAMES if name in files), None)
    if lock is not None:
        notes.append(
            f"what is named here has the version that {lock} pins; what that needs in turn is the "
            "newest that fits, from your index"
        )
    return Proposed(
        image="python",
        reason=f"{mark} is Python's",
        inputs=tuple(dict.fromkeys(inputs)),
        commands=tuple(commands),
        network=(ProposedLine("pip", "the index that your own pip is configured for"),),
        prepare=build.lines,
        verify=tests.verify,
        notes=tuple(notes),
    )


def _build_tools(project: PythonProject) -> list[str]:
    backend = project.backend.partition(".")[0]
    return list(_BACKENDS.get(backend, ("setuptools", "wheel")))


def _prepare(files: RepositoryFiles, project: PythonProject) -> _Build:
    notes = []
    front = ""
    build = " ".join(it.name for it in project.build.found)
    text = f"{build} {files.text('setup.py') or ''}"
    if _FROM_GIT.search(text) and "PKG-INFO" not in files and not files.has_git:
        front = "SETUPTOOLS_SCM_PRETEND_VERSION=0.0.1 "
        notes.append("the version comes from git, and there is no .git here: 0.0.1 stands for it")
    why = "the project itself, from the workspace; all it needs is installed by then"
    if project.has_extension:
        why += "; it has parts in C, which the image's compiler builds"
    line = f"{front}{_PIP} install --no-deps --no-build-isolation -e ."
    return _Build((ProposedLine(line, why),), tuple(notes))
