"""The sandboxes of one worker process, from what was sent for them.

Owns what a machine still lacks: it is sent for once, and whoever else needs it waits. Sandboxes of
the same kind are made ahead, as in a batch on one machine (`agent.batch.sandbox_pool`).
"""

from collections.abc import Hashable, Mapping
from functools import partial

from agent.batch.engines.cluster.cargo import (
    Cargo,
    ImageParcel,
    NeededImage,
    PieceStore,
    WorkspaceParcel,
    get_all,
)
from agent.batch.engines.cluster.link import DeskLink
from agent.batch.sandbox_pool import kind_of
from agent.lifecycle.job import Job, OnProgress
from agent.lifecycle.open_sandbox import opened_for
from sandbox import cache, supply
from sandbox.container.prepared_image import PreparedImage
from sandbox.engine.docker import Engine
from sandbox.engine.image_transfer import put_together
from sandbox.errors import EngineError
from sandbox.opening.opened import OpenedContainer
from sandbox.pool.warm_supply import WarmSupply
from sandbox.sandbox import Sandbox
from sandbox.workspace.shipment import lay
from sandbox.workspace.snapshot import Snapshot

_AHEAD = 2
"""So many sandboxes wait: behind one alone, attempts that are quicker than a start wait for it."""
_CARRIED = "moonpool-carried"
"""What an image is called whose own name means another one on this machine."""


class CargoBoxes:
    """For one attempt at a time."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises: EngineUnavailable: no engine answers."""
        self._engine = Engine.connect(environ)
        self._supply = WarmSupply(self._engine, limit=_AHEAD)
        self._kind: Hashable = None

    @property
    def owner(self) -> str:
        """This process, as sandboxes made ahead name it."""
        return supply.this_process()

    def open_box(
        self,
        job: Job,
        on_progress: OnProgress,
        cargo: Cargo,
        link: DeskLink,
        store: PieceStore,
        *,
        after: int,
    ) -> Sandbox:
        """A sandbox for this run alone; errors as for `agent.lifecycle.open_sandbox`.

        Args:
            after: how many of the same kind are wanted next.
        """
        names = [self._image(one, on_progress, link, store) for one in cargo.images]
        copy = cargo.workspace
        kind = (copy and copy.workspace.key, names[-1], *kind_of(job))

        def opening(run_id: str, say: OnProgress) -> OpenedContainer:
            carried = None if copy is None else partial(self._laid, copy, store, say)
            return opened_for(
                job,
                self._engine,
                names[-1],
                say,
                run_id=run_id,
                supply=self._supply,
                carried=carried,
            )

        def ahead() -> OpenedContainer:
            return opening("", _quiet)

        if self._kind not in (None, kind):
            self._supply.expect(self._kind, 0, ahead)
        self._kind = kind
        self._supply.expect(kind, 1 + after, ahead)
        found = opening(job.run_id, on_progress)
        self._supply.opened(kind, found.plan)
        return Sandbox(found)

    def _image(
        self, needed: NeededImage, on_progress: OnProgress, link: DeskLink, store: PieceStore
    ) -> str:
        """What the image is called here."""
        engine = self._engine
        name = _name_here(engine, needed)
        if name is None:
            waiting = f"image {needed.ref}: another run gets it, waiting"
            with cache.alone(
                engine.cache, f"carried-{_digest(needed)}", lambda: on_progress(waiting)
            ):
                name = _name_here(engine, needed)
                if name is None:
                    on_progress(f"image {needed.ref}: it is not on this machine, and is sent for")
                    name = self._arrived(needed, link, store)
        if needed.also and engine.image(needed.also) is None:
            engine.tag(name, needed.also)
        return name

    def _arrived(self, needed: NeededImage, link: DeskLink, store: PieceStore) -> str:
        parcel = link.ask("want", needed.ref)
        if not isinstance(parcel, ImageParcel):
            raise EngineError(f"the image {needed.ref} can't be sent: {parcel}")
        pieces = dict(parcel.pieces)
        taken = self._engine.image(needed.ref) is not None
        name = _other_name(needed) if taken else needed.ref
        put_together(
            self._engine, parcel.image, name, lambda digest: get_all(store, pieces[digest])
        )
        return name

    def _laid(
        self, parcel: WorkspaceParcel, store: PieceStore, say: OnProgress, prepared: PreparedImage
    ) -> Snapshot:
        """A workspace's copy on an image."""
        workspace = parcel.workspace
        waiting = "another run gets the workspace's copy, waiting"
        with cache.alone(self._engine.cache, f"carried-{workspace.key}", lambda: say(waiting)):
            return lay(self._engine, prepared, workspace, lambda: get_all(store, parcel.pieces))


def _digest(needed: NeededImage) -> str:
    return needed.layers[-1].removeprefix("sha256:")[:24]


def _other_name(needed: NeededImage) -> str:
    return f"{_CARRIED}:{_digest(needed)}"


def _name_here(engine: Engine, needed: NeededImage) -> str | None:
    for name in (needed.ref, _other_name(needed)):
        found = engine.image(name)
        # Names of our own images say what is in them.
        said = name.startswith("moonpool/") and not name.endswith(":latest")
        if found is not None and (said or found.layers == needed.layers):
            return name
    return None


def _quiet(_text: str) -> None:
    """Of a sandbox that is made ahead nobody wants to know how far it is."""
