"""An image by its first bytes: of which form it is, and how large.

Pure. Owns what is taken for an image at all, and how large one may be to be shown to a model.
Nothing is ever decoded: only headers are read, each within the bytes that are there.

Limits: the API's page on vision (October 2026), the smallest of the providers': 5 MB of base64 for
one image, 8000 pixels a side where a request has at most 20 images, 32 MB for the whole request.
"""

import struct
from collections.abc import Sequence
from typing import Final

from policies.frozen import dataclass

LARGEST_BYTES: Final = 5 * 1024 * 1024 // 4 * 3
"""Of one image's file: its base64 is a third longer."""
MOST_IMAGES: Final = 20
"""In one conversation: with more, the service takes only small ones, the earlier ones too."""
ALL_BYTES: Final = 15 * 1024 * 1024
"""All the images of one conversation together: each request has all of them in it."""
LONGEST_SIDE: Final = 8000

_SNIFFED: Final = 8192
_SEGMENTS: Final = 4096
"""As many segments of a JPEG are looked at for its size."""
_SIZES_IN_JPEG: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    media_type: str
    width: int
    """Pixels; 0 where the header says so, or does not say."""
    height: int

    @property
    def in_words(self) -> str:
        size = f"{self.width} x {self.height} pixels" if self.width and self.height else "no size"
        return f"{self.media_type}, {size}"


def image_header_of(data: bytes) -> ImageHeader | None:
    """What the bytes say they are; None: no image of a form that models are shown.

    Text is text, whatever it begins with: ``GIF89a`` may be the first word of a sentence.
    """
    if _is_text(data[:_SNIFFED]):
        return None
    for magic, media_type, size in (
        (b"\x89PNG\r\n\x1a\n", "image/png", _png),
        (b"\xff\xd8\xff", "image/jpeg", _jpeg),
        (b"GIF87a", "image/gif", _gif),
        (b"GIF89a", "image/gif", _gif),
        (b"RIFF", "image/webp", _webp),
    ):
        if data.startswith(magic):
            found = size(data)
            if found is None:
                return None
            return ImageHeader(media_type=media_type, width=found[0], height=found[1])
    return None


def objection(header: ImageHeader, size_bytes: int, shown: Sequence[int]) -> str:
    """Why it is not shown; empty: it may be.

    Args:
        shown: bytes of each image that the conversation has already.
    """
    if not (header.width and header.height):
        return "its header gives it no size"
    if max(header.width, header.height) > LONGEST_SIDE:
        return f"a side is longer than {LONGEST_SIDE} pixels"
    if size_bytes > LARGEST_BYTES:
        return f"it has more than {LARGEST_BYTES} bytes"
    if len(shown) >= MOST_IMAGES:
        return f"you have been shown {MOST_IMAGES} images already, which is all there is room for"
    if sum(shown) + size_bytes > ALL_BYTES:
        return "the images you have been shown leave no room for it"
    return ""


def _is_text(data: bytes) -> bool:
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # Cut in the middle of a character it is text still.
        return error.start >= len(data) - 3 and len(data) == _SNIFFED
    return True


def _png(data: bytes) -> tuple[int, int] | None:
    if data[8:16] != b"\0\0\0\rIHDR" or len(data) < 33:
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int] | None:
    if len(data) < 13:
        return None
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[8:12] != b"WEBP" or len(data) < 30:
        return None
    match data[12:16]:
        case b"VP8X":
            return (
                1 + int.from_bytes(data[24:27], "little"),
                1 + int.from_bytes(data[27:30], "little"),
            )
        case b"VP8L" if data[20] == 0x2F:
            bits = int.from_bytes(data[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """The first frame's size; (0, 0) where no frame is found."""
    at = 2
    for _ in range(_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            break
        kind = data[at + 1]
        if kind == 0xFF:  # a fill byte
            at += 1
            continue
        if kind in _WITHOUT_LENGTH:
            at += 2
            continue
        if kind in _SIZES_IN_JPEG:
            if at + 9 > len(data):
                break
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0
