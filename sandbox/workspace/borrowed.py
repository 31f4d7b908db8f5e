"""Objects that a workspace's repository borrows, in a pack for its copy.

Owns which of them go in: what the repository's own references, index and reflogs reach, and nothing
else of the store that they lie in. Host git runs in a private store that holds nothing but the
name of the lender: of the workspace's own objects and configuration it reads none.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from policies.frozen import dataclass
from policies.policy import History, WorkspaceRules
from sandbox.errors import PatchError, WorkspaceError
from sandbox.git import alternates
from sandbox.git.alternates import NotLent
from sandbox.git.index import tracked_blobs
from sandbox.git.run import run_git
from sandbox.git.store import Store
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.workspace.image_tree import ImageTree
from sandbox.workspace.scan import FoundFile, open_file
from sandbox.workspace.selection import Selection

_REMEDY = (
    "git does not work in the sandbox until this repository has its own objects "
    "(git repack -a -d, then remove that file)"
)
_SHOWN = 500
_FILE_LIMIT = 1 << 28
_IDS_LIMIT = 1 << 20
_ID = rb"([0-9a-f]{40}(?:[0-9a-f]{24})?)"
_REFERENCE = re.compile(rb"^\^?" + _ID + rb"(?=\s|\Z)", re.MULTILINE)
_LOGGED = re.compile(rb"^" + _ID + b" " + _ID + b" ", re.MULTILINE)
_STATE = re.compile(rb"[A-Z_]*HEAD|packed-refs")
_PACK_TIMEOUT_S = 900.0
_SAME_EACH_TIME = ("--threads=1", "--window=0")
"""The pack is a part of the copy's key. What is stored as a difference in the lender stays so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowed:
    """What is added to a copy."""

    files: Mapping[bytes, Path]
    """Packs and their indexes: where each is to be in the workspace, and where it is now."""
    names: Mapping[bytes, bytes] = field(default_factory=dict)
    """What names a lender that is in the image itself, by the path of that file."""
    notes: tuple[LeftOut, ...]
    """Of each file that names a lender: what was borrowed, or why nothing was."""


def borrow(root: Path, selection: Selection, rules: WorkspaceRules, directory: Path) -> Borrowed:
    """Pack what the repositories in a selection borrow; the packs lie in `directory`, an empty one.

    Raises:
        WorkspaceError: more than ``max_bytes`` would be copied.
    """
    files: dict[bytes, Path] = {}
    notes: list[LeftOut] = []
    for number, path in enumerate(selection.borrowing):
        work = directory / str(number)
        try:
            if not rules.borrow:
                raise NotLent("names another repository's objects (workspace.borrow is false)")
            repository = _Repository(root, selection, path.removesuffix(alternates.FILE))
            made, note = repository.packed(work)
            files |= made
            notes.append(LeftOut(path=path, reason=note, kind=LeftOutKind.BORROWED))
        except (NotLent, PatchError, OSError) as error:
            reason = f"{error}: {_REMEDY}"
            notes.append(LeftOut(path=path, reason=reason, kind=LeftOutKind.UNUSABLE))
    total = selection.total_bytes + sum(file.stat().st_size for file in files.values())
    if total > rules.max_bytes:
        raise WorkspaceError(
            f"the workspace and what its repository borrows hold {total} bytes, more than the "
            f"policy's workspace.max_bytes ({rules.max_bytes}): raise it, or set workspace.borrow "
            "to false"
        )
    return Borrowed(files=files, notes=tuple(notes))


def lent_in_image(tree: ImageTree, selection: Selection, rules: WorkspaceRules) -> Borrowed:
    """What a folder of an image borrows stays where it is in that image, and is named."""
    names: dict[bytes, bytes] = {}
    notes: list[LeftOut] = []
    for path in selection.borrowing:
        with tree.open_file(path) as file:
            text = file.read(alternates.FILE_LIMIT)
        objects = os.path.join(
            os.fsencode(tree.folder.path), path.removesuffix(b"/info/alternates")
        )
        lenders = [os.path.normpath(os.path.join(objects, each)) for each in alternates.names(text)]
        names[path] = b"".join(each + b"\n" for each in lenders if b"\n" not in each)
        where = os.fsdecode(b", ".join(lenders))[:_SHOWN]
        reason = f"names {where}, which stays in the image as it is"
        if rules.history is not History.FULL:
            reason += ": it can be read there, later commits too"
        notes.append(LeftOut(path=path, reason=reason, kind=LeftOutKind.BORROWED))
    return Borrowed(files={}, names=names, notes=tuple(notes))


class _Repository:
    def __init__(self, root: Path, selection: Selection, prefix: bytes) -> None:
        self._root = root
        self._selection = selection
        self._prefix = prefix
        self._copied = {
            item.path.removeprefix(prefix): item
            for item in selection.copied
            if item.path.startswith(prefix)
        }

    def packed(self, work: Path) -> tuple[dict[bytes, Path], str]:
        """Make the pack in a directory. Raises `NotLent`, `PatchError`, `OSError`."""
        top = os.path.realpath(self._root)
        lenders = alternates.stores(
            self._read(alternates.FILE), root=top, owner=os.stat(top).st_uid
        )
        settings, shallow = self._read(b"config"), self._read(b"shallow")
        store = alternates.store_over(work / "store", lenders, settings, shallow)
        wanted = self._lent(store, b"".join(each + b"\n" for each in sorted(self._named())))
        where = f"names {', '.join(lenders)}"
        if not wanted:
            return {}, f"{where}, which holds nothing that this repository's references name"
        self._folder_is_plain()
        run_git(
            store.directory,
            ["pack-objects", "--revs", "--quiet", *_SAME_EACH_TIME, str(work / "pack")],
            stdin=wanted,
            timeout_s=_PACK_TIMEOUT_S,
        )
        files = {
            self._prefix + b"objects/pack/" + os.fsencode(file.name): file
            for file in sorted(work.glob("pack-*"))
            if file.suffix in {".pack", ".idx"}
        }
        count = sum(_count(file) for file in files.values() if file.suffix == ".pack")
        return files, (
            f"{where}: {count} objects of it, which this repository's references reach, are in "
            "the copy (the policy's workspace.borrow: false keeps them out)"
        )

    def _lent(self, store: Store, ids: bytes) -> bytes:
        """Those of some ids, one a line, that a lender has."""
        said = run_git(
            store.directory, ["cat-file", "--batch-check=%(objectname)", "--buffer"], stdin=ids
        )
        return b"".join(line + b"\n" for line in said.splitlines() if b" " not in line)

    def _named(self) -> set[bytes]:
        """Every id that the repository's files name. A hostile one names what it likes."""
        found: set[bytes] = set()
        for name, item in self._copied.items():
            if not stat.S_ISREG(item.mode) or item.size > _FILE_LIMIT:
                continue
            if name.startswith(b"refs/") or _STATE.fullmatch(name):
                found.update(_REFERENCE.findall(self._content(item)))
            elif name.startswith(b"logs/"):
                for both in _LOGGED.findall(self._content(item)):
                    found.update(both)
            elif name == b"index":
                blobs = tracked_blobs(self._content(item)) or {}
                found.update(blob.hex().encode() for blob in blobs.values())
            if len(found) > _IDS_LIMIT:
                raise NotLent("belongs to a repository with too many references")
        return {each for each in found if each.strip(b"0")}

    def _folder_is_plain(self) -> None:
        """The pack goes where the copy has a directory, or nothing yet."""
        for folder in (b"objects", b"objects/pack"):
            item = self._copied.get(folder)
            if item is not None and not stat.S_ISDIR(item.mode):
                raise NotLent("belongs to a repository whose objects are behind a link")

    def _read(self, name: bytes) -> bytes:
        """A file of the repository, whether it is copied or not; empty where there is none."""
        try:
            with open_file(self._root, self._prefix + name, self._selection.linked) as file:
                return file.read(1 << 20)
        except FileNotFoundError:
            return b""

    def _content(self, item: FoundFile) -> bytes:
        with open_file(self._root, item.path, self._selection.linked) as file:
            return file.read(_FILE_LIMIT)


def _count(pack: Path) -> int:
    """How many objects are in a pack (gitformat-pack(5))."""
    with pack.open("rb") as file:
        return int.from_bytes(file.read(12)[8:], "big")
