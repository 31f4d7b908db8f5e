"""Hands the bytes of each connection on to another socket. Python 3.8, standard library.

Runs at both ends of a set-up's way out: inside it from 127.0.0.1 to the Unix socket, beside the
proxy from the Unix socket to the proxy's port.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Awaitable, Callable, Tuple  # noqa: UP035 - 3.8 runs these

_PIECE = 1 << 16
_CONNECTIONS = 256
_IDLE_S = 600

Streams = Tuple[asyncio.StreamReader, asyncio.StreamWriter]  # noqa: UP006
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _hand_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sender: asyncio.StreamWriter
) -> None:
    """`sender`: of the connection that is read."""
    peer = sender.get_extra_info("socket")
    try:
        while True:
            if peer.family == socket.AF_INET:
                # Of itself Linux waits 40 ms in each handshake: a client has no TCP_NODELAY here.
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            data = await asyncio.wait_for(reader.read(_PIECE), _IDLE_S)
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (asyncio.TimeoutError, OSError):  # noqa: UP041 - 3.8 has two of that name
        writer.close()


def connection_handler(connect: Callable[[], Awaitable[Streams]]) -> Handler:
    """What to call with each connection; `connect` gives the pair of streams on the other side."""
    open_now = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        if open_now >= _CONNECTIONS:
            writer.close()
            return
        open_now += 1
        try:
            far_reader, far_writer = await connect()
            try:
                await asyncio.gather(
                    _hand_on(reader, far_writer, writer), _hand_on(far_reader, writer, far_writer)
                )
            finally:
                far_writer.close()
        except OSError:
            pass  # the other side is gone: the client sees its connection end
        finally:
            open_now -= 1
            writer.close()

    return handle
