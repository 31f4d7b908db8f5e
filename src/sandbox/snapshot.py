"""A workspace copy as an image layer, found again by content.

Owns the way from a look at the workspace to the engine's id of an image that holds it, and the
manifest: what exactly was copied, which is what the patch will be made against. Everything kept
on the host for it is a cache.
"""

import contextlib
import hashlib
import io
import json
import os
import queue
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from policies.policy import History, WorkspaceRules
from sandbox import gitconfig, history, tarstream
from sandbox.engine import Engine
from sandbox.errors import WorkspaceError
from sandbox.gitindex import tracked_paths
from sandbox.labels import LABEL_SNAPSHOT
from sandbox.manifest import EXECUTABLE, FILE, SYMLINK, Entry, Manifest, blob_id
from sandbox.patch import LeftOut
from sandbox.places import cache_directory, write_atomically
from sandbox.prepare import PreparedImage
from sandbox.spec import WORKSPACE, shelf
from sandbox.workspace import Found, Scan, Selection, select

_UID = 1000
_PIECE_BYTES = 1 << 20
_QUEUE_PIECES = 8
_RULE_FILE_LIMIT = 1 << 20
_INDEX_LIMIT = 1 << 28
_CONFIG_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    image: str
    """The engine's reference of the image that holds image, guest and workspace."""
    key: str
    left_out: tuple[LeftOut, ...]

    def manifest(self) -> Manifest:
        """What was copied.

        Raises:
            WorkspaceError: the host's cache was cleared while the sandbox ran.
        """
        return _load_manifest(_manifest_file(self.key))


def _manifest_file(key: str) -> Path:
    return cache_directory() / "manifests" / f"{key}.json"


def reference(key: str) -> str:
    return f"moonpool/snapshot:{key}"


class Memory:
    """What was copied the last time from one workspace under the same rules."""

    def __init__(self, root: Path, rules: WorkspaceRules, prepared: PreparedImage) -> None:
        text = repr((os.path.realpath(root), rules, prepared.key))
        name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._file = cache_directory() / "workspaces" / f"{name}.json"

    def recall(self) -> tuple[str, dict[str, str], Snapshot] | None:
        """(fingerprint, young files' blobs by path, snapshot), or None."""
        try:
            raw = json.loads(self._file.read_bytes())
            left_out = tuple(
                LeftOut(path=os.fsencode(path), reason=reason) for path, reason in raw["left_out"]
            )
            key = raw["key"]
            os.utime(_manifest_file(key))  # its age tells `prune` when it was last used
            snapshot = Snapshot(image=reference(key), key=key, left_out=left_out)
            return raw["fingerprint"], raw["racy"], snapshot
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, looked: Scan, snapshot: Snapshot, manifest: Manifest) -> None:
        racy = {
            os.fsdecode(path): manifest.entries[path].blob
            for path in looked.racy
            if path in manifest.entries
        }
        # A young file that git owns has no blob of ours to compare: no trust in this look then.
        if any(path not in manifest.entries for path in looked.racy):
            racy[""] = ""
        record = {
            "fingerprint": looked.fingerprint,
            "racy": racy,
            "key": snapshot.key,
            "left_out": [[os.fsdecode(item.path), item.reason] for item in snapshot.left_out],
        }
        write_atomically(self._file, json.dumps(record).encode())


def unchanged(looked: Scan, fingerprint: str, racy: dict[str, str]) -> bool:
    """Whether a look shows the tree that was remembered, young files compared by content."""
    if looked.fingerprint != fingerprint or "" in racy:
        return False
    for name, blob in racy.items():
        try:
            with open_file(looked.root, os.fsencode(name)) as file:
                data = file.read()
        except OSError:
            return False
        if blob_id(data) != blob:
            return False
    return True


def take(
    engine: Engine,
    looked: Scan,
    rules: WorkspaceRules,
    prepared: PreparedImage,
    *,
    on_progress: Callable[[str], None],
) -> tuple[Snapshot, Manifest]:
    """Copy a workspace into an image layer, unless one with the same content stands already.

    Raises:
        WorkspaceError: it can't be copied as it is.
        EngineError: the engine can't store it.
    """
    selection = select(looked, rules)
    if selection.total_bytes > 50 << 20:
        on_progress(f"copying the workspace ({selection.total_bytes >> 20} MiB, once)")
    cuts = rules.history is History.HEAD and any(item.path == b".git" for item in selection.copied)
    body = history.cutter(prepared.id).body() if cuts else shelf(prepared.id)
    container = engine.create(body)
    try:
        packer = _Packer(looked.root, selection, prepared.key, rules.history)
        with contextlib.closing(_ahead(packer.stream())) as stream:
            engine.put_archive(container, "/", stream)
        manifest = packer.manifest()
        key = packer.key()
        ref = reference(key)
        write_atomically(_manifest_file(key), _dump_manifest(manifest))
        if engine.image(ref) is None:
            if cuts:
                history.cut(engine, container)
            engine.commit(container, ref=ref, labels={LABEL_SNAPSHOT: key})
    finally:
        engine.remove(container)
    snapshot = Snapshot(image=ref, key=key, left_out=(*selection.left_out, *packer.left_out))
    return snapshot, manifest


def open_file(root: Path, path: bytes) -> io.FileIO:
    handle = os.open(
        os.fsencode(root) + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    )
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("not a regular file any more")
    return os.fdopen(handle, "rb", buffering=0)


class _Packer:
    """Writes the tar and, on the way, the manifest and the content key."""

    def __init__(self, root: Path, selection: Selection, prepared: str, history: History) -> None:
        self._root = root
        self._selection = selection
        self._entries: dict[bytes, Entry] = {}
        self._ignore_files: dict[bytes, bytes] = {}
        self._tracked: frozenset[bytes] | None = None
        self._digest = hashlib.sha256(f"{prepared} {history}\n".encode())
        self.left_out: list[LeftOut] = []

    def key(self) -> str:
        return self._digest.hexdigest()[:32]

    def manifest(self) -> Manifest:
        return Manifest(
            entries=self._entries, tracked=self._tracked, ignore_files=self._ignore_files
        )

    def stream(self) -> Iterator[bytes]:
        root = WORKSPACE.strip("/").encode()
        waiting = [tarstream.header(root + b"/", kind=tarstream.DIRECTORY, uid=_UID)]
        size = 0
        for item in self._selection.copied:
            for piece in self._member(root + b"/" + item.path, item):
                waiting.append(piece)
                size += len(piece)
            if size >= _PIECE_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
        waiting.append(tarstream.END)
        yield b"".join(waiting)

    def _member(self, name: bytes, item: Found) -> Iterator[bytes]:
        mode = stat.S_IMODE(item.mode) & 0o777
        mtime = item.mtime_ns // 1_000_000_000
        if stat.S_ISDIR(item.mode):
            # Whoever owns the copy must be able to work in it.
            mode |= 0o700
            self._note(item.path, b"d%o" % mode)
            yield tarstream.header(
                name + b"/", kind=tarstream.DIRECTORY, mode=mode, mtime=mtime, uid=_UID
            )
        elif stat.S_ISLNK(item.mode):
            target = os.readlink(os.fsencode(self._root) + b"/" + item.path)
            self._note(item.path, b"l" + target)
            self._add(item.path, Entry(SYMLINK, blob_id(target), len(target)))
            yield tarstream.header(
                name, kind=tarstream.SYMLINK, mode=0o777, target=target, mtime=mtime, uid=_UID
            )
        else:
            yield from self._file(name, item, mode | 0o400, mtime)

    def _file(self, name: bytes, item: Found, mode: int, mtime: int) -> Iterator[bytes]:
        try:
            file = open_file(self._root, item.path)
        except PermissionError:
            raise WorkspaceError(
                f"the workspace's {os.fsdecode(item.path)} can't be read by this user: make it "
                "readable, or exclude it in the policy (workspace.exclude)"
            ) from None
        except OSError as error:
            raise WorkspaceError(
                f"the workspace changed while it was copied: {os.fsdecode(item.path)}: "
                f"{error.strerror or error}; run again"
            ) from None
        with file:
            if b"/.git/" in b"/" + item.path:
                data = self._git_file(item.path, file.read())
                self._note(item.path, b"g%o" % mode + hashlib.sha256(data).digest())
                yield tarstream.header(
                    name, kind=tarstream.REGULAR, mode=mode, size=len(data), mtime=mtime, uid=_UID
                )
                yield data
                yield tarstream.padding(len(data))
                return
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
            yield tarstream.header(
                name, kind=tarstream.REGULAR, mode=mode, size=size, mtime=mtime, uid=_UID
            )
            # The key hashes all content itself: SHA-1 alone would let a repository that holds a
            # collision be taken for another.
            self._note(item.path, b"f%o %d" % (mode, size))
            left = size
            keep = item.path.rpartition(b"/")[2] == b".gitignore" and size <= _RULE_FILE_LIMIT
            kept = []
            while left:
                data = file.read(min(left, _PIECE_BYTES))
                if not data:
                    raise WorkspaceError(
                        "the workspace changed while it was copied: "
                        f"{os.fsdecode(item.path)} shrank; run again"
                    )
                left -= len(data)
                digest.update(data)
                self._digest.update(data)
                if keep:
                    kept.append(data)
                yield data
            yield tarstream.padding(size)
        if keep:
            self._ignore_files[item.path] = b"".join(kept)
        blob = digest.hexdigest()
        self._add(item.path, Entry(EXECUTABLE if mode & 0o100 else FILE, blob, size))

    def _git_file(self, path: bytes, data: bytes) -> bytes:
        """What of git's own files goes in; on the way, what the manifest wants to know of them."""
        name = path.rpartition(b"/")[2]
        if path == b".git/index" and len(data) <= _INDEX_LIMIT:
            self._tracked = tracked_paths(data)
        if path == b".git/info/exclude" and len(data) <= _RULE_FILE_LIMIT:
            self._ignore_files[path] = data
        if name in (b"config", b"config.worktree") and b"/objects/" not in path:
            return gitconfig.sanitized(data[:_CONFIG_LIMIT])
        return data

    def _note(self, path: bytes, what: bytes) -> None:
        self._digest.update(b"%d %s\0%d %s\n" % (len(path), path, len(what), what))

    def _add(self, path: bytes, entry: Entry) -> None:
        if b"/.git/" not in b"/" + path:
            self._entries[path] = entry


def _ahead(source: Iterator[bytes]) -> Generator[bytes]:
    """Run an iterator in a thread, some pieces ahead: reading and sending then overlap."""
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE_PIECES)
    stopped = threading.Event()

    def put(piece: bytes | BaseException | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                pieces.put(piece, timeout=0.2)
                return

    def work() -> None:
        try:
            for piece in source:
                put(piece)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            put(error)

    thread = threading.Thread(target=work, name="moonpool-pack", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        stopped.set()
        thread.join()


def _dump_manifest(manifest: Manifest) -> bytes:
    def text(path: bytes) -> str:
        return path.decode("utf-8", "surrogateescape")

    return json.dumps(
        {
            "entries": [
                [text(path), entry.mode, entry.blob, entry.size]
                for path, entry in manifest.entries.items()
            ],
            "tracked": None if manifest.tracked is None else sorted(map(text, manifest.tracked)),
            "ignore_files": [
                [text(path), data.decode("latin-1")] for path, data in manifest.ignore_files.items()
            ],
        }
    ).encode()


def _load_manifest(file: Path) -> Manifest:
    def path(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    try:
        raw = json.loads(file.read_bytes())
        tracked = raw["tracked"]
        return Manifest(
            entries={
                path(name): Entry(mode, blob, size) for name, mode, blob, size in raw["entries"]
            },
            tracked=None if tracked is None else frozenset(map(path, tracked)),
            ignore_files={path(name): data.encode("latin-1") for name, data in raw["ignore_files"]},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"the record of what was copied is gone from the cache ({file.name}): run again"
        ) from error
