"""Python environments that were made on the host: what of them does not work in a copy, and why.

Their scripts name the place where they were made, and their Python is often a link that leads out
of the workspace. Owns finding them; changes nothing of them, for the copy is exact.
"""

import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from policies.kernel.image import ContainerImage, Inventory
from policies.paths import WORKSPACE, within
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.workspace.scan import FoundFile

_PYTHON = re.compile(rb"(?:^|(.*)/)(?:bin|Scripts)/python3?$")
_LIBRARY = re.compile(rb"(.*)/lib/python(3\.\d+)$")
_ACTIVATE = b"/bin/activate"
_SHOWN = 200


def unusable(root: Path, copied: Iterable[FoundFile], inventory: Inventory) -> list[LeftOut]:
    """One entry for each environment, with what to do instead; by its directory."""
    return list(_unusable(root, tuple(copied), inventory))


def _unusable(root: Path, copied: tuple[FoundFile, ...], inventory: Inventory) -> Iterator[LeftOut]:
    versions = {
        match[1]: match[2].decode()
        for item in copied
        if stat.S_ISDIR(item.mode) and (match := _LIBRARY.match(item.path))
    }
    activated = {item.path for item in copied if item.path.endswith(_ACTIVATE)}
    image = ContainerImage(inventory)
    seen: set[bytes] = set()
    for item in copied:
        path = item.path
        match = _PYTHON.match(path) if stat.S_ISLNK(item.mode) else None
        if match is None or not match[1] or match[1] in seen:
            continue
        environment = match[1]
        outside = _leads_out(root, path, image)
        if outside is None and environment + _ACTIVATE not in activated:
            continue
        seen.add(environment)
        version = versions.get(environment)
        yield LeftOut(
            path=environment,
            reason=_reason(environment, outside, version),
            kind=LeftOutKind.UNUSABLE,
        )


def _leads_out(root: Path, path: bytes, image: ContainerImage) -> str | None:
    """Where a link leads that has nothing at its end in a container; None where it has something,
    or leads to a neighbour in the workspace."""
    try:
        target = os.fsdecode(os.readlink(os.fsencode(root) + b"/" + path))
    except OSError:
        return None
    place = posixpath.join(WORKSPACE, posixpath.dirname(os.fsdecode(path)), target)
    place = posixpath.normpath(place)
    if within(place, WORKSPACE) or image.find(place) is not None:
        return None
    return target


def _reason(environment: bytes, outside: str | None, version: str | None) -> str:
    shown = os.fsdecode(environment)
    why = (
        f"its python leads to {outside[:_SHOWN]}, which is not in the sandbox"
        if outside is not None
        else f"activate and scripts name the place where it was made (use {shown}/bin/python)"
    )
    instead = "use the image's python3"
    if version is not None:
        packages = f"PYTHONPATH={shown}/lib/python{version}/site-packages"
        instead += f", with {packages} where that is Python {version} too"
    return (
        f"was made on the host and does not work in the sandbox: {why}; {instead}, or make another "
        "one there (python3 -m venv)"
    )
