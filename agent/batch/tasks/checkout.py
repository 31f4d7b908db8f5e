"""A revision of a git repository as a directory: got once, and kept for the whole batch.

Owns the places in the store, and that of several who want the same, one gets it and the others
wait. What a name such as a branch led to the first time, it leads to for as long as the store is
there. How git is kept from running anything is `sandbox.git.clone`'s.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agent.batch.task import GitWorkspace
from agent.batch.tasks.addresses import protocol
from sandbox.cache import alone, write_atomically
from sandbox.errors import PatchError, WorkspaceError
from sandbox.git import clone
from sandbox.git.store import Store


def materialize(place: GitWorkspace, store: Path, *, environ: Mapping[str, str]) -> Path:
    """A clean private directory of that revision, with its history in ``.git``; only to be read.

    Args:
        store: a directory, made where it is missing; to be used by any number of processes.
        environ: where the operator's proxies, certificates and ssh agent are named.

    Raises:
        WorkspaceError: the repository or the revision can't be had.
    """
    home = store / _digest(place.url)
    named = home / "named" / _digest(place.revision)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        ready = _ready(home, named)
        if ready is not None:
            return ready
        with alone(home, "making"):
            return _ready(home, named) or _made(place, home, named, environ)
    except (PatchError, OSError) as error:
        raise WorkspaceError(
            f"revision {place.revision!r:.100} of {place.url!r:.200} can't be had: {error}"
        ) from error


def _ready(home: Path, named: Path) -> Path | None:
    """What was made before; a directory gets its name when it is whole."""
    try:
        directory = home / named.read_text("ascii")
    except FileNotFoundError:
        return None
    return directory if directory.is_dir() else None


def _made(place: GitWorkspace, home: Path, named: Path, environ: Mapping[str, str]) -> Path:
    for left in home.glob("new-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="new-", dir=home))
    try:
        source = _source(place, home, work, environ)
        commit = clone.found(source, place.revision)
        if commit is None:
            raise PatchError("there is no such commit, branch or tag")
        directory = home / commit
        if not directory.is_dir():
            made = work / "tree"
            made.mkdir(mode=0o700)
            clone.write_out(source, commit, made)
            made.rename(directory)
        named.parent.mkdir(exist_ok=True)
        write_atomically(named, commit.encode())
        return directory
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _source(place: GitWorkspace, home: Path, work: Path, environ: Mapping[str, str]) -> Store:
    """A private store that holds the revision, if anybody does."""
    kind = protocol(place.url)
    if kind == "file":
        return clone.read_over(Path(place.url), work / "store")
    source = Store(home / "repository")
    if clone.found(source, place.revision) is None:
        clone.fetch(source, place.url, kind, place.revision, environ)
    return source


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
