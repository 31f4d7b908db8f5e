"""Standard input and output, taken for a protocol of lines with a client that nobody trusts.

What prints goes to standard error from then on, whoever prints: a library, a defect, a child. What
reads standard input reads nothing. A line is bounded, a client that takes nothing holds nobody for
ever, and both ends can be ended from outside. Refuses to know what a line says.
"""

import asyncio
import os
import select
import socket
import threading
import time
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PIECE = 1 << 16
_AT_ONCE = 4096
"""What takes anything takes so much without waiting (POSIX, ``PIPE_BUF``)."""
_LAST_WORDS_S = 2.0
"""For the last lines to a client that may not read them."""


@contextmanager
def taken() -> Generator[tuple[int, int]]:
    """Inside, the protocol has the two streams and nobody else has. Gives the descriptors that it
    reads and writes, which no child inherits."""
    pipes = os.dup(_STDIN), os.dup(_STDOUT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, _STDIN)
        os.dup2(_STDERR, _STDOUT)
        yield pipes
    finally:
        # They stay taken: what the end of the process still prints is no message either.
        os.close(nothing)


class ClientPipes:
    """Lines of one client, on two descriptors that nothing else uses; whoever made them closes
    them, when `shut` was called."""

    def __init__(
        self, source: int, sink: int, *, longest_bytes: int, patience_s: float | None = None
    ) -> None:
        """Args:
        longest_bytes: of one line of the client.
        patience_s: a client that takes nothing for so long is taken for gone; None: it never is.
        """
        self._source = source
        self._sink = sink
        self._longest_bytes = longest_bytes
        self._patience_s = patience_s
        self._ended, self._end = socket.socketpair()
        self._hurried, self._hurry = socket.socketpair()
        self._until = 0.0
        self._broken = False
        self._writing = threading.Lock()
        self._sending = asyncio.Lock()
        # One may wait for the client to speak, one for it to listen.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="protocol")

    def end_input(self) -> None:
        """As if the client had closed its side; callable from a signal handler and any thread."""
        with suppress(OSError):
            self._end.send(b"x")

    async def input_ended(self) -> None:
        """Wait until `end_input` is called, whatever the client says meanwhile."""
        loop, called = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._ended, called.set)
        try:
            await called.wait()
        finally:
            loop.remove_reader(self._ended)

    def hurry(self) -> None:
        """From now on nobody waits for the client for longer than a moment."""
        self._until = time.monotonic() + _LAST_WORDS_S
        with suppress(OSError):
            self._hurry.send(b"x")

    def shut(self) -> None:
        """Nothing is read or sent any more."""
        self.end_input()
        self.hurry()
        self._threads.shutdown()
        with self._writing:
            self._broken = True
            for one in (self._ended, self._end, self._hurried, self._hurry):
                one.close()

    async def lines(self) -> AsyncGenerator[bytes | None]:
        """What the client sends, one line each, without its end; None in the place of one that is
        too long. A last one that the client did not finish is none."""
        loop = asyncio.get_running_loop()
        begun = bytearray()
        too_long = False
        while data := await loop.run_in_executor(self._threads, self._piece):
            *ends, rest = data.split(b"\n")
            for end in ends:
                begun += end
                yield None if too_long or len(begun) > self._longest_bytes else bytes(begun)
                begun.clear()
                too_long = False
            begun += rest
            if len(begun) > self._longest_bytes:
                too_long = True
                begun.clear()

    def _piece(self) -> bytes:
        """What came; empty at the end of input, where that was said, and where the client listens
        no more: whoever does not has no way to ask for something either."""
        waiting = select.poll()
        waiting.register(self._sink, 0)
        waiting.register(self._source, select.POLLIN)  # the last: a socket may be both
        waiting.register(self._ended, select.POLLIN)
        try:
            ready = {descriptor for descriptor, _ in waiting.poll()}
            if self._ended.fileno() in ready or self._source not in ready:
                return b""
            return os.read(self._source, _PIECE)
        except OSError:
            return b""

    async def send_line(self, line: bytes) -> None:
        """As `write_line`, on the loop; what is sent first is written first."""
        async with self._sending:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self.write_line, line)

    def write_line(self, line: bytes) -> None:
        """Have the client's pipe take a line, its end included. Any thread but the loop's may call
        it.

        Raises:
            OSError: the client is gone, or stuck; no line gets to it any more.
        """
        view = memoryview(line)
        with self._writing:
            try:
                while view:
                    self._wait_for_room()
                    view = view[os.write(self._sink, view[:_AT_ONCE]) :]
            except OSError:
                # What comes next would stand in the middle of this line.
                self._broken = True
                self.end_input()
                raise

    def _wait_for_room(self) -> None:
        if self._broken:
            raise BrokenPipeError
        room = select.select([self._hurried], [self._sink], [], self._patience_s)[1]
        if not room:
            left_s = max(0.0, self._until - time.monotonic())
            room = select.select([], [self._sink], [], left_s)[1]
        if not room:
            raise TimeoutError("the client takes nothing any more")
