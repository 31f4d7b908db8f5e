"""Messages of one client, line by line, as the SDK's connection takes them.

Owns what a client may cost: how long a line is, how many requests are open at once. A line that is
no message is answered by the protocol's own error, and the next one counts.
"""

import asyncio
import json

from agent.servers.acp.envelope import INVALID_REQUEST, MOST_OPEN, Message, NoMessage, read
from agent.servers.stdio import ClientPipes

LINE_LIMIT_BYTES = 8 << 20
"""A prompt with an embedded file or two; nothing of ours needs more."""
_STUCK_S = 300.0
"""A client that takes nothing for so long is taken for gone."""


class ClientTransport(ClientPipes):
    """Fits the SDK's `Transport`: `receive`, `send`, `close`."""

    def __init__(self, source: int, sink: int) -> None:
        super().__init__(source, sink, longest_bytes=LINE_LIMIT_BYTES, patience_s=_STUCK_S)
        self._lines = self.lines()
        self._open: set[object] = set()

    async def receive(self) -> Message | None:
        """The next message; None: the client is gone."""
        async for line in self._lines:
            # A flood must let others have a turn: what was read with another is there without one.
            await asyncio.sleep(0)
            try:
                if line is None:
                    words = f"Invalid request: a line has {LINE_LIMIT_BYTES} bytes at most"
                    raise NoMessage(INVALID_REQUEST, words)
                if line.strip():
                    return self._admitted(read(line))
            except NoMessage as wrong:
                try:
                    await self.send_line(_line_of(wrong.error))
                except OSError:
                    return None
        return None

    async def send(self, message: Message) -> None:
        """Have the client's pipe take it. Raises OSError where the client is gone, or stuck."""
        if "method" not in message:
            self._open.discard(_key(message.get("id")))
        await self.send_line(_line_of(message))

    def tell(self, message: Message) -> None:
        """As `send`, from any thread but the loop's."""
        self.write_line(_line_of(message))

    async def close(self) -> None:
        """Nothing more is sent."""
        self.shut()

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


def _line_of(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _key(request_id: object) -> object:
    """1 and "1" are two ids."""
    return (type(request_id), request_id)
