"""What the command line takes for a workspace, and what it takes from one: nothing."""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from agent.errors import UsageError
from sandbox.cache import regular_file
from sandbox.errors import WorkspaceError
from sandbox.workspace.source import ImageFolder, Workspace, named, on_host

_LOOKS_LIKE_POLICY = (
    "moonpool.yaml",
    "moonpool.yml",
    ".moonpool.yaml",
    ".moonpool.yml",
    "moonpool-policy.yaml",
    ".moonpool",
)

_MANIFESTS = (
    ("requirements.txt", b""),
    ("pyproject.toml", b"ependencies"),
    ("setup.py", b"install_requires"),
    ("setup.cfg", b"install_requires"),
    ("package.json", b"ependencies"),
    ("go.mod", b"require"),
    ("Cargo.toml", b"ependencies"),
    ("pom.xml", b"<dependenc"),
)
"""Names of files in the top folder, and what in them asks for packages."""


def resolve(directory: Path) -> Workspace:
    """The workspace as an absolute path without links in it; or, as ``image:PATH``, a folder of the
    image.

    Raises:
        UsageError: it is not a directory, or can't be one of an image.
    """
    try:
        place = named(str(directory))
    except WorkspaceError as error:
        raise UsageError(str(error)) from error
    if isinstance(place, ImageFolder):
        return place
    try:
        found = directory.resolve(strict=True)
    except OSError as error:
        raise UsageError(f"no workspace {directory}: {error.strerror}") from error
    except RuntimeError as error:  # a loop of symbolic links
        raise UsageError(f"no workspace {directory}: {error}") from error
    if not found.is_dir():
        raise UsageError(f"the workspace {directory} is not a directory")
    return found


def directory(given: Path, what: str) -> Path:
    """As `resolve`, for what takes a directory of this machine alone.

    Raises:
        UsageError: likewise.
    """
    place = resolve(given)
    if isinstance(place, Path):
        return place
    raise UsageError(f"{what} takes a directory of this machine: {place} is a folder of an image")


def is_inside(path: Path, workspace: Workspace) -> bool:
    """Does `path` lie in the workspace, by its name or by where its links lead?"""
    return isinstance(workspace, Path) and any(
        form == workspace or workspace in form.parents for form in _forms(path)
    )


def holding(path: Path, workspaces: Collection[Path]) -> tuple[Path, ...]:
    """Those of many workspaces that a path lies in, as `is_inside` would say it of each."""
    above = {place for form in _forms(path) for place in (form, *form.parents)}
    return tuple(place for place in above if place in workspaces)


def _forms(path: Path) -> tuple[Path, Path]:
    """The path resolved; and as it is named: its folder resolved, its last part not."""
    absolute = path.absolute()
    # Not by pathlib, which raises where links lead round in a circle: opening it says so.
    found, folder = os.path.realpath(absolute), os.path.realpath(absolute.parent)
    return Path(found), Path(folder) / absolute.name


def refuse_policy_inside(policy: str, workspace: Workspace) -> None:
    """A repository does not get to write its own permit, not even by the operator's hand.

    Raises:
        UsageError: the policy is a file in the workspace.
    """
    is_file = "/" in policy or policy.endswith((".yaml", ".yml"))
    if is_file and is_inside(Path(policy), workspace):
        raise UsageError(
            f"the policy {policy} lies in the workspace, which may not decide what it may do: "
            "read it, copy it somewhere else, and name the copy"
        )


def refuse_inside(path: Path, workspace: Workspace, what: str) -> None:
    """Raises UsageError where something of the operator's would lie in the workspace."""
    if is_inside(path, workspace):
        raise UsageError(f"{what} {path} lies in the workspace, which a run never writes to")


def ignored_policies(workspace: Workspace) -> tuple[str, ...]:
    """Files of the workspace that someone may take for its policy; none is read."""
    return tuple(name for name in _LOOKS_LIKE_POLICY if os.path.exists(on_host(workspace) / name))


def needing_setup(workspace: Workspace) -> str | None:
    """The first manifest that names packages to install; a handful of looks, none at a link."""
    for name, word in _MANIFESTS:
        with suppress(OSError), regular_file(on_host(workspace) / name) as file:
            if word in file.read(1 << 16):
                return name
    return None


def began_in(recorded: str, directory: Path | None) -> Workspace:
    """The workspace that a run began with: as recorded, or a checkout of then.

    Raises:
        UsageError: it is not there.
    """
    if directory is not None:
        return resolve(directory)
    then = named(recorded)
    if isinstance(then, Path) and not then.is_dir():
        raise UsageError(f"{then} is not there any more: name a checkout of then with -w DIR")
    return resolve(then) if isinstance(then, Path) else then
