"""What runs a Python project's tests, and what it needs: groups, extras, tox, requirement files."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from agent.proposal import nox_file
from agent.proposal.python_project import PythonProject
from agent.proposal.repository import RepositoryFiles, section, strings
from agent.proposal.requirements import RequirementList, both, from_file, from_lines, judged_all
from agent.proposal.values import ProposedLine

_NAMES = ("tests", "test", "testing", "dev", "develop", "development")
"""Of extras and groups; the first that is there counts."""
_HATCH_NAMES = ("hatch-test", "test", "tests", "default", "dev")
_FOLDERS = ("", "requirements", "requirements-dev", "tests", "test", "testing", "reqs")
_FILES = (
    "test-requirements.txt", "test_requirements.txt", "tests-requirements.txt",
    "requirements-test.txt", "requirements-tests.txt", "requirements_test.txt",
    "requirements-testing.txt", "requirements-dev.txt", "requirements_dev.txt",
    "dev-requirements.txt", "dev_requirements.txt",
)  # fmt: skip
_BELOW = ("tests.txt", "test.txt", "testing.txt", "dev.txt", "requirements.txt")


class PythonTests(NamedTuple):
    requirements: RequirementList
    source: str
    files: tuple[str, ...]
    """Requirement files that were read."""
    verify: ProposedLine
    runner_is_unittest: bool


def find(files: RepositoryFiles, project: PythonProject) -> PythonTests:
    """The first source that says what the tests need, and the line that runs them."""
    found, source, read = RequirementList(), "", set[str]()
    for source, read, asked in _sources(files, project):  # noqa: B007 - the first that has some
        found = project.with_extras(asked)
        if found.found:
            break
    names = {it.name for it in both(found, project.requires).found}
    unittest = not names & {"pytest"} and _only_unittest(files)
    if unittest:
        verify = ProposedLine("python3 -m unittest discover", "no file here names pytest")
    else:
        verify = ProposedLine("python3 -m pytest -q", "the tests are run by pytest")
    return PythonTests(found, source if found.found else "", tuple(sorted(read)), verify, unittest)


def _sources(
    files: RepositoryFiles, project: PythonProject
) -> Iterator[tuple[str, set[str], RequirementList]]:
    for name in _NAMES:
        if name in project.groups:
            yield f"the dependency group {name}", set(), project.of_groups(name)
        if name in project.extras:
            yield f"the extra {name}", set(), project.of_extras(name)
    for folder in _FOLDERS:
        for name in _BELOW if folder else _FILES:
            path = f"{folder}/{name}" if folder else name
            if path in files:
                read: set[str] = set()
                found = from_file(files, path, read)
                yield path, read, found
    yield "tox", set(), _tox(files, project)
    read = set()
    yield "noxfile.py", read, _nox(files, project, read)
    yield "hatch", set(), _hatch(files, project)
    read = set()
    yield "requirements.txt", read, from_file(files, "requirements.txt", read)


def _tox(files: RepositoryFiles, project: PythonProject) -> RequirementList:
    """What tox's test environment gets; lines for one of several factors are read as for all."""
    said = section(files.ini("tox.ini"), "testenv")

    def names(key: str) -> list[str]:
        return re.findall(r"[\w.-]+", str(said.get(key, "")))

    lines = [line.rpartition(": ")[2].strip() for line in str(said.get("deps", "")).splitlines()]
    plain = [it.replace("{toxinidir}/", "") for it in lines if not it.startswith("{")]
    itself = f".[{','.join(names('extras'))}]"
    asked = from_lines(files, [*plain, itself], "tox.ini", set())
    return both(asked, project.of_groups(*names("dependency_groups")))


def _nox(files: RepositoryFiles, project: PythonProject, read: set[str]) -> RequirementList:
    session = nox_file.read(files.text("noxfile.py") or "")
    asked = from_lines(files, session.lines, "noxfile.py", read)
    return both(asked, project.of_groups(*session.groups))


def _hatch(files: RepositoryFiles, project: PythonProject) -> RequirementList:
    whole = section(files.toml("pyproject.toml"), "tool", "hatch")
    environments = section({**whole, **files.toml("hatch.toml")}, "envs")
    for name in _HATCH_NAMES:
        said = section(environments, name)
        lines = [*strings(said.get("dependencies")), *strings(said.get("extra-dependencies"))]
        found = both(
            judged_all(lines, f"hatch's environment {name}"),
            project.of_extras(*strings(said.get("features"))),
            project.of_groups(*strings(said.get("dependency-groups"))),
        )
        if found.found:
            return found
    return RequirementList()


def _only_unittest(files: RepositoryFiles) -> bool:
    """Do the tests say unittest, and none of them pytest?"""
    texts = [
        files.text(path) or ""
        for folder in ("tests", "test", "")
        for path in files.matching(folder, "test_*.py", "*_test.py", "conftest.py")[:30]
    ]
    return any("unittest" in text for text in texts) and not any("pytest" in it for it in texts)
