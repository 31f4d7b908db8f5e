"""Writing a workspace as a tar: one pass that copies, hashes, and notes what was copied.

Owns the packer. Reads regular files only, never through a link at the last step, and holds the
tree to what the scan saw: a file that changed since then is an error, not a guess, but for those
that something is known to write to.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from sandbox.engine import tar
from sandbox.errors import WorkspaceChanged, WorkspaceError
from sandbox.git import config as git_config
from sandbox.git.config import PersonalConfig
from sandbox.git.ignore import FILE_LIMIT_BYTES as RULES_LIMIT
from sandbox.git.index import tracked_blobs
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK, Manifest, ManifestEntries, blob_hash
from sandbox.git.path_rules import in_git
from sandbox.workspace.added_files import TOP, UID, AddedFiles
from sandbox.workspace.difference import Difference
from sandbox.workspace.image_tree import ImageTree
from sandbox.workspace.scan import FoundFile, open_file, read_git_file, read_link
from sandbox.workspace.selection import WHITEOUT, Selection

_PIECE_BYTES = 1 << 18
_INDEX_LIMIT = 1 << 28
_CONFIG_LIMIT = 1 << 20
_RESTLESS_LIMIT = 1 << 26
_INDEX, _CONFIG = b".git/index", b".git/config"
_RULES = (b".git/info/exclude", b".git/info/attributes")
_GIT_FILES = {
    _INDEX: _INDEX_LIMIT,
    _CONFIG: _CONFIG_LIMIT,
    **dict.fromkeys(_RULES, RULES_LIMIT),
}
"""What the manifest wants of a repository, and how large each may be."""


class Packer:
    """Writes the tar and, on the way, the manifest and the content key."""

    def __init__(
        self,
        root: Path | ImageTree,
        selection: Selection,
        salt: str,
        *,
        restless: Collection[bytes] = (),
        personal: PersonalConfig | None = None,
        added: Mapping[bytes, Path | bytes] | None = None,
    ) -> None:
        """`personal`: what counts where a repository itself says nothing.
        `added`: files of ours for the copy's ``.git`` (`AddedFiles`).
        `restless`: files that something writes to. Their content is read now, in one go; of a
        large one, what it began with when it was scanned is taken.

        Raises:
            WorkspaceError: as for `stream`.
        """
        self._root = root
        self._restless = restless
        self._personal = personal or PersonalConfig()
        self._selection = selection
        self._members: Sequence[FoundFile] = selection.copied
        self._gone: tuple[bytes, ...] = ()
        """What the tar takes away from what it is unpacked on."""
        self._entries = ManifestEntries()
        self._kept: dict[bytes, bytes] = {}
        self._links: dict[bytes, bytes] = {}
        self._digest = hashlib.sha256(salt.encode() + b"\n")
        # What git is told of the files counts where no history goes in too.
        self._git_files = _git_files_left_out(root, selection)
        if _CONFIG in self._git_files:
            self._git_files[_CONFIG] = self._personal.settings + self._git_files[_CONFIG]
            self._git_files |= self._personal.files
        for path, data in self._git_files.items():
            self._note(path, data)
        taken = {item.path: stat.S_ISDIR(item.mode) for item in selection.copied}
        own = self._personal.files if _CONFIG in taken else {}
        self._added = AddedFiles({**own, **(added or {})}, taken)
        self._kept |= {path: data for path, data in own.items() if path in self._added}
        self._contents = dict(selection.pointers)
        """What is not read while the tar is written, by path."""
        for item in selection.copied:
            if _is_git_config(item):
                self._contents[item.path] = self._sanitized_config(item)
            elif item.path in restless and stat.S_ISREG(item.mode) and item.size < _RESTLESS_LIMIT:
                with self._opened(item) as file:
                    self._contents[item.path] = file.read(2 * _RESTLESS_LIMIT)

    def lay_on(self, below: Difference) -> None:
        """Have the tar hold only what a full copy lacks, on which it is unpacked.

        Of what is not in the tar, the manifest says what was said when it was copied.
        """
        same, manifest = below.same, below.manifest
        self._members = [item for item in self._selection.copied if item.path not in same]
        self._gone = below.gone
        # They stand in what is below.
        self._added = AddedFiles({}, {})
        self._entries = ManifestEntries.of(manifest.entries).only(same)
        self._links |= {path: to for path, to in manifest.links.items() if path in same}
        self._kept |= {path: data for path, data in manifest.rule_files.items() if path in same}

    @property
    def anew(self) -> Collection[bytes]:
        """What is to be in the tar, whatever stands below it: it is read or written anew."""
        return self._contents.keys() | _GIT_FILES.keys()

    @property
    def added(self) -> frozenset[bytes]:
        """What of the copy is no file of the workspace."""
        return self._added.paths

    def key(self) -> str:
        """Names the content; to be asked when the stream is at its end."""
        return self._digest.hexdigest()[:32]

    def manifest(self) -> Manifest:
        """What was copied; to be asked when the stream is at its end."""
        files = self._git_files | self._kept
        if _CONFIG in files:
            files[_CONFIG] = git_config.sanitized(files[_CONFIG])
        tracked = tracked_blobs(files.pop(_INDEX, b""))
        ids = {path: blob.hex() for path, blob in (tracked or {}).items()}
        return Manifest(
            entries=self._entries,
            tracked=None if tracked is None else frozenset(ids),
            rule_files=files,
            stored={
                path: blob
                for path, blob in ids.items()
                if path in self._entries and self._entries[path].blob != blob
            },
            object_format=git_config.object_format(files.get(_CONFIG, b"")),
            links=self._links,
        )

    def size(self) -> int:
        """Length of the stream in bytes."""
        total = tar.header_size(TOP + b"/") + len(tar.END)
        for item in self._members:
            name = TOP + b"/" + item.path
            if stat.S_ISDIR(item.mode):
                total += tar.header_size(name + b"/")
            elif stat.S_ISLNK(item.mode):
                total += tar.header_size(name, self._target(item))
            else:
                size = self._size(item)
                total += tar.header_size(name) + size + len(tar.padding(size))
        total += sum(tar.header_size(_whiteout(path)) for path in self._gone)
        return total + self._added.size()

    def stream(self) -> Iterator[bytes]:
        """The tar, in pieces of a quarter of a MiB or so.

        Raises:
            WorkspaceError: a file can't be read, or is not what the scan saw.
        """
        waiting = [tar.directory(TOP, uid=UID)]
        size = 0
        for item in self._members:
            for piece in self._member(TOP + b"/" + item.path, item):
                waiting.append(piece)
                size += len(piece)
                if size >= _PIECE_BYTES:
                    yield b"".join(waiting)
                    waiting, size = [], 0
        yield b"".join(waiting)
        yield from self._added.stream(self._digest.update)
        for path in self._gone:
            self._note(path, b"gone")
            yield tar.header(_whiteout(path), kind=tar.REGULAR)
        yield tar.END

    def _member(self, name: bytes, item: FoundFile) -> Iterator[bytes]:
        mode = stat.S_IMODE(item.mode) & 0o777
        mtime = item.mtime_ns // 1_000_000_000
        if stat.S_ISDIR(item.mode):
            # Whoever owns the copy must be able to work in it.
            mode |= 0o700
            self._note(item.path, b"d%o" % mode)
            yield tar.directory(name, mode=mode, mtime=mtime, uid=UID)
        elif stat.S_ISLNK(item.mode):
            target = self._target(item)
            self._note(item.path, b"l" + target)
            if not in_git(item.path):
                self._links[item.path] = target
            blob = blob_hash(len(target))
            blob.update(target)
            self._add(item.path, SYMLINK, blob.digest(), len(target))
            yield tar.header(
                name, kind=tar.SYMLINK, mode=0o777, target=target, mtime=mtime, uid=UID
            )
        else:
            mode |= 0o400
            size = self._size(item)
            self._note(item.path, b"f%o %d" % (mode, size))
            yield tar.header(name, kind=tar.REGULAR, mode=mode, size=size, mtime=mtime, uid=UID)
            yield from self._content(item, mode, size)
            yield tar.padding(size)

    def _content(self, item: FoundFile, mode: int, size: int) -> Iterator[bytes]:
        blob = blob_hash(size)
        keep = _kept_bytes(item)
        kept = bytearray()
        for data in self._read(item):
            blob.update(data)
            # The key hashes all content itself: SHA-1 alone would let a repository that holds a
            # collision be taken for another.
            self._digest.update(data)
            kept += data[: keep - len(kept)]
            yield data
        if keep:
            self._kept[item.path] = bytes(kept)
        self._add(item.path, EXECUTABLE if mode & 0o100 else FILE, blob.digest(), size)

    def _read(self, item: FoundFile) -> Iterator[bytes]:
        content = self._contents.get(item.path)
        if content is not None:
            yield content
            return
        with self._opened(item) as file:
            left = item.size
            while left:
                data = file.read(min(left, _PIECE_BYTES))
                if not data:
                    raise _changed(item, "it shrank")
                left -= len(data)
                yield data

    def _opened(self, item: FoundFile) -> BinaryIO:
        try:
            file = open_file(self._root, item.path, self._selection.linked)
        except PermissionError:
            raise WorkspaceError(
                f"the workspace's {os.fsdecode(item.path)} can't be read by this user: make it "
                "readable, or exclude it in the policy (workspace.exclude)"
            ) from None
        except OSError as error:
            raise _changed(item, str(error.strerror or error)) from None
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size != item.size and (size < item.size or item.path not in self._restless):
            file.close()
            raise _changed(item, "its size changed")
        return file

    def _target(self, item: FoundFile) -> bytes:
        try:
            return read_link(self._root, item.path, self._selection.linked)
        except OSError as error:
            raise _changed(item, str(error.strerror or error)) from None

    def _size(self, item: FoundFile) -> int:
        content = self._contents.get(item.path)
        return item.size if content is None else len(content)

    def _sanitized_config(self, item: FoundFile) -> bytes:
        with self._opened(item) as file:
            config = git_config.sanitized(file.read(_CONFIG_LIMIT))
        if item.path.endswith(b"/config"):
            config = self._personal.settings + config
        if self._selection.linked is not None and item.path == _CONFIG:
            # A repository that has work trees only says that it is bare; the copy has one.
            config += b"[core]\n\tbare = false\n"
        return config

    def _note(self, path: bytes, what: bytes) -> None:
        self._digest.update(b"%d %s\0%d %s\n" % (len(path), path, len(what), what))

    def _add(self, path: bytes, mode: int, blob: bytes, size: int) -> None:
        if not in_git(path):
            self._entries.add(path, mode, blob, size)


def _is_git_config(item: FoundFile) -> bool:
    """Configuration of a repository, a submodule's or a work tree's too: it is rewritten."""
    return (
        stat.S_ISREG(item.mode)
        and item.path.endswith((b"/config", b"/config.worktree"))
        and in_git(item.path)
    )


def _kept_bytes(item: FoundFile) -> int:
    """How much of a file the manifest wants. Of one that is too large to be understood it has one
    byte more than that, for then it is said; of an index nothing."""
    if item.path in _GIT_FILES:
        limit = _GIT_FILES[item.path]
        return limit + 1 if item.size <= limit or item.path in _RULES else 0
    rules = item.path.rpartition(b"/")[2] in {b".gitignore", b".gitattributes"}
    return RULES_LIMIT + 1 if rules and not in_git(item.path) else 0


def _git_files_left_out(root: Path | ImageTree, selection: Selection) -> dict[bytes, bytes]:
    """Of what the manifest wants: files of a repository that is not among what is copied."""
    found: dict[bytes, bytes] = {}
    if any(item.path == b".git" for item in selection.left_out):
        for path, limit in _GIT_FILES.items():
            with contextlib.suppress(OSError):
                data = read_git_file(root, path, selection.linked, limit + 1)
                if len(data) <= limit or path in _RULES:
                    found[path] = data
    return found


def _whiteout(path: bytes) -> bytes:
    above, slash, name = path.rpartition(b"/")
    return TOP + b"/" + above + slash + WHITEOUT + name


def _changed(item: FoundFile, how: str) -> WorkspaceChanged:
    return WorkspaceChanged(
        f"the workspace changes faster than it can be copied: {os.fsdecode(item.path)}: {how}; "
        "stop what writes to it, or exclude that (workspace.exclude)"
    )
