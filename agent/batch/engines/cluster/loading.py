"""What an attempt needs elsewhere, found out where its batch is: once for all that share it.

Owns which image an order means, and its workspace as it is at that moment. An image is read out of
the engine here only when a machine lacks it (`image_parcel`).
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from agent.batch.engines.cluster.cargo import (
    Cargo,
    ImageParcel,
    NeededImage,
    PieceStore,
    WorkspaceParcel,
    put_all,
)
from agent.batch.order import AttemptOrder
from agent.batch.task import FolderWorkspace, ImageWorkspace
from agent.batch.workspace import workspace_of
from agent.lifecycle.open_sandbox import image_for
from images.build import ensure_recipe
from images.recipes import RUNTIME, find, local_authorities
from policies.policy import Policy
from sandbox.container import guest_runtime
from sandbox.container.prepared_image import PreparedImage, prepare
from sandbox.engine.docker import Engine
from sandbox.engine.image_transfer import take_apart
from sandbox.git import config
from sandbox.threads import Recent
from sandbox.workspace.scan import scan
from sandbox.workspace.shipment import pack
from sandbox.workspace.source import Workspace

_KEPT = 64
"""Workspaces whose content is kept for the next task, and images of which it is kept what they
are; those under way have theirs."""
_Packed = tuple[str, WorkspaceParcel]
"""The look that it fits, in which no file was young, and it."""


class CargoLoader:
    """For any number of threads."""

    def __init__(self, store: PieceStore, environ: Mapping[str, str]) -> None:
        """Raises: EngineUnavailable: no engine answers here."""
        self._store = store
        self._engine = Engine.connect(environ)
        self._images = Recent[tuple[NeededImage, ...]](_KEPT)
        self._prepared = Recent[PreparedImage](_KEPT)
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._packed: dict[Hashable, _Packed] = {}

    def loaded(self, order: AttemptOrder) -> tuple[AttemptOrder, Cargo]:
        """The order with its workspace found, and its image by a name that every engine takes.

        Raises:
            SandboxError: something of it can't be had; as for `agent.lifecycle.open_sandbox`.
        """
        place = workspace_of(order, self._engine.environ)
        images = self._images_of(order.policy, place)
        task = order.task
        if isinstance(place, Path):
            task = replace(task, workspace=FolderWorkspace(path=place))
            workspace = self._workspace(place, order.policy, images[-1])
        else:
            task, workspace = replace(task, workspace=ImageWorkspace(path=place.path)), None
        return replace(order, task=task), Cargo(images=images, workspace=workspace)

    def image_parcel(self, ref: str) -> ImageParcel:
        """An image that a machine lacks.

        Raises:
            EngineError: it can't be read.
        """
        pieces: dict[str, tuple[object, ...]] = {}

        def keep(content: Iterator[bytes]) -> Callable[[str], None]:
            names = put_all(self._store, content)
            return lambda digest: pieces.__setitem__(digest, names)

        image = take_apart(self._engine, ref, keep)
        return ImageParcel(image=image, pieces=tuple(pieces.items()))

    def _images_of(self, policy: Policy, place: Workspace) -> tuple[NeededImage, ...]:
        shared = (policy.image, policy.setup, str(place) if policy.setup.makes_layer else "")
        return self._images.get(shared, lambda: tuple(self._found_images(policy, place)))

    def _found_images(self, policy: Policy, place: Workspace) -> list[NeededImage]:
        engine = self._engine
        ref = image_for(policy, place, engine, on_progress=_quiet)
        info = engine.existing_image(ref)
        images = [NeededImage(ref=ref, layers=info.layers)]
        if guest_runtime.is_needed(info):
            trust = local_authorities()
            brought = ensure_recipe(engine, find(RUNTIME), trust, on_progress=_quiet)
            layers = engine.existing_image(brought).layers
            images.insert(0, NeededImage(ref=brought, layers=layers, also=guest_runtime.REFERENCE))
        return images

    def _workspace(self, root: Path, policy: Policy, image: NeededImage) -> WorkspaceParcel:
        shared = (root, policy.workspace, image.ref)
        with self._lock:
            alone = self._locks.setdefault(shared, threading.Lock())
        with alone:
            looked = scan(root)
            before = self._packed.get(shared)
            if before is not None and before[0] == looked.fingerprint:
                return before[1]
            pieces: list[tuple[object, ...]] = []
            carried = pack(
                looked,
                root,
                policy.workspace,
                personal=config.read_personal(self._engine.environ, root),
                inventory=self._prepared_of(image.ref).inventory,
                keep=lambda content: pieces.append(put_all(self._store, content)),
            )
            parcel = WorkspaceParcel(workspace=carried, pieces=pieces[0])
            again = scan(root)
            # Young files are not told apart by their times: then it is read again for the next one.
            if again.fingerprint == looked.fingerprint and not again.racy:
                self._packed[shared] = (looked.fingerprint, parcel)
                while len(self._packed) > _KEPT:
                    del self._packed[next(iter(self._packed))]
            return parcel

    def _prepared_of(self, ref: str) -> PreparedImage:
        def made() -> PreparedImage:
            return prepare(self._engine, self._engine.existing_image(ref), on_progress=_quiet)

        return self._prepared.get(ref, made)


def _quiet(_text: str) -> None:
    """What takes long here is seen by the attempts that do not begin."""
