"""An image on its way from one engine to another: its description, and its layers by their digests.

Owns the two forms between which it goes: the tar that an engine writes, of which each layer is
taken out once, and the tar that an engine loads, from which every layer is left out that it has
already. What arrives is held to the digests by which it is named. Refuses to know how bytes get
from one machine to another.
"""

import json
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import IO, cast

from policies.frozen import dataclass
from sandbox.engine import tar
from sandbox.engine.docker import Engine
from sandbox.engine.one_layer import Counted, description
from sandbox.engine.values import ImageInfo
from sandbox.errors import EngineError

_PIECE_BYTES = 1 << 20
_TEXT_BYTES = 4 << 20
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedImage:
    """An image but for the content of its layers."""

    ref: str
    """Its name in the engine that it comes from."""
    config: bytes
    """Its description, as the engine wrote it (JSON)."""
    layers: tuple[tuple[str, int], ...]
    """Digest (``sha256:…``, of the uncompressed tar) and size in bytes of each, lowest first."""

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(digest for digest, _ in self.layers)


def take_apart(
    engine: Engine, ref: str, keep: Callable[[Iterator[bytes]], Callable[[str], None]]
) -> CarriedImage:
    """Read an image out of an engine.

    Args:
        keep: takes a layer's content to its end, and gives what is then told its digest.

    Raises:
        EngineError: it can't be read, or its layers are in a form that this can't take apart.
    """
    sizes: dict[str, int] = {}
    texts: dict[str, bytes] = {}
    with engine.saved(ref) as pieces:
        stream = cast("IO[bytes]", PieceReader(pieces))
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isreg() else None
                    if file is None:
                        continue
                    head = file.read(_TEXT_BYTES + 1)
                    if head[:1] in {b"{", b"["} and len(head) <= _TEXT_BYTES:
                        texts[member.name] = head
                        continue
                    counted = Counted(_plain(_pieces(head, file)))
                    name = keep(iter(counted))
                    sizes[counted.digest] = counted.size
                    name(counted.digest)
        except (tarfile.TarError, zlib.error) as error:
            raise EngineError(f"the image {ref} can't be read: {error}") from error
    try:
        (row,) = json.loads(texts["manifest.json"])
        config = texts[row["Config"]]
        digests = json.loads(config)["rootfs"]["diff_ids"]
        layers = tuple((str(digest), sizes[digest]) for digest in digests)
    except (KeyError, ValueError, TypeError) as error:
        raise EngineError(
            f"the image {ref} can't be sent to other machines: its engine gives it in another form "
            f"({error!r:.100}); pull it on each of them"
        ) from error
    return CarriedImage(ref=ref, config=config, layers=layers)


def put_together(
    engine: Engine, image: CarriedImage, ref: str, layer: Callable[[str], Iterable[bytes]]
) -> ImageInfo:
    """Have an engine make the image, from the layers that it lacks.

    Args:
        ref: the name that it gets.
        layer: the content of one, by its digest.

    Raises:
        EngineError: what came is not what was named, or the engine can't make an image of it.
    """
    held = _held(engine, image.digests) if engine.stores_layers() else 0
    engine.load(_archive(image, ref, layer, held=held))
    made = engine.image(ref)
    if made is None or made.layers != image.digests:
        raise EngineError(f"the image {image.ref} did not arrive as it was sent: try again")
    return made


def _held(engine: Engine, digests: tuple[str, ...]) -> int:
    """How many of the lowest layers another image has there, in the same order."""

    def common(others: tuple[str, ...]) -> int:
        pairs = zip(digests, others, strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(digests), len(others)))

    return max(map(common, engine.layer_lists()), default=0)


def _archive(
    image: CarriedImage, ref: str, layer: Callable[[str], Iterable[bytes]], *, held: int
) -> Iterator[bytes]:
    names = []
    for number, (digest, size) in enumerate(image.layers):
        names.append(f"layers/{number}.tar")
        if number < held:
            continue
        yield tar.header(names[-1].encode(), kind=tar.REGULAR, size=size)
        yield from exactly(layer(digest), digest, size)
        yield tar.padding(size)
    yield from description(image.config, ref, names)


def exactly(pieces: Iterable[bytes], digest: str, size: int) -> Iterator[bytes]:
    """The same pieces. Raises EngineError where together they are not what the digest names."""
    counted = Counted(pieces)
    yield from counted
    if (counted.digest, counted.size) != (digest, size):
        raise EngineError(f"what arrived is not {digest}: try again")


def _pieces(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    while head:
        yield head
        head = file.read(_PIECE_BYTES)


def _plain(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A layer's tar, unpacked where it is compressed as registries keep it."""
    first = next(pieces, b"")
    if not first.startswith(_GZIP):
        yield first
        yield from pieces
        return
    unpacker = zlib.decompressobj(wbits=31)
    for piece in chain((first,), pieces):
        yield unpacker.decompress(piece)
    yield unpacker.flush()


class PieceReader:
    """Pieces as a file to be read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end."""
        parts: list[bytes] = []
        while size > 0:
            while not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    return b"".join(parts)
                self._left = piece
            parts.append(self._left[:size])
            self._left = self._left[size:]
            size -= len(parts[-1])
        return b"".join(parts)
