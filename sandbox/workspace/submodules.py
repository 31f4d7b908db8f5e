"""Submodules of a workspace: directories whose repository lies in that of the workspace itself.

Owns what their ``.git`` file says in the copy (gitrepository-layout(5), "modules"). The file is the
workspace's, so it is written anew, and only where it leads to a repository that is copied too.
"""

import os
import stat
from functools import cached_property

from policies.policy import History
from sandbox.workspace.scan import FoundFile, Scan, open_file, own_name

_MODULES = b".git/modules/"
_SAYS = b"gitdir: "
_LIMIT = 1 << 13


class Submodules:
    """Finds the submodules in one look at a workspace."""

    def __init__(self, looked: Scan, *, history: History) -> None:
        self._looked = looked
        self._copied = history is not History.NONE
        self._top = own_name(looked.root)
        self.pointers: dict[bytes, bytes] = {}
        """What each ``.git`` file says in the copy, by its path, of those that were asked for."""

    def takes(self, item: FoundFile) -> bool:
        """Whether this is the ``.git`` file of a submodule whose repository is copied."""
        directory, _, name = item.path.rpartition(b"/")
        if not self._copied or name != b".git" or not directory or not stat.S_ISREG(item.mode):
            return False
        repository = self._repository(item.path, directory)
        if not repository.startswith(_MODULES) or repository + b"/HEAD" not in self._heads:
            return False
        # Relative, for the workspace has another name in the container.
        self.pointers[item.path] = _SAYS + os.path.relpath(repository, directory) + b"\n"
        return True

    @cached_property
    def _heads(self) -> set[bytes]:
        """Where repositories are, by their ``HEAD``; a row is never below a link."""
        return {
            row[0]
            for row in self._looked.rows
            if row[0].startswith(_MODULES) and row[0].endswith(b"/HEAD") and stat.S_ISREG(row[1])
        }

    def _repository(self, path: bytes, directory: bytes) -> bytes:
        """Where the file leads, as words, relative to the workspace; empty where it says none."""
        try:
            with open_file(self._looked.root, path) as file:
                text = file.read(_LIMIT)
        except OSError:
            return b""
        if not text.startswith(_SAYS) or b"\0" in text:
            return b""
        said = text.removeprefix(_SAYS).rstrip(b"\r\n")
        return os.path.relpath(os.path.join(self._top, directory, said), self._top)
