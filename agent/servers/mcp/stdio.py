"""Frames of the protocol on two descriptors, from and to a client that nobody trusts.

The SDK's own transport reads a line of any length, drops what is no message without a word, and
can't be ended while it waits for input. Here a frame is bounded, what is none is answered with the
protocol's error, so many requests are served at once and no more, and a signal ends the input.
"""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from agent.servers.stdio import ClientPipes

LARGEST_FRAME = 16 << 20
"""Bytes of one message: a file to be written is at most as large."""
MOST_REQUESTS = 64
"""Served at once; more are refused."""

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


class _Refusal(SessionMessage):
    """Our own answer to what the server never got."""


class StdioTransport(ClientPipes):
    """One client, on two descriptors that nothing else uses."""

    def __init__(self, source: int, sink: int) -> None:
        super().__init__(source, sink, longest_bytes=LARGEST_FRAME)
        self._served: set[RequestId] = set()
        self.unanswered: Callable[[RequestId], None] = lambda _: None
        """Is told of each request that gets no answer, since its client took it back."""

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Streams]:
        """Inside, what the client sends can be received, and what is sent gets to it."""
        to_server, incoming = anyio.create_memory_object_stream[Incoming](0)
        outgoing, to_client = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read_all, to_server, outgoing.clone())
                tasks.start_soon(self._write_all, to_client)
                tasks.start_soon(self._close_when_ended, to_server)
                try:
                    yield incoming, outgoing
                finally:
                    self.end_input()
                    self.hurry()
                    incoming.close()
                    outgoing.close()
        finally:
            self.shut()

    async def _close_when_ended(self, to_server: MemoryObjectSendStream[Incoming]) -> None:
        """End the input where that was said, though the reader may wait for who does not read."""
        await self.input_ended()
        to_server.close()

    async def _write_all(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        gone = False
        async with messages:
            async for item in messages:
                if not isinstance(item, _Refusal):
                    self._settled(item.message)
                if not gone:
                    try:
                        await self.send_line(_line(item.message))
                    except OSError:
                        gone = True

    def _settled(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            self._served.discard(coerce_request_id(message.id))

    async def _read_all(
        self,
        to_server: MemoryObjectSendStream[Incoming],
        to_client: MemoryObjectSendStream[SessionMessage],
    ) -> None:
        async with to_server, to_client:
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                async for frame in self.lines():
                    message, refusal = self._judged(frame)
                    if refusal is not None:
                        await to_client.send(_Refusal(refusal))
                    elif message is not None:
                        known = SessionMessage(message, metadata=self._metadata(message))
                        await to_server.send(known)

    def _judged(self, frame: bytes | None) -> tuple[JSONRPCMessage | None, JSONRPCError | None]:
        """A message for the server, or an answer in its place; neither for an empty line."""
        if frame is None:
            words = f"a message of more than {LARGEST_FRAME >> 20} MiB is not read"
            return None, _error(None, INVALID_REQUEST, words)
        return self._parsed(frame) if frame.strip() else (None, None)

    def _parsed(self, frame: bytes) -> tuple[JSONRPCMessage | None, JSONRPCError | None]:
        try:
            message = jsonrpc_message_adapter.validate_json(frame, by_name=False)
        except ValidationError as error:
            if any(problem["type"] == "json_invalid" for problem in error.errors()):
                return None, _unread(frame)
            return None, _error(None, INVALID_REQUEST, "this is no message of JSON-RPC 2.0")
        if isinstance(message, JSONRPCRequest):
            return self._admitted(message)
        # A request whose id is of another type is a notification for the SDK, and never answered.
        if isinstance(message, JSONRPCNotification) and json.loads(frame).get("id") is not None:
            return None, _error(None, INVALID_REQUEST, "an id is a text or a whole number")
        return message, None

    def _metadata(self, message: JSONRPCMessage) -> ServerMessageMetadata | None:
        if not isinstance(message, JSONRPCRequest):
            return None

        async def unanswered() -> None:
            self._served.discard(coerce_request_id(message.id))
            self.unanswered(message.id)

        return ServerMessageMetadata(on_request_unanswered=unanswered)

    def _admitted(
        self, request: JSONRPCRequest
    ) -> tuple[JSONRPCMessage | None, JSONRPCError | None]:
        known = coerce_request_id(request.id)
        if known in self._served:
            words = "a request of this id is served already"
        elif len(self._served) >= MOST_REQUESTS:
            words = f"{MOST_REQUESTS} requests are served already: wait for an answer"
        else:
            self._served.add(known)
            return request, None
        return None, _error(request.id, INVALID_REQUEST, words)


def _line(message: JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except PydanticSerializationError:  # the name of a folder on the host may be no text
        data = message.model_dump(by_alias=True, exclude_unset=True)
        return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _unread(frame: bytes) -> JSONRPCError:
    """The answer to what is no JSON; by the id that waits where it is all but that."""
    with suppress(ValueError, RecursionError, KeyError, TypeError):
        request = json.loads(frame)["id"]
        if type(request) in {int, str}:
            words = "half of a surrogate pair is no text, and NaN no number: leave it out"
            return _error(request, INVALID_REQUEST, words)
    return _error(None, PARSE_ERROR, "this is no JSON")


def _error(request: RequestId | None, code: int, words: str) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=request, error=ErrorData(code=code, message=words))
