"""A guest that follows a script: at the other end of a link's stream, honest or not."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

from sandbox.guest import message, wire
from sandbox.guest.message import GuestAnswer, HostRequest
from sandbox.link import GuestLink

Value = int | bytes | None | list["Value"]
"""What a frame may hold."""

STDOUT = 1
STDERR = 2


def multiplexed(data: bytes, stream: int = STDOUT) -> bytes:
    """Bytes as the engine passes them on: 8 bytes of header, then what the process wrote."""
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def said(number: int, answer: GuestAnswer) -> bytes:
    """A message from the guest, as it arrives on the host."""
    return multiplexed(message.frame(number, answer))


def babbled(*value: Value) -> bytes:
    """A frame from the guest that need not be a message."""
    return multiplexed(wire.frame(list(value)))


@contextlib.contextmanager
def link_to(
    *pieces: bytes, ends: bool = False, answer_timeout_s: float = 20.0
) -> Iterator[GuestLink]:
    """A link on which these bytes have arrived; nobody reads what is sent."""
    ours, theirs = socket.socketpair()
    writer = threading.Thread(
        target=_write, args=(theirs, pieces), kwargs={"ends": ends}, daemon=True
    )
    link = GuestLink(ours, answer_timeout_s=answer_timeout_s)
    writer.start()
    try:
        yield link
    finally:
        link.close()
        writer.join()
        theirs.close()


def _write(stream: socket.socket, pieces: Iterable[bytes], *, ends: bool) -> None:
    with contextlib.suppress(OSError):
        for piece in pieces:
            stream.sendall(piece)
        if ends:
            stream.shutdown(socket.SHUT_WR)


Script = Callable[[HostRequest, int], Iterable[bytes]]
"""From a request and its number to the bytes that come back."""


@contextlib.contextmanager
def guest(script: Script, *, answer_timeout_s: float = 20.0) -> Iterator[GuestLink]:
    """A link to a guest that answers each request as the script says."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=_answer, args=(theirs, script), daemon=True)
    link = GuestLink(ours, answer_timeout_s=answer_timeout_s)
    thread.start()
    try:
        yield link
    finally:
        link.close()
        thread.join()
        theirs.close()


def _answer(stream: socket.socket, script: Script) -> None:
    requests = wire.FrameReader()
    whole = message.RequestReader()
    with contextlib.suppress(OSError):
        while data := stream.recv(1 << 16):
            for frame in requests.read(data):
                read = whole.read(frame)
                for piece in () if read is None else script(read[1], read[0]):
                    stream.sendall(piece)
