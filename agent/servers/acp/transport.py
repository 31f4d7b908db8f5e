"""Messages of one client, line by line, as the SDK's connection takes them.

Owns what a client may cost: how long a line is, how many requests are open at once. A line that is
no message is answered by the protocol's own error, and the next one counts.
"""

import asyncio
import contextlib
import json
import os
import threading

from agent.servers.acp.envelope import INVALID_REQUEST, MOST_OPEN, Message, NoMessage, read

LINE_LIMIT_BYTES = 8 << 20
"""A prompt with an embedded file or two; nothing of ours needs more."""
_STUCK_S = 300.0
"""A client that takes nothing for so long is taken for gone."""
_CLOSING_S = 2.0


class ClientTransport:
    """Fits the SDK's `Transport`: `receive`, `send`, `close`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._open: set[object] = set()
        pipe = writer.get_extra_info("pipe") or writer.get_extra_info("socket")
        # Of its own: the loop closes the other, whose number may be another file's by then.
        self._descriptor = os.dup(pipe.fileno())
        self._gate = threading.Lock()
        """Between the loop and whoever calls `send_at_once`."""
        self._rest = b""
        """What stands before all else: the end of a line whose beginning was taken at once."""

    async def receive(self) -> Message | None:
        """The next message; None: the client is gone."""
        while True:
            # A flood must let others have a turn: what stands in the buffer is read without one.
            await asyncio.sleep(0)
            try:
                line = await self._line()
                if not line:
                    return None
                if line.isspace():
                    continue
                return self._admitted(read(line))
            except NoMessage as wrong:
                try:
                    await self._send(wrong.error)
                except OSError:
                    return None

    async def send(self, message: Message) -> None:
        """Have the client's pipe take it. Raises OSError where the client is gone, or stuck."""
        if "method" not in message:
            self._open.discard(_key(message.get("id")))
        await self._send(message)

    def send_at_once(self, message: Message) -> bool:
        """As `send`, from any thread, without the loop: it costs a message the way through two
        threads. False: the pipe has no room for all of it, and `flush` is to be called.

        Raises:
            OSError: the client is gone.
        """
        data = _line_of(message)
        with self._gate:
            if self._descriptor < 0:
                raise BrokenPipeError
            if not self._rest and not self._writer.transport.get_write_buffer_size():
                with contextlib.suppress(BlockingIOError):
                    data = data[os.write(self._descriptor, data) :]
            self._rest += data
            return not data

    async def close(self) -> None:
        """Nothing more is sent."""
        with self._gate:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self._writer.wait_closed()

    async def flush(self) -> None:
        """Have the client's pipe take what `send_at_once` could not give it. Raises as `send`."""
        await self._write(b"")

    async def _send(self, message: Message) -> None:
        await self._write(_line_of(message))

    async def _write(self, data: bytes) -> None:
        async with self._turn, asyncio.timeout(_STUCK_S):
            with self._gate:
                data, self._rest = self._rest + data, b""
                self._writer.write(data)
            await self._writer.drain()

    def _admitted(self, message: Message) -> Message:
        if "method" not in message or "id" not in message:
            return message
        request_id, key = message["id"], _key(message["id"])
        if key in self._open:
            raise NoMessage(INVALID_REQUEST, "Invalid request: this id waits for its answer")
        if len(self._open) >= MOST_OPEN:
            words = f"Invalid request: {MOST_OPEN} requests wait for their answers"
            raise NoMessage(INVALID_REQUEST, words, request_id)
        self._open.add(key)
        return message

    async def _line(self) -> bytes:
        """One line; a last one that the client did not finish is none.

        Raises:
            NoMessage: it was too long, and is passed over.
        """
        too_long = False
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError as over:
                too_long = True
                await self._reader.readexactly(over.consumed)
            except (asyncio.IncompleteReadError, OSError):
                return b""
            else:
                if too_long:
                    words = f"Invalid request: a line has {LINE_LIMIT_BYTES} bytes at most"
                    raise NoMessage(INVALID_REQUEST, words)
                return line


def _line_of(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _key(request_id: object) -> object:
    """1 and "1" are two ids."""
    return (type(request_id), request_id)
