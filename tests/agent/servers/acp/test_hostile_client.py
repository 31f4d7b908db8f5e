"""A client that is broken, or means harm: each line has its answer, and the next one counts."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.servers.acp.transport import LINE_LIMIT_BYTES
from editors.desk import Desk, serve_on

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": "first",
    "method": "initialize",
    "params": {"protocolVersion": 1},
}


class Wire:
    """The bytes between the two, from the client's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, *lines: bytes) -> None:
        for line in lines:
            self.writer.write(line + b"\n")
        await self.writer.drain()

    async def request(self, message: Any) -> None:
        await self.send(json.dumps(message).encode())

    async def answer(self) -> dict[str, Any]:
        """The next answer; what is told beside is passed over."""
        while True:
            message: dict[str, Any] = json.loads(await self._reader.readline())
            if "method" not in message:
                return message


def at_the_wire(desk: Desk, body: Callable[[Wire], Awaitable[None]]) -> None:
    """Do it with a server at the other end, which must be alive and well afterwards."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        serving = asyncio.create_task(serve_on(ours, desk.settings()))
        wire = Wire(*await asyncio.open_connection(sock=theirs, limit=LINE_LIMIT_BYTES))
        try:
            await body(wire)
            await wire.request(INITIALIZE)
            assert (await wire.answer())["result"]["protocolVersion"] == 1
        finally:
            wire.writer.close()
            await serving

    asyncio.run(main())
    assert all(box.closed for box in desk.boxes)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", -32700),
        (b"{", -32700),
        (b"\xff\xfe\x00", -32700),
        (b"[" * 100_000, -32700),
        (b"9" * 10_000, -32700),
        (b'"text"', -32600),
        (b"null", -32600),
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"initialize"}]', -32600),
        (b"{}", -32600),
        (b'{"id":1}', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"initialize"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":[1]}', -32600),
        (b'{"jsonrpc":"2.0","id":{"a":1},"method":"initialize"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"initialize"}', -32600),
        (b'{"jsonrpc":"2.0","id":[],"result":{}}', -32600),
        (b'{"jsonrpc":"2.0","id":"7","result":{}}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"no/such"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"fs/read_text_file","params":{}}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"_ext/method","params":{}}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"session/fork","params":{}}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":-1}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"session/new","params":{"cwd":7}}', -32602),
    ],
)
def test_line_that_is_no_request_has_the_protocols_error(
    desk: Desk, line: bytes, code: int
) -> None:
    async def body(wire: Wire) -> None:
        await wire.send(line)
        assert (await wire.answer())["error"]["code"] == code

    at_the_wire(desk, body)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   \t",
        b'{"jsonrpc":"2.0","id":0,"result":{}}',
        b'{"jsonrpc":"2.0","id":12345678901234567890,"error":"no"}',
        b'{"jsonrpc":"2.0","id":0,"error":{"code":"x","message":[]}}',
        b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"nobody\\ud800"}}',
        b'{"jsonrpc":"2.0","method":"session/cancel"}',
        b'{"jsonrpc":"2.0","method":"no/such"}',
    ],
)
def test_what_needs_no_answer_does_no_harm(desk: Desk, line: bytes) -> None:
    async def body(wire: Wire) -> None:
        await wire.send(line)

    at_the_wire(desk, body)


def test_line_without_end_is_passed_over_in_bounded_memory(desk: Desk) -> None:
    async def body(wire: Wire) -> None:
        piece = b"x" * (1 << 20)
        for _ in range(3 * (LINE_LIMIT_BYTES >> 20)):
            wire.writer.write(piece)
            await wire.writer.drain()
        await wire.send(b"")
        answer = await wire.answer()
        assert answer["error"]["code"] == -32600
        assert "bytes at most" in answer["error"]["message"]

    at_the_wire(desk, body)


def test_meta_of_a_client_is_no_argument(desk: Desk) -> None:
    async def body(wire: Wire) -> None:
        await wire.request(INITIALIZE)
        await wire.answer()
        await wire.request(
            {
                "jsonrpc": "2.0",
                "id": 2,
                "method": "session/new",
                "params": {
                    "cwd": str(desk.workspace),
                    "mcpServers": [],
                    "_meta": {"cwd": "/etc", "additional_directories": [1], "self": 1},
                },
            }
        )
        assert "sessionId" in (await wire.answer())["result"]

    at_the_wire(desk, body)


def test_flood_of_requests_is_answered_and_bounded(desk: Desk) -> None:

    async def body(wire: Wire) -> None:
        await wire.request(INITIALIZE)
        await wire.answer()
        line = {"jsonrpc": "2.0", "method": "session/close", "params": {"sessionId": "x"}}
        await wire.send(*(json.dumps({**line, "id": n}).encode() for n in range(500)))
        answers = [await wire.answer() for _ in range(500)]
        assert {answer["error"]["code"] for answer in answers} <= {-32002, -32600}
        assert {answer["id"] for answer in answers} == set(range(500))

    at_the_wire(desk, body)


def test_flood_of_cancels_holds_nothing_up(desk: Desk) -> None:
    async def body(wire: Wire) -> None:
        line = b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"x"}}'
        for _ in range(20):
            await wire.send(*[line] * 500)

    at_the_wire(desk, body)


def test_id_that_waits_for_its_answer_is_not_taken_twice(desk: Desk) -> None:
    desk.turns = [
        {"calls": [{"tool": "bash", "arguments": {"command": "touch begun; sleep 600"}}]},
        {"text": "Done."},
    ]

    async def body(wire: Wire) -> None:
        await wire.request(INITIALIZE)
        await wire.answer()
        params: dict[str, Any] = {"cwd": str(desk.workspace), "mcpServers": []}
        await wire.request({"jsonrpc": "2.0", "id": 1, "method": "session/new", "params": params})
        session = (await wire.answer())["result"]["sessionId"]
        params = {"sessionId": session, "prompt": [{"type": "text", "text": "go"}]}
        prompt = {"jsonrpc": "2.0", "id": 2, "method": "session/prompt", "params": params}
        await wire.request(prompt)
        await desk.until("begun")
        await wire.request(prompt)
        refused = await wire.answer()
        assert refused["error"]["code"] == -32600
        assert refused["id"] is None
        cancel = {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session}}
        await wire.request(cancel)
        assert (await wire.answer())["result"]["stopReason"] == "cancelled"

    at_the_wire(desk, body)
