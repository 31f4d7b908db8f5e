"""Python: what the project, its build and its tests ask for, into a virtual environment."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from agent.proposal import python_tests
from agent.proposal.python_project import PythonProject
from agent.proposal.repository import RepositoryFiles
from agent.proposal.requirements import Requirement, as_arguments, both, normal
from agent.proposal.values import Lines, Proposed, ProposedLine, not_in_recipe

NEWER = "python3.13"
MINORS = {"python": 11, NEWER: 13}
"""What Python the recipes hold, the usual one first; a test that runs each compares."""
_LEAST_MINOR = re.compile(r"(?:>=|~=|\^|==)\s*3\.(\d{1,3})")
_PIP = "/opt/venv/bin/pip"
_PINS = "/tmp/pins.txt"  # noqa: S108 - of a container that is set up
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
_MARKS = (
    "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "tox.ini",
    "noxfile.py", *_LOCKS,
)  # fmt: skip
_READ_PINS = (
    r"sed -nE '/^name/{{N;s/^name = .([A-Za-z0-9][A-Za-z0-9._-]*).\r?\nversion = .([A-Za-z0-9.!]+)"
    rf".*/\1<=\2/p}}}}' {{}} | tac | sort -ut'<' -k1,1 > {_PINS}"
)
"""Names and versions alone, never where the lock found them: its addresses would choose an index
for the operator. Of several versions, for several Pythons, the last is the newest."""
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
    own = project.with_extras(both(project.requires, tests.requirements))
    wanted = [it for it in own.found if it.name not in {project.name, *project.local}]
    local = sorted({it.name for it in own.found} & project.local)
    notes = [
        f"{name} lies in the repository (tool.uv.sources): install it in prepare, with -e and its "
        "folder, and what it needs in set-up"
        for name in local
    ]
    sources = [it for it in (project.source, tests.source) if it] if wanted else []
    if not tests.runner_is_unittest and "pytest" not in {it.name for it in wanted}:
        wanted.append(Requirement("pytest", (), "pytest"))
        sources.append("its tests, which pytest runs")
    commands = [
        ProposedLine(
            "python3 -m venv /opt/venv",
            "an environment of its own, outside the workspace and first in PATH",
        )
    ]
    lock = next((name for name in _LOCKS if name in files), None)
    if lock is not None:
        why = f"what {lock} pins: nothing that is installed next is newer than that"
        commands.append(ProposedLine(_READ_PINS.format(lock), why))
    if wanted:
        held = "" if lock is None else f"-c {_PINS} "
        commands.append(
            ProposedLine(
                f"{_PIP} install {held}{as_arguments(wanted)}",
                f"asked for by {', '.join(sources) or mark}",
            )
        )
    build = _prepare(files, project) if project.can_be_built else _Build((), ())
    if build.lines:
        of_build = [*project.build.found, *_backend(project)]
        line = f"{_PIP} install {as_arguments(of_build)}"
        commands.append(ProposedLine(line, "what the build itself takes"))
    inputs = tuple(
        ProposedLine(path, "says what is installed; a change of it makes set-up run again")
        for path in (*(name for name in _MARKS if name in files), *tests.files)
    )
    least = max(map(int, _LEAST_MINOR.findall(project.python)), default=0)
    image = next((name for name, minor in MINORS.items() if least <= minor), "python")
    newer = "" if image == "python" else f", and asks for Python 3.{least} or newer"
    return Proposed(
        image=image,
        reason=f"{mark} is Python's{newer}",
        inputs=tuple(dict.fromkeys(inputs)),
        commands=tuple(commands),
        network=(ProposedLine("pip", "the index that your own pip is configured for"),),
        prepare=build.lines,
        verify=tests.verify,
        notes=(
            *not_in_recipe("Python", "3.", max(MINORS.values()), least, public="python:"),
            *notes,
            *own.refused,
            *project.build.refused,
            *build.notes,
            *project.notes,
        ),
    )


def _backend(project: PythonProject) -> Iterator[Requirement]:
    named = {it.name for it in project.build.found}
    for name in _BACKENDS.get(project.backend.partition(".")[0], ("setuptools", "wheel")):
        if normal(name) not in named:
            yield Requirement(name, (), name)


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
