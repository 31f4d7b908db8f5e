"""A workspace copy as an image layer, found again by content.

Owns the way from a look at the workspace to the engine's id of an image that holds it, and the
manifest: what exactly was copied, which is what the patch will be made against. Everything kept
on the host for it is a cache.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from policies.frozen import dataclass
from policies.policy import History, WorkspaceRules
from sandbox import cache
from sandbox.cache import cache_directory
from sandbox.container.prepared_image import PreparedImage
from sandbox.container.spec import shelf
from sandbox.engine import image_archive
from sandbox.engine.docker import Engine
from sandbox.engine.image_archive import reference
from sandbox.engine.labels import LABEL_SNAPSHOT
from sandbox.errors import EngineError, WorkspaceChanged, WorkspaceError
from sandbox.git.manifest import Manifest, ManifestEntry, blob_id
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.workspace import git_history
from sandbox.workspace.borrowed import borrow
from sandbox.workspace.pack import Packer, ahead
from sandbox.workspace.scan import Scan, open_file, scan
from sandbox.workspace.selection import select
from sandbox.workspace.virtual_environments import unusable

_WORTH_A_LINE_BYTES = 50 << 20
_TRIES = 6
"""How often a workspace that changes meanwhile is looked at again."""
_NAMED = 4
_FORM = 3
"""Version of the kept manifest's form; one of another form is as good as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    image: str
    """The engine's reference of the image that holds image, guest and workspace."""
    key: str
    left_out: tuple[LeftOut, ...]
    """What was not copied, and what was and does not work there (`LeftOutKind.UNUSABLE`)."""

    def manifest(self) -> Manifest:
        """What was copied.

        Raises:
            WorkspaceError: the host's cache was cleared while the sandbox ran.
        """
        return _load_manifest(manifest_file(self.key))


def recorded(key: str, left_out: tuple[LeftOut, ...]) -> Snapshot:
    """A copy that was taken before, by its key."""
    return Snapshot(image=reference(key), key=key, left_out=left_out)


def manifest_file(key: str) -> Path:
    """Where the manifest of a copy is kept; its age tells when the copy was last used."""
    return cache_directory() / "manifests" / f"{key}.{_FORM}.json"


class SnapshotMemory:
    """What was copied the last time from one workspace under the same rules."""

    def __init__(
        self, root: Path, rules: WorkspaceRules, prepared: PreparedImage, *, settings: bytes
    ) -> None:
        text = repr((os.path.realpath(root), rules, prepared.key, settings))
        name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._file = cache_directory() / "workspaces" / f"{name}.json"

    def recall(self) -> tuple[str, dict[str, str], Snapshot] | None:
        """(fingerprint, young files' blobs by path, snapshot), or None."""
        try:
            raw = json.loads(self._file.read_bytes())
            left_out = tuple(
                LeftOut(path=os.fsencode(path), reason=reason, kind=LeftOutKind(kind))
                for path, reason, kind in raw["left_out"]
            )
            key = raw["key"]
            os.utime(manifest_file(key))  # its age tells `prune` when it was last used
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
            "left_out": [
                [os.fsdecode(item.path), item.reason, item.kind] for item in snapshot.left_out
            ],
        }
        cache.keep(self._file, json.dumps(record).encode())


def unchanged(looked: Scan, fingerprint: str, racy: dict[str, str]) -> bool:
    """Whether a look shows the tree that was remembered, young files compared by content."""
    if looked.fingerprint != fingerprint or "" in racy:
        return False
    for name, blob in racy.items():
        try:
            with open_file(looked.root, os.fsencode(name), looked.linked) as file:
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
    settings: bytes,
    on_progress: Callable[[str], None],
) -> tuple[Snapshot, Manifest, Scan]:
    """Copy a workspace into an image layer, unless one with the same content stands already.

    `settings` are the person's own, for git (`sandbox.git.personal_config`).
    A file that something writes to meanwhile is taken as it is at one moment. Gives the look that
    the copy fits as well.

    Raises:
        WorkspaceError: it can't be copied as it is.
        EngineError: the engine can't store it.
    """
    restless: set[bytes] = set()
    for left in reversed(range(_TRIES)):
        try:
            with tempfile.TemporaryDirectory(prefix="moonpool-borrowed-") as directory:
                taken = _take(
                    engine,
                    looked,
                    rules,
                    prepared,
                    restless=restless,
                    settings=settings,
                    on_progress=on_progress,
                    directory=Path(directory),
                )
        except WorkspaceChanged:
            if not left:
                raise
            before, looked = looked, scan(looked.root)
            restless |= _changed_between(before, looked)
        else:
            if restless:
                on_progress(
                    f"changed while it was copied: {_named(restless)} (taken at one moment)"
                )
            return (*taken, looked)
    raise AssertionError("unreachable")


def _changed_between(before: Scan, after: Scan) -> set[bytes]:
    """Files that stand in both looks, and not alike."""
    known = dict(zip((row[0] for row in before.rows), before.rows, strict=True))
    return {row[0] for row in after.rows if known.get(row[0], row) != row}


def _take(
    engine: Engine,
    looked: Scan,
    rules: WorkspaceRules,
    prepared: PreparedImage,
    *,
    restless: Collection[bytes],
    settings: bytes,
    on_progress: Callable[[str], None],
    directory: Path,
) -> tuple[Snapshot, Manifest]:
    selection = select(looked, rules)
    borrowed = borrow(looked.root, selection, rules, directory)
    if selection.total_bytes > _WORTH_A_LINE_BYTES:
        on_progress(f"copying the workspace ({selection.total_bytes >> 20} MiB, once)")
    salt = f"{prepared.key} {rules.history}"

    def packing() -> Packer:
        return Packer(
            looked.root,
            selection,
            salt,
            restless=restless,
            settings=settings,
            added=borrowed.files,
        )

    packer = packing()
    cuts = rules.history is History.HEAD and any(item.path == b".git" for item in selection.copied)
    if cuts or not _loaded(engine, prepared, packer):
        packer = packing()
        with contextlib.closing(ahead(packer.stream())) as stream:
            _through_a_container(engine, prepared, stream, packer, cuts=cuts)
    key = packer.key()
    manifest = packer.manifest()
    cache.keep(manifest_file(key), _dump_manifest(manifest))
    dead = unusable(looked.root, selection.copied, prepared.inventory)
    left_out = (*selection.left_out, *borrowed.notes, *dead)
    snapshot = Snapshot(image=reference(key), key=key, left_out=left_out)
    return snapshot, manifest


def _named(paths: Collection[bytes]) -> str:
    shown = ", ".join(map(os.fsdecode, sorted(paths)[:_NAMED]))
    return shown + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")


def _loaded(engine: Engine, prepared: PreparedImage, packer: Packer) -> bool:
    """Load the copy as one layer; False where the engine does not take one alone."""
    base = engine.image(prepared.id)
    if base is None or not engine.stores_layers():
        return False
    try:
        with contextlib.closing(ahead(packer.stream())) as stream:
            engine.load(image_archive.archive(base, stream, packer.size(), packer.key))
    except EngineError:
        # Its layers may just have been removed by another process, or its disk is full: the other
        # way finds that out, and says it.
        return False
    return True


def _through_a_container(
    engine: Engine, prepared: PreparedImage, stream: Iterator[bytes], packer: Packer, *, cuts: bool
) -> None:
    """The way for every engine, and for a copy that has to be worked on: put, then commit."""
    body = git_history.cutter(prepared.id).body() if cuts else shelf(prepared.id)
    container = engine.create(body)
    try:
        engine.put_archive(container, "/", stream)
        key = packer.key()
        if engine.image(reference(key)) is None:
            if cuts:
                git_history.cut(engine, container)
            engine.commit(container, ref=reference(key), labels={LABEL_SNAPSHOT: key})
    finally:
        engine.remove(container)


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
            "rule_files": [
                [text(path), data.decode("latin-1")] for path, data in manifest.rule_files.items()
            ],
            "stored": [[text(path), blob] for path, blob in manifest.stored.items()],
            "object_format": manifest.object_format,
            "links": [[text(path), text(target)] for path, target in manifest.links.items()],
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
                path(name): ManifestEntry(mode, blob, size)
                for name, mode, blob, size in raw["entries"]
            },
            tracked=None if tracked is None else frozenset(map(path, tracked)),
            rule_files={path(name): data.encode("latin-1") for name, data in raw["rule_files"]},
            stored={path(name): blob for name, blob in raw["stored"]},
            object_format=raw["object_format"],
            links={path(name): path(target) for name, target in raw["links"]},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"the record of what was copied is gone from the cache ({file.name}): run again"
        ) from error
