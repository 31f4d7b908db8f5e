"""A workspace's copy on its way to an engine of another machine: its layer, and what it holds.

What goes is what a container would get: without what the policy leaves out, and without the
credentials of a repository's configuration. On the other side nothing of it is unpacked on the
host: it becomes a layer of that engine, found again by its content. Refuses to know how bytes get
from one machine to another.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from policies.frozen import dataclass
from policies.kernel.image import Inventory
from policies.policy import WorkspaceRules
from sandbox import cache
from sandbox.container.prepared_image import PreparedImage
from sandbox.container.spec import shelf
from sandbox.engine.docker import Engine
from sandbox.engine.image_transfer import exactly
from sandbox.engine.one_layer import Counted
from sandbox.git.config import PersonalConfig
from sandbox.patch.values import LeftOut
from sandbox.workspace import copying, git_history
from sandbox.workspace.borrowed import borrow
from sandbox.workspace.pack import Packer
from sandbox.workspace.scan import Scan
from sandbox.workspace.selection import select
from sandbox.workspace.snapshot import COPY_FORM, Snapshot, dump_manifest, recorded
from sandbox.workspace.virtual_environments import unusable


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedWorkspace:
    """All of a copy but its content."""

    key: str
    """Names the content."""
    digest: str
    """Of the layer's tar, ``sha256:…``."""
    size: int
    """Of that tar, in bytes."""
    manifest: bytes
    """As `snapshot` keeps it."""
    left_out: tuple[LeftOut, ...]
    cuts: bool
    """A history is still to be cut, which is done in a container."""


def pack(
    looked: Scan,
    root: Path,
    rules: WorkspaceRules,
    *,
    personal: PersonalConfig,
    inventory: Inventory,
    keep: Callable[[Iterator[bytes]], None],
) -> CarriedWorkspace:
    """Read a workspace that was looked at.

    Args:
        inventory: of the image that it is worked on in.
        keep: takes the layer's content to its end.

    Raises:
        WorkspaceError: it can't be copied as it is.
    """
    selection = select(looked, rules)
    with tempfile.TemporaryDirectory(prefix="moonpool-borrowed-") as directory:
        borrowed = borrow(root, selection, rules, Path(directory))
        packer = Packer(
            root,
            selection,
            f"carried {rules.history} {COPY_FORM}",
            personal=personal,
            added={**borrowed.files, **borrowed.names},
        )
        size, counted = packer.size(), Counted(packer.stream())
        keep(iter(counted))
    return CarriedWorkspace(
        key=packer.key(),
        digest=counted.digest,
        size=size,
        manifest=b"".join(dump_manifest(packer.manifest())),
        left_out=(
            *selection.left_out,
            *borrowed.notes,
            *git_history.lacking(rules, selection.copied),
            *unusable(root, selection.copied, inventory),
        ),
        cuts=git_history.is_cut(rules, selection.copied),
    )


def lay(
    engine: Engine,
    prepared: PreparedImage,
    carried: CarriedWorkspace,
    layer: Callable[[], Iterable[bytes]],
) -> Snapshot:
    """The copy as a layer on an engine's image; found again where it was laid before.

    Raises:
        EngineError: what came is not what was sent, or the engine can't store it.
        WorkspaceError: its history can't be cut.
    """
    key = hashlib.sha256(f"{carried.key} on {prepared.key}".encode()).hexdigest()[:32]
    made = recorded(engine.cache, key, carried.left_out)
    if engine.image(made.image) is None:
        content = copying.LayerContent(
            stream=lambda: exactly(layer(), carried.digest, carried.size),
            size=lambda: carried.size,
            key=lambda: key,
        )
        if carried.cuts or not copying.load_layer(engine, prepared.id, content):
            body = git_history.cutter(prepared).body() if carried.cuts else shelf(prepared.id)
            copying.lay_through_container(engine, body, content, cuts=carried.cuts)
    try:
        os.utime(made.manifest_file)  # its age tells `prune` when the copy was last used
    except OSError:
        cache.keep(made.manifest_file, carried.manifest)
    return made
