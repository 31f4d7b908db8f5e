"""A look at a workspace made into an image layer that holds its copy.

Owns the ways in which the engine gets the copy, and what is done about a workspace that changes
meanwhile. What is remembered of it afterwards is `snapshot`'s.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from policies.errors import listed
from policies.policy import WorkspaceRules
from sandbox.container.prepared_image import PreparedImage
from sandbox.container.spec import shelf
from sandbox.engine import images
from sandbox.engine.docker import Engine
from sandbox.engine.images import reference
from sandbox.engine.one_layer import archive
from sandbox.errors import EngineError, WorkspaceChanged, WorkspaceError
from sandbox.git.config import PersonalConfig
from sandbox.git.manifest import Manifest
from sandbox.threads import Background
from sandbox.workspace import git_history
from sandbox.workspace.borrowed import borrow, lent_in_image
from sandbox.workspace.difference import difference, keep_full, loaded
from sandbox.workspace.pack import Packer
from sandbox.workspace.read_ahead import ahead
from sandbox.workspace.scan import Scan, scan
from sandbox.workspace.selection import Selection, select
from sandbox.workspace.snapshot import (
    COPY_FORM,
    Snapshot,
    SnapshotMemory,
    recorded,
)
from sandbox.workspace.virtual_environments import unusable


class LayerContent(NamedTuple):
    """A workspace as a layer."""

    stream: Callable[[], Iterator[bytes]]
    """Gives its tar."""
    size: Callable[[], int]
    """Length of that, in bytes."""
    key: Callable[[], str]
    """Names the copy, once the stream is at its end."""


_WORTH_A_LINE_BYTES = 50 << 20
_TRIES = 6
"""How often a workspace that changes meanwhile is looked at again."""
_NAMED = 4


def take(
    engine: Engine,
    looked: Scan,
    rules: WorkspaceRules,
    prepared: PreparedImage,
    memory: SnapshotMemory,
    *,
    personal: PersonalConfig,
    on_progress: Callable[[str], None],
) -> tuple[Scan, Snapshot, Manifest]:
    """Copy a workspace into an image layer: all of it, or what the last copy of all lacks.

    `memory` holds that one, and `personal` is what the person's own configuration says to git.
    A file that something writes to meanwhile is taken as it is at one moment. Gives the look that
    the copy fits, the copy, and what it holds; all of it still to be remembered.

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
                    memory,
                    restless=restless,
                    personal=personal,
                    on_progress=on_progress,
                    directory=Path(directory),
                )
        except WorkspaceChanged:
            if not left or not isinstance(looked.root, Path):
                raise
            before, looked = looked, scan(looked.root)
            restless |= _changed_between(before, looked)
        else:
            if restless:
                names = listed(map(os.fsdecode, sorted(restless)), _NAMED)
                on_progress(f"changed while it was copied: {names} (taken at one moment)")
            return (looked, *taken)
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
    memory: SnapshotMemory,
    *,
    restless: Collection[bytes],
    personal: PersonalConfig,
    on_progress: Callable[[str], None],
    directory: Path,
) -> tuple[Snapshot, Manifest]:
    # The answer takes as long as a few thousand files.
    Background(engine.stores_layers, name="ask").begin()
    selection = select(looked, rules)
    if isinstance(looked.root, Path):
        borrowed = borrow(looked.root, selection, rules, directory)
    else:
        borrowed = lent_in_image(looked.root, selection, rules)
    salt = f"{prepared.key} {rules.history} {COPY_FORM}"

    def packing(salt: str = salt) -> Packer:
        return Packer(
            looked.root,
            selection,
            salt,
            restless=restless,
            personal=personal,
            added={**borrowed.files, **borrowed.names},
        )

    cuts = git_history.is_cut(rules, selection.copied)
    # What is cut or borrowed depends on more than the file system says of each file; an image's
    # folder is copied once.
    alone = not cuts and not borrowed.files and isinstance(looked.root, Path)
    packer = _on_last(engine, looked, selection, memory, packing) if alone else None
    if packer is None:
        if selection.total_bytes > _WORTH_A_LINE_BYTES:
            on_progress(f"copying the workspace ({selection.total_bytes >> 20} MiB, once)")
        packer = packing()
        if cuts or not load_layer(engine, prepared.id, _layer(packer)):
            packer = packing()
            body = git_history.cutter(prepared).body() if cuts else shelf(prepared.id)
            lay_through_container(engine, body, _layer(packer), cuts=cuts)
        if alone:
            keep_full(
                memory.full_copy_file,
                selection.copied,
                key=packer.key(),
                young=looked.racy,
                added=packer.added,
            )
    key = packer.key()
    manifest = packer.manifest()
    dead = (
        unusable(looked.root, selection.copied, prepared.inventory)
        if isinstance(looked.root, Path)
        else ()
    )
    partial = git_history.lacking(rules, selection.copied)
    left_out = (*selection.left_out, *borrowed.notes, *partial, *dead)
    return recorded(engine.cache, key, left_out), manifest


def _on_last(
    engine: Engine,
    looked: Scan,
    selection: Selection,
    memory: SnapshotMemory,
    packing: Callable[[str], Packer],
) -> Packer | None:
    """Put what changed on the last copy of all; None where all has to be copied."""
    full = loaded(memory.full_copy_file)
    if full is None:
        return None
    try:
        last = recorded(engine.cache, full.key, ())
        os.utime(last.manifest_file)  # in use, though another one is opened
        manifest = last.manifest()
    except (OSError, WorkspaceError):
        return None
    packer = packing(f"on {full.key}")
    found = difference(full, manifest, looked, selection, anew=packer.anew, added=packer.added)
    if found is None or engine.image(reference(full.key)) is None:
        return None
    packer.lay_on(found)
    if not load_layer(engine, reference(full.key), _layer(packer), layers=2):
        if found.gone:
            return None  # only a layer can take away
        packer = packing(f"on {full.key}")
        packer.lay_on(found)
        lay_through_container(engine, shelf(reference(full.key)), _layer(packer), layers=2)
    if found.young != full.young:
        keep_full(
            memory.full_copy_file,
            full.rows.values(),
            key=full.key,
            young=found.young,
            added=full.added,
        )
    return packer


def _layer(packer: Packer) -> LayerContent:
    return LayerContent(packer.stream, packer.size, packer.key)


def load_layer(engine: Engine, image: str, content: LayerContent, *, layers: int = 1) -> bool:
    """Load the copy as one layer; False where the engine does not take one alone."""
    base = engine.image(image)
    if base is None or not engine.stores_layers():
        return False
    try:
        with contextlib.closing(ahead(content.stream())) as stream:
            engine.load(archive(base, stream, content.size(), content.key, layers=layers))
    except EngineError:
        # Its layers may just have been removed by another process, or its disk is full: the other
        # way finds that out, and says it.
        return False
    return True


def lay_through_container(
    engine: Engine,
    body: Mapping[str, object],
    content: LayerContent,
    *,
    cuts: bool = False,
    layers: int = 1,
) -> None:
    """The way for every engine, and for a copy that has to be worked on: put, then commit."""
    container = engine.create(body)
    try:
        with contextlib.closing(ahead(content.stream())) as stream:
            engine.put_archive(container, "/", stream)
        key = content.key()
        if engine.image(reference(key)) is None:
            if cuts:
                git_history.cut(engine, container)
            labels = images.snapshot_labels(key, layers)
            engine.commit(container, ref=reference(key), labels=labels)
    finally:
        engine.remove(container)
