"""Lines of several threads and of the loop in one pipe: each whole, and in its sender's order."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.servers.acp.streams import ProtocolPipes, connected
from agent.servers.acp.transport import ClientTransport

SENDERS, LINES = 4, 60


@dataclass(frozen=True)
class Client:
    end: asyncio.ReadTransport
    lines: asyncio.StreamReader

    async def read(self, count: int) -> list[dict[str, object]]:
        return [json.loads(await self.lines.readline()) for _ in range(count)]


@asynccontextmanager
async def piped() -> AsyncIterator[tuple[ClientTransport, Client]]:
    """A transport, and who reads what it sends."""
    nothing, said = os.pipe()
    reading, writing = os.pipe()
    transport = ClientTransport(
        *await connected(ProtocolPipes(reading=nothing, writing=writing), line_limit_bytes=1000)
    )
    lines = asyncio.StreamReader(limit=1 << 20)
    end, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(reading, "rb", 0)
    )
    try:
        async with asyncio.timeout(60):  # a line that is lost is waited for
            yield transport, Client(end, lines)
    finally:
        os.close(said)
        end.close()
        await transport.close()


def line(sender: int, number: int) -> dict[str, object]:
    # Some fit into a pipe with others, some into none.
    return {"method": "x", "sender": sender, "number": number, "text": "é" * (number**3 % 90_000)}


def test_lines_of_several_threads_and_of_the_loop_are_whole_and_in_order() -> None:
    async def body() -> None:
        async with piped() as (transport, client):
            loop = asyncio.get_running_loop()

            def send(sender: int) -> None:
                for number in range(LINES):
                    if not transport.send_at_once(line(sender, number)):
                        asyncio.run_coroutine_threadsafe(transport.flush(), loop).result()

            async def send_on_loop(sender: int) -> None:
                for number in range(LINES):
                    await transport.send(line(sender, number))

            reading = asyncio.create_task(client.read((SENDERS + 1) * LINES))
            await asyncio.gather(
                reading,
                send_on_loop(SENDERS),
                *(asyncio.to_thread(send, sender) for sender in range(SENDERS)),
            )
        for sender in range(SENDERS + 1):
            assert [it for it in reading.result() if it["sender"] == sender] == [
                line(sender, number) for number in range(LINES)
            ]

    asyncio.run(body())


def test_line_that_a_full_pipe_took_in_part_is_finished_before_the_next() -> None:
    async def body() -> None:
        async with piped() as (transport, client):
            large = {"text": "x" * 300_000}
            assert not transport.send_at_once(large)
            assert not transport.send_at_once({"text": "next"})
            told, _ = await asyncio.gather(client.read(2), transport.flush())
            assert told == [large, {"text": "next"}]
            assert transport.send_at_once({"text": "last"})
            assert await client.read(1) == [{"text": "last"}]

    asyncio.run(body())


async def _closed(transport: ClientTransport, _client: Client) -> None:
    await transport.close()


async def _client_left(_transport: ClientTransport, client: Client) -> None:
    client.end.close()
    await asyncio.sleep(0)  # the loop closes it at its next turn


@pytest.mark.parametrize("end", [_closed, _client_left])
def test_nothing_is_sent_to_a_client_that_is_gone_nor_to_a_file_that_is_opened_then(
    tmp_path: Path, end: Callable[[ClientTransport, Client], Awaitable[None]]
) -> None:
    async def body() -> None:
        async with piped() as (transport, client):
            await end(transport, client)
            opened = [(tmp_path / str(number)).open("wb") for number in range(40)]
            with pytest.raises(BrokenPipeError):
                transport.send_at_once({"text": "x"})
            for file in opened:
                file.close()
                assert Path(file.name).read_bytes() == b""

    asyncio.run(body())
