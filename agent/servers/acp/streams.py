"""Standard input and output, taken for the protocol alone.

What prints goes to standard error from then on, whoever prints: a library, a defect, a child. What
reads standard input reads nothing.
"""

import asyncio
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager

from agent.errors import UsageError
from policies.frozen import dataclass

_STDIN, _STDOUT, _STDERR = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolPipes:
    """File descriptors that no child inherits."""

    reading: int
    writing: int


@contextmanager
def taken() -> Generator[ProtocolPipes]:
    """Inside, the protocol has the two streams and nobody else has."""
    pipes = ProtocolPipes(reading=os.dup(_STDIN), writing=os.dup(_STDOUT))
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, _STDIN)
        os.dup2(_STDERR, _STDOUT)
        yield pipes
    finally:
        # They stay taken: what the end of the process still prints is no message either.
        os.close(nothing)


def require_pipes() -> None:
    """Raises UsageError where nobody can answer through standard input and output."""
    if not (_is_pipe(_STDIN) and _is_pipe(_STDOUT)):
        raise UsageError(
            "an editor starts `moonpool acp` and speaks through its standard input and output, "
            "which have to be pipes: see docs/editors.md"
        )


def _is_pipe(stream: int) -> bool:
    try:
        mode = os.fstat(stream).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(stream)


async def connected(
    pipes: ProtocolPipes, *, line_limit_bytes: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The two pipes as streams.

    Args:
        line_limit_bytes: how much is read ahead at most, in one line or in several.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=line_limit_bytes)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipes.reading, "rb", 0)
    )
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()),
        os.fdopen(pipes.writing, "wb", 0),
    )
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)
