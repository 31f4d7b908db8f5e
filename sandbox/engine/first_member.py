"""What stands at one path of a container, by the engine's tar of it."""

import io
import tarfile
from contextlib import closing

from sandbox.engine.docker import Engine
from sandbox.errors import EngineError

_HEAD_BYTES = 1 << 16


def first_member(
    engine: Engine, container: str, path: str, *, limit: int = _HEAD_BYTES
) -> tuple[tarfile.TarInfo, bytes] | None:
    """The tar's first member, and what is in a regular file; None where nothing stands there.

    Args:
        limit: about so many bytes are read; the content is cut there.

    Raises:
        EngineError: what the engine sends is no tar.
    """
    data = b""
    try:
        with closing(engine.get_archive(container, path)) as pieces:
            for piece in pieces:
                data += piece
                if len(data) > limit:
                    break
    except FileNotFoundError:
        return None
    try:
        with tarfile.open(
            fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            member = archive.next()
    except tarfile.TarError as error:
        raise EngineError(f"what the engine says of {path} is no tar: {error}") from error
    if member is None:
        return None
    start = member.offset_data
    return member, data[start : start + member.size] if member.isreg() else b""
