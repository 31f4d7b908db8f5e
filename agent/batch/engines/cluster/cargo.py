"""What an attempt needs on another machine beside its order: images, and its workspace's copy.

Content goes in pieces through a `PieceStore`, which each machine gets once; here are the names and
digests of it. Refuses to know whose store that is.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from policies.frozen import dataclass
from sandbox.engine.image_transfer import CarriedImage
from sandbox.workspace.shipment import CarriedWorkspace

PIECE_BYTES = 16 << 20


class PieceStore(Protocol):
    """Keeps bytes where other machines of the batch can get them."""

    def put(self, piece: bytes, /) -> object:
        """Gives what `get` takes, for as long as that is kept."""

    def get(self, name: object, /) -> bytes:
        """Raises RecordError where they are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededImage:
    """An image by what tells whether a machine has it."""

    ref: str
    layers: tuple[str, ...]
    """Digests, lowest first."""
    also: str = ""
    """Another name that it is to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageParcel:
    """An image with where its layers' bytes are."""

    image: CarriedImage
    pieces: tuple[tuple[str, tuple[object, ...]], ...]
    """By digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceParcel:
    workspace: CarriedWorkspace
    pieces: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    images: tuple[NeededImage, ...]
    """The one that is worked in last."""
    workspace: WorkspaceParcel | None
    """None: it is a folder of the image."""


def put_all(store: PieceStore, pieces: Iterable[bytes]) -> tuple[object, ...]:
    """Bring content into a store, in large pieces."""
    names, waiting, size = [], [], 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            names.append(store.put(b"".join(waiting)))
            waiting, size = [], 0
    if waiting:
        names.append(store.put(b"".join(waiting)))
    return tuple(names)


def get_all(store: PieceStore, names: Iterable[object]) -> Iterator[bytes]:
    """The content again, one piece at a time."""
    for name in names:
        yield store.get(name)
