"""Frames of the protocol on two descriptors, from and to a client that nobody trusts.

The SDK's own transport reads a line of any length, drops what is no message without a word, and
can't be ended while it waits for input. Here a frame is bounded, what is none is answered with the
protocol's error, so many requests are served at once and no more, and a signal ends the input.
"""

import asyncio
import json
import os
import select
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.from_thread
import anyio.lowlevel
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

LARGEST_FRAME = 16 << 20
"""Bytes of one message: a file to be written is at most as large."""
MOST_REQUESTS = 64
"""Served at once; more are refused."""
_PIECE = 1 << 16
_AT_ONCE = 4096
"""What takes anything takes so much without waiting (POSIX, ``PIPE_BUF``)."""
_LAST_WORDS_S = 2.0
"""For answers to a client that may not read them."""

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


class _Refusal(SessionMessage):
    """Our own answer to what the server never got."""


class StdioTransport:
    """One client, on two descriptors that nothing else uses."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._woken, self._wake = os.pipe()
        self._served: set[RequestId] = set()
        self.unanswered: Callable[[RequestId], None] = lambda _: None
        """Is told of each request that gets no answer, since its client took it back."""
        self._lock = threading.Lock()

    def end_input(self) -> None:
        """As if the client had closed its side; callable from a signal handler."""
        with suppress(OSError):
            os.write(self._wake, b"x")

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Streams]:
        """Inside, what the client sends can be received, and what is sent gets to it."""
        to_server, incoming = anyio.create_memory_object_stream[Incoming](0)
        outgoing, to_client = anyio.create_memory_object_stream[SessionMessage](0)
        reader = threading.Thread(
            target=self._read,
            args=(to_server, outgoing.clone(), anyio.lowlevel.current_token()),
            name="protocol input",
            # One that waits for a client that neither speaks nor leaves is no reason to go on.
            daemon=True,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write_all, to_client)
            tasks.start_soon(self._end, to_server)
            reader.start()
            try:
                yield incoming, outgoing
            finally:
                self.end_input()
                incoming.close()
                outgoing.close()
                tasks.cancel_scope.deadline = anyio.current_time() + _LAST_WORDS_S

    async def _end(self, to_server: MemoryObjectSendStream[Incoming]) -> None:
        """End the input where that was said, though the reader may wait for who does not read."""
        await anyio.wait_readable(self._woken)
        to_server.close()

    # -- to the client ---------------------------------------------------------------------

    async def _write_all(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        gone = False
        async with messages:
            async for item in messages:
                if not isinstance(item, _Refusal):
                    self._settled(item.message)
                if gone:
                    continue
                try:
                    await self._sent(_line(item.message))
                except OSError:
                    # Whoever does not listen any more has no way to ask for something either.
                    gone = True
                    self.end_input()

    async def _sent(self, data: bytes) -> None:
        if len(data) <= _AT_ONCE and select.select([], [self._sink], [], 0)[1]:
            data = data[os.write(self._sink, data) :]
            if not data:
                return
        done: Future[None] = Future()

        def write() -> None:
            view = memoryview(data)
            try:
                while view:
                    select.select([], [self._sink], [])
                    view = view[os.write(self._sink, view[:_AT_ONCE]) :]
            except OSError as error:
                ended: OSError | None = error
            else:
                ended = None
            # Nobody waits for it any more where the server is over.
            if done.set_running_or_notify_cancel():
                done.set_exception(ended) if ended is not None else done.set_result(None)

        # A daemon again: a client may never read what it asked for.
        threading.Thread(target=write, name="protocol output", daemon=True).start()
        await asyncio.wrap_future(done)

    def _settled(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            self._forget(message.id)

    def _forget(self, request: RequestId) -> None:
        with self._lock:
            self._served.discard(coerce_request_id(request))

    # -- in the reader's thread ------------------------------------------------------------

    def _read(
        self,
        to_server: MemoryObjectSendStream[Incoming],
        to_client: MemoryObjectSendStream[SessionMessage],
        token: anyio.lowlevel.EventLoopToken,
    ) -> None:
        # The last two say that the loop is gone, and with it whoever would read on.
        gone = (RuntimeError, CancelledError)
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, *gone):
            for frame in self._frames():
                message, refusal = self._judged(frame)
                if refusal is not None:
                    anyio.from_thread.run(to_client.send, _Refusal(refusal), token=token)
                elif message is not None:
                    known = SessionMessage(message, metadata=self._metadata(message))
                    anyio.from_thread.run(to_server.send, known, token=token)
        with suppress(*gone):
            anyio.from_thread.run_sync(to_server.close, token=token)
            anyio.from_thread.run_sync(to_client.close, token=token)

    def _frames(self) -> Generator[bytes | None]:
        """One line each; None in the place of one that is too long."""
        begun = bytearray()
        too_long = False
        while data := self._piece():
            *ends, rest = data.split(b"\n")
            for end in ends:
                begun += end
                yield None if too_long or len(begun) > LARGEST_FRAME else bytes(begun)
                begun.clear()
                too_long = False
            begun += rest
            if len(begun) > LARGEST_FRAME:
                too_long = True
                begun.clear()

    def _piece(self) -> bytes:
        """What came; empty at the end of input, or where that was said by `end_input`."""
        try:
            ready, _, _ = select.select([self._source, self._woken], [], [])
            return b"" if self._woken in ready else os.read(self._source, _PIECE)
        except (OSError, ValueError):
            return b""

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
            self._forget(message.id)
            self.unanswered(message.id)

        return ServerMessageMetadata(on_request_unanswered=unanswered)

    def _admitted(
        self, request: JSONRPCRequest
    ) -> tuple[JSONRPCMessage | None, JSONRPCError | None]:
        with self._lock:
            if coerce_request_id(request.id) in self._served:
                words = "a request of this id is served already"
            elif len(self._served) >= MOST_REQUESTS:
                words = f"{MOST_REQUESTS} requests are served already: wait for an answer"
            else:
                self._served.add(coerce_request_id(request.id))
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
