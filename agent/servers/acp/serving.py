"""The server from its first byte to its last: connected, listening, and left in good order.

Whatever ends it (the client closes its end, dies, or a signal comes), each session's patch is made
and its sandbox closed before the process ends. Only a third SIGINT waits for that no longer.
"""

import asyncio
import contextlib
import logging
import os
import signal

from acp.agent.connection import AgentSideConnection

from agent.servers.acp import streams
from agent.servers.acp.agent import AcpAgent
from agent.servers.acp.settings import ServerSettings
from agent.servers.acp.transport import LINE_LIMIT_BYTES, ClientTransport

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 130
_DROP = 3


def serve(settings: ServerSettings) -> int:
    """Serve one client on standard input and output; gives the exit code.

    Raises:
        UsageError: they are no pipes.
    """
    # The SDK tells of each line that it can't use, with a traceback: ours have their answers.
    logging.getLogger().addHandler(logging.NullHandler())
    streams.require_pipes()
    with streams.taken() as pipes:
        return asyncio.run(_serve(settings, pipes))


async def _serve(settings: ServerSettings, pipes: streams.ProtocolPipes) -> int:
    reader, writer = await streams.connected(pipes, line_limit_bytes=LINE_LIMIT_BYTES)
    transport = ClientTransport(reader, writer)
    agent = AcpAgent(settings, transport)
    connection = AgentSideConnection(
        agent,  # type: ignore[arg-type]  # it has the methods that are served, and no others
        transport,
        listening=False,
        use_unstable_protocol=True,
    )
    listening = asyncio.create_task(connection.listen())
    stopped = asyncio.Event()
    heard: list[str] = []

    def stop(number: signal.Signals) -> None:
        heard.append(number.name)
        if heard.count("SIGINT") >= _DROP:
            os._exit(_INTERRUPTED)  # containers end by their time, and `moonpool resume` takes up
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    stopping = asyncio.create_task(stopped.wait())
    # A client that reads no more is gone, though it may hold its other end for long.
    gone = asyncio.create_task(_closed(writer))
    try:
        await asyncio.wait({listening, stopping, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        gone.cancel()
        await agent.leave(heard[0] if heard else "")
        listening.cancel()
        await connection.close()
    return _INTERRUPTED if heard else 0


async def _closed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        # Shielded: what is awaited is the stream's own end, which is not to be cancelled with this.
        await asyncio.shield(writer.wait_closed())
