"""A look at a workspace made into an image layer that holds its copy.

Owns the ways in which the engine gets the copy, and what is done about a workspace that changes
meanwhile. What is remembered of it afterwards is `snapshot`'s.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from policies.policy import WorkspaceRules
from sandbox.container.prepared_image import PreparedImage
from sandbox.container.spec import shelf
from sandbox.engine import image_archive
from sandbox.engine.docker import Engine
from sandbox.engine.image_archive import reference
from sandbox.engine.labels import LABEL_SNAPSHOT
from sandbox.errors import EngineError, WorkspaceChanged
from sandbox.git.manifest import Manifest
from sandbox.git.personal_config import PersonalConfig
from sandbox.workspace import git_history
from sandbox.workspace.borrowed import borrow
from sandbox.workspace.pack import Packer, ahead
from sandbox.workspace.scan import Scan, scan
from sandbox.workspace.selection import select
from sandbox.workspace.snapshot import COPY_FORM, Snapshot, keep_manifest
from sandbox.workspace.virtual_environments import unusable

_WORTH_A_LINE_BYTES = 50 << 20
_TRIES = 6
"""How often a workspace that changes meanwhile is looked at again."""
_NAMED = 4


def take(
    engine: Engine,
    looked: Scan,
    rules: WorkspaceRules,
    prepared: PreparedImage,
    *,
    personal: PersonalConfig,
    on_progress: Callable[[str], None],
) -> tuple[Snapshot, Manifest, Scan]:
    """Copy a workspace into an image layer, unless one with the same content stands already.

    `personal` is what the person's own configuration says to git.
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
                    personal=personal,
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
    personal: PersonalConfig,
    on_progress: Callable[[str], None],
    directory: Path,
) -> tuple[Snapshot, Manifest]:
    selection = select(looked, rules)
    borrowed = borrow(looked.root, selection, rules, directory)
    if selection.total_bytes > _WORTH_A_LINE_BYTES:
        on_progress(f"copying the workspace ({selection.total_bytes >> 20} MiB, once)")
    salt = f"{prepared.key} {rules.history} {COPY_FORM}"

    def packing() -> Packer:
        return Packer(
            looked.root,
            selection,
            salt,
            restless=restless,
            personal=personal,
            added=borrowed.files,
        )

    packer = packing()
    cuts = git_history.is_cut(rules, selection.copied)
    if cuts or not _loaded(engine, prepared, packer):
        packer = packing()
        with contextlib.closing(ahead(packer.stream())) as stream:
            _through_a_container(engine, prepared, stream, packer, cuts=cuts)
    key = packer.key()
    manifest = packer.manifest()
    keep_manifest(key, manifest)
    dead = unusable(looked.root, selection.copied, prepared.inventory)
    partial = git_history.lacking(rules, selection.copied)
    left_out = (*selection.left_out, *borrowed.notes, *partial, *dead)
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
    body = git_history.cutter(prepared).body() if cuts else shelf(prepared.id)
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
