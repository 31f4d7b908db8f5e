"""One client served, from its first frame until it leaves or the operator ends it.

Owns what of the process the protocol takes (its standard input and output, and its signals), and
that whatever ends it every sandbox is exported and closed.
"""

import logging
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import anyio

from agent.servers.mcp.sandboxes import Sandboxes
from agent.servers.mcp.server import build
from agent.servers.mcp.settings import McpSettings
from agent.servers.mcp.stdio import StdioTransport
from agent.servers.stdio import taken

END_OF_INPUT = "its client, which left"
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_AT_ONCE = 130


def serve_stdio(settings: McpSettings) -> str | None:
    """Serve whoever started this process; gives the signal that ended it, or None.

    A second signal ends the process where it stands; `moonpool resume` gets at what it leaves.
    """
    logging.basicConfig(level=logging.ERROR, format="moonpool: %(name)s: %(message)s")
    heard: list[str] = []
    with taken() as pipes:
        transport = StdioTransport(*pipes)
        with _signals(heard, transport.end_input):
            anyio.run(serve, settings, transport, heard)
    return heard[0] if heard else None


async def serve(settings: McpSettings, transport: StdioTransport, heard: list[str]) -> None:
    """Serve one client on a transport until its input ends; then end what stands.

    Args:
        heard: names of the signals that came, by then.
    """
    sandboxes = Sandboxes(settings)
    server = build(sandboxes)
    transport.unanswered = sandboxes.take_back
    try:
        async with transport.streams() as streams:
            # The SDK has no other way to serve on streams of one's own (its client takes this one).
            lowlevel = server._lowlevel_server  # noqa: SLF001
            await lowlevel.run(*streams, lowlevel.create_initialization_options())
    finally:
        await sandboxes.end_all(heard[0] if heard else END_OF_INPUT)


@contextmanager
def _signals(heard: list[str], end_input: Callable[[], None]) -> Generator[None]:
    def handle(number: int, _frame: FrameType | None) -> None:
        if heard:
            os._exit(_AT_ONCE)
        heard.append(signal.Signals(number).name)
        end_input()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
