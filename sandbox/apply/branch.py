"""A patch put onto a new branch of the target's repository: one commit above its HEAD.

Owns the steps. The files in the directory, the index and the branch that is checked out stay as
they are. Like `apply`, it never runs git in or on the repository: its objects are read and written
by our own code, and only the private store is git's.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from policies.frozen import dataclass
from sandbox.apply import repo_refs
from sandbox.apply.directory import check_link
from sandbox.apply.merge import changed_by, changes_between
from sandbox.apply.repo_objects import Objects
from sandbox.apply.repo_tree import CommitTree
from sandbox.apply.target import NEW_FILE, Target, work_on
from sandbox.cache import InTheWayError
from sandbox.errors import PatchError
from sandbox.git import alternates, linked_tree
from sandbox.git.alternates import NotLent
from sandbox.git.diff import touched_paths
from sandbox.git.manifest import SYMLINK
from sandbox.git.store import Store
from sandbox.patch.baseline import Baseline
from sandbox.patch.values import Change

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IDENTITY = "Moonpool <moonpool@moonpool.invalid>"


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchReport:
    commit: str
    """Id of the new commit, hex; of the one it would be, after a check."""
    parent: str
    changes: tuple[Change, ...]
    """What the commit does to the files."""


def branch_patch(
    patch: bytes,
    target: Path,
    *,
    branch: str,
    message: str,
    check: bool,
    baseline: Baseline | None = None,
) -> BranchReport:
    """Commit a patch to a new branch that starts at the target's HEAD.

    Args:
        message: of the commit.
        baseline: what the patch was made against; with it, what does not fit is merged.

    Raises:
        PatchError: no repository that can be read, the name is taken, the patch does not fit
            HEAD. Nothing a branch leads to has changed then.
    """
    with (
        work_on(target, "the branch can't be made: {}") as (directory, scratch),
        _git_of(directory, target) as (git, own),
        _lenders(git, target) as lenders,
    ):
        repo_refs.refuse_name(git, branch)
        parent = repo_refs.head(git, own)
        report, made = _committed(
            patch, Objects(git, lenders), parent, scratch, message=message, baseline=baseline
        )
        if not check:
            for object_id, file in made.items():
                _write(git, object_id, file)
            repo_refs.make_branch(git, branch, report.commit)
        return report


@contextmanager
def _git_of(directory: Target, shown: Path) -> Iterator[tuple[Target, Target]]:
    """The repository's directory, and the one that holds HEAD."""
    linked = linked_tree.find(shown)
    if linked is not None:
        with _held(linked.common) as git, _held(linked.own) as own:
            yield git, own
        return
    try:
        with directory.parent(b".git/HEAD") as (handle, _):
            yield Target(handle), Target(handle)
    except FileNotFoundError:
        raise PatchError(
            f"{shown} is not the top of a git repository: there is no .git. Name that with -w DIR, "
            "or apply without --branch."
        ) from None
    except InTheWayError:
        raise PatchError(
            f"{shown}/.git leads to a repository elsewhere (a submodule, or one that does not name "
            "this as its work tree): a branch is made only where the repository itself is."
        ) from None


@contextmanager
def _held(path: bytes | str) -> Iterator[Target]:
    """A directory, open."""
    handle = os.open(path, _DIRECTORY)
    try:
        yield Target(handle)
    finally:
        os.close(handle)


@contextmanager
def _lenders(git: Target, shown: Path) -> Iterator[list[Objects]]:
    """The repositories that this one borrows from, as far as they may be read."""
    top = os.path.realpath(shown)
    with ExitStack() as handles:
        try:
            stores = alternates.stores(_alternates(git), root=top, owner=os.stat(top).st_uid)
        except NotLent:
            stores = ()
        yield [Objects(handles.enter_context(_held(os.path.dirname(it)))) for it in stores]


def _alternates(git: Target) -> bytes:
    with suppress(OSError), git.file(alternates.FILE) as file:
        return b"" if file is None else os.pread(file, 1 << 16, 0)
    return b""


def _committed(
    patch: bytes,
    objects: Objects,
    parent: str,
    scratch: Path,
    *,
    message: str,
    baseline: Baseline | None,
) -> tuple[BranchReport, dict[str, Path]]:
    """A commit made in the private store, and the files of all that it needs beyond what the
    target has: what an object leads to stands before it."""
    tree = CommitTree(objects, objects.commit_tree(parent))
    store = Store(scratch / "store")
    before = tree.entries(touched_paths(patch), store)
    touched = changed_by(patch, before, store, scratch, baseline=baseline)
    for path, entry in touched.items():
        if entry is not None and entry.mode == SYMLINK:
            check_link(store, path, entry)
    made = sorted({entry.blob for entry in touched.values() if entry is not None})

    def put_tree(content: bytes) -> str:
        made.append(store.put_tree(content))
        return made[-1]

    root = tree.changed(touched, put_tree)
    for object_id in made:
        objects.check(object_id)
    when = f"{int(time.time())} +0000"
    text = (
        f"tree {root}\nparent {parent}\nauthor {_IDENTITY} {when}\n"
        f"committer {_IDENTITY} {when}\n\n{message.strip()}\n"
    ).replace("\0", " ")
    commit = store.put_commit(text.encode("utf-8", "replace"))
    changes = changes_between(store, before, touched)
    report = BranchReport(commit=commit, parent=parent, changes=changes)
    return report, {object_id: store.file_of(object_id) for object_id in (*made, commit)}


def _write(git: Target, object_id: str, loose: Path) -> None:
    """Put an object into the repository, in git's own loose form."""
    folder, name = object_id[:2].encode(), object_id[2:].encode()
    try:
        with git.parent(b"objects/" + folder) as (directory, last), suppress(FileExistsError):
            os.mkdir(last, dir_fd=directory)
        with git.parent(b"objects/" + folder + b"/" + name) as (directory, last):
            temporary = b"tmp_obj_moonpool_" + os.urandom(6).hex().encode()
            file = os.open(temporary, NEW_FILE, 0o444, dir_fd=directory)
            try:
                with open(file, "wb") as out:
                    out.write(loose.read_bytes())
                os.link(temporary, last, src_dir_fd=directory, dst_dir_fd=directory)
            except FileExistsError:
                pass  # the repository has it already
            finally:
                os.unlink(temporary, dir_fd=directory)
    except InTheWayError as way:
        raise PatchError(
            f"{os.fsdecode(way.path)!r} in the target's .git is a link or a file: nothing is "
            "written through it."
        ) from None
