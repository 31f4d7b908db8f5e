"""The tree of one commit in a stranger's repository: its files, and the same tree with changes.

Owns reading only the directories that a change touches, and writing them again. Knows no refs.
"""

import os
from collections.abc import Callable, Collection, Mapping

from sandbox.apply.repo_objects import Objects, TreeEntry
from sandbox.errors import PatchError
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, ManifestEntry
from sandbox.git.path_rules import refusal
from sandbox.git.store import Store

_TREE = 0o040000
_FILE_MODES = {FILE: FILE, EXECUTABLE: EXECUTABLE, SYMLINK: SYMLINK, 0o100664: FILE}

_Rows = dict[bytes, TreeEntry]


class CommitTree:
    """The tree of one commit, its directories read as far as they are asked for."""

    def __init__(self, objects: Objects, root: str) -> None:
        self._objects = objects
        self._root = root
        self._known: dict[bytes, _Rows | None] = {}

    def _directory(self, path: bytes) -> _Rows | None:
        """What stands in a directory; None where there is none."""
        if b"" not in self._known:
            self._known[b""] = self._objects.tree(self._root)
        end = 0
        holder = self._known[b""]
        while end < len(path):  # no recursion: the depth is the adversary's
            start = end + 1 if end else 0
            end = path.find(b"/", start)
            end = len(path) if end < 0 else end
            part = path[:end]
            if part not in self._known:
                row = holder.get(path[start:end]) if holder else None
                is_tree = row is not None and row.mode == _TREE
                self._known[part] = self._objects.tree(row.id) if row and is_tree else None
            holder = self._known[part]
        return holder

    def entries(self, paths: Collection[bytes], store: Store) -> dict[bytes, ManifestEntry]:
        """The files at these paths, their content in the store."""
        found: dict[bytes, ManifestEntry] = {}
        for path in sorted(paths):
            if reason := refusal(path):
                raise PatchError(f"the patch names {os.fsdecode(path)!r}: {reason}.")
            above, _, name = path.rpartition(b"/")
            row = (self._directory(above) or {}).get(name)
            if row is None or row.mode == _TREE:
                continue
            mode = _FILE_MODES.get(row.mode)
            if mode is None:
                raise PatchError(f"{os.fsdecode(path)!r} is a submodule in the target's HEAD.")
            data = self._objects.read(row.id, b"blob")
            found[path] = ManifestEntry(mode, store.put((data,), len(data)), len(data))
        return found

    def changed(
        self, touched: Mapping[bytes, ManifestEntry | None], put_tree: Callable[[bytes], str]
    ) -> str:
        """Id of the whole tree with these changes; each tree that changes goes to `put_tree`."""
        changed = self._opened_for(touched)
        for path, entry in sorted(touched.items()):
            above, _, name = path.rpartition(b"/")
            if entry is None:
                changed[above].pop(name, None)
        for path, entry in sorted(touched.items()):
            above, _, name = path.rpartition(b"/")
            if entry is not None:
                standing = changed[above].get(name)
                if standing is not None and standing.mode == _TREE and path not in changed:
                    raise PatchError(
                        f"{os.fsdecode(path)!r} is a folder in the target's HEAD, where the patch "
                        "puts a file."
                    )
                changed[above][name] = TreeEntry(entry.mode, entry.blob)
        return _written(changed, put_tree)

    def _opened_for(self, paths: Collection[bytes]) -> dict[bytes, _Rows]:
        """Copies of all directories on the way to these paths."""
        found: dict[bytes, _Rows] = {}
        for path in paths:
            directory = path
            while directory:
                directory = directory.rpartition(b"/")[0]
                if directory not in found:
                    found[directory] = dict(self._directory(directory) or {})
        return found


def _written(changed: dict[bytes, _Rows], put_tree: Callable[[bytes], str]) -> str:
    """Put every changed directory, the deepest first; gives the id of the top."""
    below = sorted(filter(None, changed), key=lambda path: path.count(b"/"), reverse=True)
    for path in below:
        above, _, name = path.rpartition(b"/")
        if changed[path]:
            _settle(changed[above], name, TreeEntry(_TREE, put_tree(_content(changed[path]))))
        elif name in changed[above] and changed[above][name].mode == _TREE:
            del changed[above][name]
    return put_tree(_content(changed[b""]))


def _settle(holder: _Rows, name: bytes, tree: TreeEntry) -> None:
    standing = holder.get(name)
    if standing is not None and standing.mode != _TREE:
        raise PatchError(
            f"{os.fsdecode(name)!r} is a file in the target's HEAD, where the patch needs a folder."
        )
    holder[name] = tree


def _content(rows: Mapping[bytes, TreeEntry]) -> bytes:
    ordered = sorted(rows.items(), key=lambda row: row[0] + (b"/" if row[1].mode == _TREE else b""))
    return b"".join(b"%o %s\0%s" % (row.mode, name, bytes.fromhex(row.id)) for name, row in ordered)
