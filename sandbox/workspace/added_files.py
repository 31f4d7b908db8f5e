"""Files of ours in the copy of a workspace's repository: what the workspace itself does not hold.

Owns their form in the tar. They stand below ``.git`` only, so no patch ever sees them.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from policies.paths import WORKSPACE
from sandbox.engine import tar
from sandbox.git.path_rules import above

UID = 1000
"""Owner of all that is copied, in the container."""
TOP = WORKSPACE.strip("/").encode()
_PIECE_BYTES = 1 << 20


class AddedFiles:
    """Files by their path in the workspace: their content, or where on the host that is."""

    def __init__(self, files: Mapping[bytes, Path | bytes], taken: Mapping[bytes, bool]) -> None:
        """`taken`: what the copy has without them, and whether each is a directory. Where that is
        in a file's way, the file stays away: what the workspace has there may be a link.
        """
        needed: set[bytes] = set()
        self._files: list[tuple[bytes, Path | bytes]] = []
        for path, file in sorted(files.items()):
            folders = list(above(path))
            if path not in taken and all(taken.get(each, True) for each in folders):
                self._files.append((path, file))
                needed.update(each for each in folders if each not in taken)
        self._new_folders = sorted(needed)

    def __contains__(self, path: bytes) -> bool:
        return any(path == each for each, _ in self._files)

    @property
    def paths(self) -> frozenset[bytes]:
        """All of them, and the directories made for them."""
        return frozenset((*self._new_folders, *(path for path, _ in self._files)))

    def size(self) -> int:
        """Their share of the tar, in bytes."""
        total = sum(tar.header_size(TOP + b"/" + each + b"/") for each in self._new_folders)
        for path, file in self._files:
            size = _size(file)
            total += tar.header_size(TOP + b"/" + path) + size + len(tar.padding(size))
        return total

    def stream(self, digest: Callable[[bytes], object]) -> Iterator[bytes]:
        """Their part of the tar; `digest` is told what names the content."""
        for folder in self._new_folders:
            digest(b"d" + folder + b"\n")
            yield tar.directory(TOP + b"/" + folder, uid=UID)
        for path, file in self._files:
            size = _size(file)
            digest(b"f%d %d %s\n" % (size, len(path), path))
            yield tar.header(TOP + b"/" + path, kind=tar.REGULAR, mode=0o444, size=size, uid=UID)
            for data in _pieces(file):
                digest(data)
                yield data
            yield tar.padding(size)


def _size(file: Path | bytes) -> int:
    return len(file) if isinstance(file, bytes) else file.stat().st_size


def _pieces(file: Path | bytes) -> Iterator[bytes]:
    if isinstance(file, bytes):
        yield file
        return
    with file.open("rb") as opened:
        while data := opened.read(_PIECE_BYTES):
            yield data
