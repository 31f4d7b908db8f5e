"""Lines of several threads and of the loop in one pipe: each whole, and in its sender's order."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.servers.stdio import ClientPipes
from waiting import WAIT_S

SENDERS, LINES = 4, 60


@dataclass(frozen=True)
class Client:
    end: asyncio.ReadTransport
    answers: asyncio.StreamReader
    speaking: int

    async def read(self, count: int) -> list[dict[str, object]]:
        return [json.loads(await self.answers.readline()) for _ in range(count)]


@asynccontextmanager
async def piped() -> AsyncIterator[tuple[ClientPipes, Client]]:
    """The two pipes of a client, and who is at their other ends."""
    heard, speaking = os.pipe()
    reading, said = os.pipe()
    pipes = ClientPipes(heard, said, longest_bytes=1000)
    answers = asyncio.StreamReader(limit=1 << 20)
    end, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(answers), os.fdopen(reading, "rb", 0)
    )
    try:
        async with asyncio.timeout(WAIT_S):  # a line that is lost is waited for
            yield pipes, Client(end, answers, speaking)
    finally:
        end.close()
        pipes.shut()
        for descriptor in (heard, speaking, said):
            os.close(descriptor)


def line(sender: int, number: int) -> dict[str, object]:
    # Some fit into a pipe with others, some into none.
    return {"method": "x", "sender": sender, "number": number, "text": "é" * (number**3 % 90_000)}


def spelled(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def test_lines_of_several_threads_and_of_the_loop_are_whole_and_in_order() -> None:
    async def body() -> None:
        async with piped() as (pipes, client):

            def send(sender: int) -> None:
                for number in range(LINES):
                    pipes.write_line(spelled(line(sender, number)))

            async def send_on_loop(sender: int) -> None:
                for number in range(LINES):
                    await pipes.send_line(spelled(line(sender, number)))

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


def test_client_that_takes_nothing_holds_nobody_once_it_is_hurried() -> None:
    async def body() -> None:
        async with piped() as (pipes, client):
            client.end.pause_reading()
            large = asyncio.create_task(pipes.send_line(b"x" * (4 << 20)))
            await asyncio.sleep(0)
            pipes.hurry()
            with pytest.raises(TimeoutError):
                await large
            # It would stand in the middle of the other.
            with pytest.raises(BrokenPipeError):
                await pipes.send_line(b"next\n")

    asyncio.run(body())


def test_what_has_room_is_still_sent_once_it_is_hurried() -> None:
    async def body() -> None:
        async with piped() as (pipes, client):
            pipes.hurry()
            await pipes.send_line(spelled({"text": "last"}))
            assert await client.read(1) == [{"text": "last"}]

    asyncio.run(body())


@pytest.mark.parametrize("ends", ["said", "listens no more"])
def test_input_ends_where_it_is_said_and_where_nobody_listens(ends: str) -> None:
    async def body() -> None:
        async with piped() as (pipes, client):
            lines = pipes.lines()
            os.write(client.speaking, b"one\n" + b"y" * 1001 + b"\ntwo\nno end")
            assert [await anext(lines) for _ in range(3)] == [b"one", None, b"two"]
            if ends == "said":
                pipes.end_input()
                await pipes.input_ended()
            else:
                client.end.close()
            assert [it async for it in lines] == []

    asyncio.run(body())


async def _closed(pipes: ClientPipes, _client: Client) -> None:
    pipes.shut()


async def _client_left(_pipes: ClientPipes, client: Client) -> None:
    client.end.close()
    await asyncio.sleep(0)  # the loop closes it at its next turn


@pytest.mark.parametrize("end", [_closed, _client_left])
def test_nothing_is_sent_to_a_client_that_is_gone_nor_to_a_file_that_is_opened_then(
    tmp_path: Path, end: Callable[[ClientPipes, Client], Awaitable[None]]
) -> None:
    async def body() -> None:
        async with piped() as (pipes, client):
            await end(pipes, client)
            opened = [(tmp_path / str(number)).open("wb") for number in range(40)]
            with pytest.raises(BrokenPipeError):
                pipes.write_line(b"x\n")
            for file in opened:
                file.close()
                assert Path(file.name).read_bytes() == b""

    asyncio.run(body())
