"""The images that a run has shown to its model: counted, and kept beside its record.

The events name an image by its digest; its bytes lie here, once each. So a resumed run sends what
the first one sent, to the byte: the model's signed thinking is bound to it.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from agent.errors import RecordError
from agent.models.image_header import LARGEST_BYTES
from agent.models.interface import Image
from agent.record.events.conversation import KeptImage


class ImageStore:
    """The images of one run."""

    def __init__(self, directory: Path | None, shown: Iterable[Image] = ()) -> None:
        """Args:
        directory: made when there is something to keep; None: nothing is kept.
        shown: what the model was shown before, by a process that ended.
        """
        self._directory = directory
        self._sizes = [len(image.data) for image in shown]
        self._kept: dict[str, Image] = {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each image that was shown."""
        return tuple(self._sizes)

    def keep(self, image: Image) -> KeptImage:
        """Count an image as shown, and keep it.

        Raises:
            RecordError: it can't be written.
        """
        kept = KeptImage(
            media_type=image.media_type,
            sha256=hashlib.sha256(image.data).hexdigest(),
            size_bytes=len(image.data),
        )
        if self._directory is not None:
            self._write(self._directory / kept.sha256, image.data)
        self._sizes.append(len(image.data))
        self._kept[kept.sha256] = image
        return kept

    def recall(self, kept: KeptImage) -> Image | None:
        """An image that this process has kept."""
        return self._kept.get(kept.sha256)

    def _write(self, path: Path, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(data)
        except OSError as error:
            raise RecordError(
                f"an image that was shown can't be kept in {path.parent}: {error.strerror}"
            ) from error


def recall(directory: Path, kept: KeptImage) -> Image | None:
    """An image as it was shown; None where it is no longer there, or is another."""
    if len(kept.sha256) != 64 or not kept.sha256.isalnum():
        return None
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(
            directory / kept.sha256, "rb", opener=lambda path, _: os.open(path, flags)
        ) as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest() != kept.sha256:
        return None
    return Image(media_type=kept.media_type, data=data)
