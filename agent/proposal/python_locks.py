"""Versions that a Python lock pins: names and versions alone, never where the lock found them.

A lock's own addresses would choose an index for the operator; the versions are what makes an older
suite pass beside newer releases.
"""

import re

from agent.proposal.repository import RepositoryFiles
from agent.proposal.requirements import Requirement, RequirementList, judged, normal

NAMES = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
_LARGEST = 8 << 20
_PINNED = re.compile(
    r'^\[\[packages?\]\]\nname = "([A-Za-z0-9._-]{1,100})"\nversion = "([A-Za-z0-9.!+]{1,60})"$',
    re.ASCII | re.MULTILINE,
)


def pinned(files: RepositoryFiles) -> dict[str, str]:
    """What to ask for by a package's normal name: ``==3.1``.

    Of one that a lock has several versions of, for several Pythons: up to the newest, ``<=9.0``.
    """
    for name in NAMES:
        if name in files:
            text = (files.text(name, _LARGEST) or "").replace("\r\n", "\n")
            found: dict[str, set[str]] = {}
            for package in _PINNED.finditer(text):
                found.setdefault(normal(package[1]), set()).add(package[2])
            return {name: _bound(versions) for name, versions in found.items()}
    return {}


def _bound(versions: set[str]) -> str:
    newest = max(versions, key=lambda it: [int(part) for part in re.findall(r"[0-9]{1,20}", it)])
    return f"{'==' if len(versions) == 1 else '<='}{newest}"


def held_to(requirements: RequirementList, pins: dict[str, str]) -> RequirementList:
    """The requirements at the versions of a lock, where it has one."""
    held = tuple(_held(it, pins.get(it.name)) for it in requirements.found)
    return RequirementList(held, requirements.refused)


def _held(requirement: Requirement, bound: str | None) -> Requirement:
    if bound is None:
        return requirement
    extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
    _, sign, marker = requirement.spelled.partition(";")
    return judged(f"{requirement.name}{extras}{bound}{sign}{marker}") or requirement
