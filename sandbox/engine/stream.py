"""The bytes between the host and a container's main process, for a thread that sends and one that
receives at once.

Owns waiting, in bounded time. Refuses to know what the bytes mean.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

_TICK_S = 0.25


class ByteStream:
    """One socket. No call of it waits for longer than a moment, and none for another.

    A plain one waits by itself, so that to receive is one step. An encrypted one is for one thread
    at a time: it never waits by itself, and is held for each step.
    """

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        # Bytes that were received and not handed out yet, where the stream is encrypted.
        self._decrypted: Callable[[], int] | None = getattr(stream, "pending", None)
        stream.settimeout(_TICK_S if self._decrypted is None else 0)
        self._readable = _polled(stream, select.POLLIN)
        self._writable = _polled(stream, select.POLLOUT)
        self._sending = threading.Lock()
        self._touching = threading.Lock()
        """Held around each step of an encrypted socket, and each sending one of a plain one."""

    def send(self, data: bytes | memoryview, *, within_s: float) -> None:
        """Send all of it, in one piece as seen from other threads. Raises `OSError`."""
        until = None
        with self._sending:
            while True:
                try:
                    with self._touching:
                        sent = self._stream.send(data)
                except OSError as error:
                    now = time.monotonic()
                    until = now + within_s if until is None else until
                    if now >= until or not _would_wait(error):
                        raise
                    self._writable.poll(min(until - now, _TICK_S) * 1000)
                else:
                    if sent == len(data):
                        return
                    data = memoryview(data)[sent:]

    def receive(self, buffer: memoryview) -> int | None:
        """Take what has come or comes in a moment: how much, 0 at the end, None for nothing.

        Raises `OSError`.
        """
        try:
            if self._decrypted is None:
                return self._stream.recv_into(buffer)
            if not self._decrypted() and not self._readable.poll(_TICK_S * 1000):
                return None
            with self._touching:
                return self._stream.recv_into(buffer)
        except OSError as error:
            if _would_wait(error):
                return None
            raise

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)  # wakes a thread that receives
        with contextlib.suppress(OSError):
            self._stream.close()


def _polled(stream: socket.socket, events: int) -> select.poll:
    made = select.poll()
    made.register(stream, events)
    return made


def _would_wait(error: OSError) -> bool:
    """Whether a call failed because it would have had to wait."""
    # By name: an engine on this machine has no need for the module `ssl`, which is large.
    waits = type(error).__name__ in {"SSLWantReadError", "SSLWantWriteError"}
    return waits or isinstance(error, (BlockingIOError, TimeoutError))
