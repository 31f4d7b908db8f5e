"""Python requirements out of a repository: judged one by one, or left out and said so.

A requirement may say a name, extras, versions and a marker. What names an address, a path or an
option is no requirement here: a repository does not choose where packages come from.
"""

import re
import shlex
from collections.abc import Iterable
from typing import NamedTuple

from agent.proposal.repository import RepositoryFiles

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,99}[A-Za-z0-9])?"
_VERSION = r"(?:===|~=|==|!=|<=|>=|<|>)\s*[A-Za-z0-9][A-Za-z0-9.*+!_-]{0,60}"
_VALUE = r"(?:'[A-Za-z0-9_. +-]{0,60}'|\"[A-Za-z0-9_. +-]{0,60}\")"
_VARIABLE = r"(?:python|os|sys|platform|implementation)_[a-z_]{2,30}|extra"
_COMPARED = rf"(?:{_VARIABLE})\s*(?:<=|>=|==|!=|~=|<|>|in|not in)\s*{_VALUE}"
_REQUIREMENT = re.compile(
    rf"(?P<name>{_NAME})\s*(?:\[\s*(?P<extras>{_NAME}(?:\s*,\s*{_NAME})*)?\s*\])?\s*"
    rf"\(?\s*(?P<versions>{_VERSION}(?:\s*,\s*{_VERSION})*)?\s*,?\s*\)?\s*"
    rf"(?:;\s*(?P<marker>\(*{_COMPARED}(?:\)*\s+(?:and|or)\s+\(*{_COMPARED})*\s*\)*))?",
    re.ASCII,
)
_INCLUDED = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]*([A-Za-z0-9_./-]{1,200})\Z")
_ELSEWHERE = re.compile(r"(?:-i\b|--index-url|--extra-index-url|-f\b|--find-links)")
_ITSELF = re.compile(r"(?:-e|--editable)?\s*\.(?:\[([\w., -]*)\])?")
"""The project, as a requirement of its own tests."""
_HASH = re.compile(r"\s--hash[= ][a-z0-9]+:[0-9a-f]+")
_MAX_REQUIREMENTS = 300
_MAX_FILES = 20


ITSELF = "."
"""Name of the project that is worked on, whatever it is called."""


class Requirement(NamedTuple):
    name: str
    """In its normal form; of the project that is worked on, `ITSELF`."""
    extras: tuple[str, ...]
    spelled: str
    """As pip takes it, with nothing else in it."""


class RequirementList(NamedTuple):
    found: tuple[Requirement, ...] = ()
    refused: tuple[str, ...] = ()
    """What was left out, in words."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def judged(text: str) -> Requirement | None:
    """One requirement; None where it is anything else."""
    if len(text) > 500:
        return None
    fits = _REQUIREMENT.fullmatch(text.strip())
    if fits is None:
        return None
    extras = tuple(it.strip() for it in (fits["extras"] or "").split(",") if it.strip())
    versions = re.sub(r"\s", "", fits["versions"] or "")
    # One kind of quote, of which no value has one: so a shell's line needs the other alone.
    marker = re.sub(r"\s+", " ", fits["marker"] or "").strip().replace("'", '"')
    spelled = fits["name"] + (f"[{','.join(extras)}]" if extras else "") + versions
    return Requirement(normal(fits["name"]), extras, spelled + (f"; {marker}" if marker else ""))


def judged_all(texts: Iterable[str], where: str) -> RequirementList:
    found: list[Requirement] = []
    refused: list[str] = []
    for text in texts:
        requirement = judged(text)
        if len(found) == _MAX_REQUIREMENTS:
            refused.append(f"{where} asks for more than {_MAX_REQUIREMENTS} packages")
            break
        if requirement is None:
            refused.append(f"{where} also asks for {text[:100]}, which is no plain requirement")
        else:
            found.append(requirement)
    return RequirementList(tuple(found), tuple(refused))


def both(*lists: RequirementList) -> RequirementList:
    """All of them, each requirement once."""
    found = dict.fromkeys(it for one in lists for it in one.found)
    return RequirementList(tuple(found), tuple(text for one in lists for text in one.refused))


def from_file(files: RepositoryFiles, path: str, seen: set[str] | None = None) -> RequirementList:
    """The requirements of a file in pip's form, and of those it includes."""
    seen = set() if seen is None else seen
    if path in seen or len(seen) >= _MAX_FILES:
        return RequirementList()
    seen.add(path)
    lines = (files.text(path) or "").replace("\\\n", " ").splitlines()
    return from_lines(files, lines, path, seen)


def from_lines(
    files: RepositoryFiles, lines: Iterable[str], path: str, seen: set[str]
) -> RequirementList:
    """The requirements that lines of a file are, in the form of pip's own files."""
    folder = path.rpartition("/")[0]
    plain: list[str] = []
    found: list[RequirementList] = []
    refused: list[str] = []
    for line in lines:
        said = _HASH.sub("", re.sub(r"(^|\s)#.*", "", line)).strip()
        included = _INCLUDED.fullmatch(said)
        if not said:
            continue
        if included is not None:
            below = _joined(folder, included[1])
            if said.startswith(("-c", "--constraint")):
                refused.append(f"{path} holds versions by {included[1]}, which is not read")
            elif below is not None:
                found.append(from_file(files, below, seen))
        elif _ELSEWHERE.match(said):
            refused.append(another_index(path, said))
        elif itself := _ITSELF.fullmatch(said):
            names = tuple(filter(None, map(str.strip, (itself[1] or "").split(","))))
            found.append(RequirementList((Requirement(ITSELF, names, ""),)))
        else:
            plain.append(said)
    return both(judged_all(plain, path), *found, RequirementList((), tuple(refused)))


def another_index(path: str, said: str) -> str:
    """The note on a place of packages that a file names, from which nothing is got for that."""
    return (
        f"{path} names another index: {said[:100]} (an index is the operator's to choose: "
        "configure it for pip, or add its host to the network list)"
    )


def _joined(folder: str, path: str) -> str | None:
    """A path as a file of a folder means it; None where it leaves the repository."""
    parts: list[str] = folder.split("/") if folder else []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return None if path.startswith("/") else "/".join(parts)


def as_arguments(requirements: Iterable[Requirement]) -> str:
    """For a shell line."""
    return " ".join(shlex.quote(it.spelled) for it in requirements)
