"""A Python project as its manifests describe it: requirements, extras, groups, build backend."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from agent.proposal import setup_script
from agent.proposal.repository import RepositoryFiles, section, strings
from agent.proposal.requirements import (
    ITSELF,
    Requirement,
    RequirementList,
    another_index,
    both,
    from_file,
    judged_all,
    normal,
)

_INDEXES = {
    "uv": ("index", "index-url", "extra-index-url", "find-links"),
    "poetry": ("source",),
    "pdm": ("source",),
}
"""Keys of tools' tables that say where packages come from."""
_PIPFILE_LOCK = "Pipfile.lock is not read: what Pipfile allows is installed in its newest version"
_MAX_NAMED = 50
"""Groups and extras that are looked into for one."""


class PythonProject(NamedTuple):
    name: str
    """In its normal form; empty where it is not said."""
    requires: RequirementList
    build: RequirementList
    backend: str
    extras: Mapping[str, tuple[str, ...]]
    groups: Mapping[str, Any]
    """As written: texts, and mappings that include another group (PEP 735)."""
    source: str
    """Which files say so, for a comment."""
    can_be_built: bool
    has_extension: bool
    local: frozenset[str]
    """Requirements that lie in the repository, so that no index has them."""
    python: str
    """The versions of Python that it takes, as said."""
    notes: tuple[str, ...]

    @classmethod
    def read(cls, files: RepositoryFiles) -> Self:
        pyproject = files.toml("pyproject.toml")
        project = section(pyproject, "project")
        config = files.ini("setup.cfg")
        options = section(config, "options")
        script_text = files.text("setup.py")
        script = setup_script.read(script_text or "")
        poetry = section(pyproject, "tool", "poetry")
        pipfile = files.toml("Pipfile")
        requires = [
            judged_all(strings(project.get("dependencies")), "pyproject.toml"),
            judged_all(_lines(options.get("install_requires")), "setup.cfg"),
            judged_all(script.requires, "setup.py"),
            judged_all(_poetry(poetry.get("dependencies")), "pyproject.toml"),
            judged_all(_poetry(pipfile.get("packages")), "Pipfile"),
        ]
        dynamic = section(pyproject, "tool", "setuptools", "dynamic", "dependencies").get("file")
        named = [dynamic] if isinstance(dynamic, str) else strings(dynamic)
        requires += [from_file(files, path) for path in named]
        has_build = bool(script_text) or bool(section(pyproject, "build-system")) or bool(project)
        if not any(it.found for it in requires) and "requirements.txt" in files:
            requires.append(from_file(files, "requirements.txt"))
        extras = {
            **{key: tuple(value) for key, value in script.extras.items()},
            **{
                key: _lines(value)
                for key, value in section(config, "options.extras_require").items()
            },
            **{
                key: strings(value)
                for key, value in section(project, "optional-dependencies").items()
            },
        }
        groups = {
            **{
                key: [*_poetry(section(value).get("dependencies"))]
                for key, value in section(poetry, "group").items()
            },
            **section(pyproject, "tool", "pdm", "dev-dependencies"),
            **section(pyproject, "dependency-groups"),
        }
        for of_dev in (
            _poetry(poetry.get("dev-dependencies")),
            _poetry(pipfile.get("dev-packages")),
            strings(section(pyproject, "tool", "uv").get("dev-dependencies")),
        ):
            if of_dev:
                groups.setdefault("dev", [*of_dev])
        system = section(pyproject, "build-system")
        backend = system.get("build-backend")
        name = project.get("name") or section(config, "metadata").get("name") or poetry.get("name")
        named_by = ("pyproject.toml", "setup.cfg", "setup.py", "Pipfile")
        sources = [it for it in named_by if it in files]
        return cls(
            name=normal(name) if isinstance(name, str) else "",
            requires=both(*requires),
            build=judged_all(strings(system.get("requires")), "pyproject.toml"),
            backend=backend if isinstance(backend, str) else "",
            extras=extras,
            groups=groups,
            source=", ".join(sources),
            can_be_built=has_build,
            has_extension=script.has_extension,
            local=frozenset(
                normal(name)
                for name, said in section(pyproject, "tool", "uv", "sources").items()
                if isinstance(said, Mapping) and said.keys() & {"workspace", "path"}
            ),
            python=str(
                project.get("requires-python")
                or options.get("python_requires")
                or section(poetry, "dependencies").get("python")
            ),
            notes=(
                *((script.problem,) if script.problem else ()),
                *_indexes(pyproject),
                *((_PIPFILE_LOCK,) if "Pipfile.lock" in files else ()),
            ),
        )

    def of_extras(self, *names: str) -> RequirementList:
        """Requirements of extras; what they take from the project's other extras included."""
        return self._asked_by("extra", names)

    def of_groups(self, *names: str) -> RequirementList:
        """Requirements of dependency groups, included groups' too."""
        return self._asked_by("group", names)

    def with_extras(self, asked: RequirementList) -> RequirementList:
        """Requirements without the project itself, and with those of its extras they ask for."""
        others = tuple(it for it in asked.found if not self._is_itself(it))
        extras = [extra for it in asked.found if self._is_itself(it) for extra in it.extras]
        return both(RequirementList(others, asked.refused), self.of_extras(*extras))

    def _is_itself(self, requirement: Requirement) -> bool:
        return requirement.name in (ITSELF, self.name)

    def _asked_by(self, kind: str, names: Iterable[str]) -> RequirementList:
        """Each group and extra once: they may name each other round in circles, many times over."""
        waiting = [(kind, name) for name in dict.fromkeys(names)][:_MAX_NAMED]
        lists = []
        for kind, name in waiting:  # noqa: PLR1704 - it grows as it is walked
            entries = self.groups.get(name) if kind == "group" else list(self.extras.get(name, ()))
            found = judged_all(strings(entries), f"the {kind} {name}")
            lists.append(found)
            named = [
                ("group", entry["include-group"])
                for entry in (entries if isinstance(entries, list) else ())
                if isinstance(entry, Mapping) and isinstance(entry.get("include-group"), str)
            ]
            own = {it for one in found.found if self._is_itself(one) for it in one.extras}
            named += [("extra", extra) for extra in sorted(own)]
            new = [it for it in dict.fromkeys(named) if it not in waiting]
            waiting += new[: _MAX_NAMED - len(waiting)]
        return both(*lists)


def _indexes(pyproject: Mapping[str, Any]) -> Iterator[str]:
    for tool, keys in _INDEXES.items():
        said = section(pyproject, "tool", tool)
        for key in keys:
            if key in said:
                yield another_index("pyproject.toml", f"tool.{tool}.{key} = {said[key]!r}")


def _lines(value: object) -> tuple[str, ...]:
    lines = value.splitlines() if isinstance(value, str) else ()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _poetry(value: object) -> tuple[str, ...]:
    """A table of Poetry or Pipenv as requirements; a caret or tilde means the least version."""
    found = []
    for name, said in value.items() if isinstance(value, Mapping) else ():
        table = said if isinstance(said, Mapping) else {"version": said}
        version, extras = table.get("version"), strings(table.get("extras"))
        if name == "python" or not isinstance(version, str):
            continue
        version = version.strip()
        if version[:1] in ("^", "~") and version[1:2] != "=":
            version = f">={version[1:]}"
        elif version[:1].isdigit():
            version = f"=={version}"
        found.append(
            name + (f"[{','.join(extras)}]" if extras else "") + ("" if version == "*" else version)
        )
    return tuple(found)
