"""The server from its first byte to its last: connected, listening, and left in good order.

Whatever ends it (the client closes its end, dies, or a signal comes), each session's patch is made
and its sandbox closed before the process ends. Only a third SIGINT waits for that no longer.
"""

import asyncio
import logging
import os
import signal
import stat

from acp.agent.connection import AgentSideConnection

from agent.errors import UsageError
from agent.servers.acp.agent import AcpAgent
from agent.servers.acp.settings import ServerSettings
from agent.servers.acp.transport import ClientTransport
from agent.servers.stdio import taken

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
    if not (_is_pipe(0) and _is_pipe(1)):
        raise UsageError(
            "an editor starts `moonpool acp` and speaks through its standard input and output, "
            "which have to be pipes: see docs/editors.md"
        )
    with taken() as pipes:
        return asyncio.run(_until_a_signal(settings, ClientTransport(*pipes)))


def _is_pipe(stream: int) -> bool:
    try:
        mode = os.fstat(stream).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(stream)


async def _until_a_signal(settings: ServerSettings, transport: ClientTransport) -> int:
    heard: list[str] = []

    def stop(number: signal.Signals) -> None:
        heard.append(number.name)
        if heard.count("SIGINT") >= _DROP:
            os._exit(_INTERRUPTED)  # containers end by their time, and `moonpool resume` takes up
        transport.end_input()

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    await serve_client(settings, transport, heard)
    return _INTERRUPTED if heard else 0


async def serve_client(
    settings: ServerSettings, transport: ClientTransport, heard: list[str]
) -> None:
    """Serve one client until its input ends; then end what stands.

    Args:
        heard: names of the signals that came, by then.
    """
    agent = AcpAgent(settings, transport)
    connection = AgentSideConnection(
        agent,  # type: ignore[arg-type]  # it has the methods that are served, and no others
        transport,
        listening=False,
        use_unstable_protocol=True,
    )
    listening = asyncio.create_task(connection.listen())
    ended = asyncio.create_task(transport.input_ended())
    try:
        await asyncio.wait({listening, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
        await agent.leave(heard[0] if heard else "")
        await asyncio.wait({ended})
        listening.cancel()
        await connection.close()
