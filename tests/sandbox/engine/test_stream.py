"""The stream to a container, plain and encrypted: one thread receives while another sends."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine.stream import ByteStream

LARGE = bytes(range(256)) * 20_000


def encrypted(tmp_path: Path, ours: socket.socket, theirs: socket.socket) -> list[socket.socket]:
    certificate, key = tmp_path / "c.crt", tmp_path / "c.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    shaken: list[socket.socket] = []
    thread = threading.Thread(
        target=lambda: shaken.append(server.wrap_socket(theirs, server_side=True))
    )
    thread.start()
    wrapped = client.wrap_socket(ours)
    thread.join()
    return [wrapped, *shaken]


@pytest.fixture(params=["plain", "encrypted"])
def ends(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[ByteStream, socket.socket]]:
    pair = list(socket.socketpair())
    ours, theirs = encrypted(tmp_path, *pair) if request.param == "encrypted" else pair
    stream = ByteStream(ours)
    yield stream, theirs
    stream.close()
    theirs.close()


def received(stream: ByteStream) -> bytes:
    """All that comes until the end."""
    found, buffer = bytearray(), memoryview(bytearray(1 << 16))
    while (count := stream.receive(buffer)) != 0:
        found += buffer[: count or 0]
    return bytes(found)


def test_what_does_not_fit_at_once_is_sent_while_another_thread_receives(
    ends: tuple[ByteStream, socket.socket],
) -> None:
    stream, theirs = ends

    def echo() -> None:
        left = len(LARGE)
        while left:
            data = theirs.recv(1 << 16)
            left -= len(data)
            theirs.sendall(data)
        theirs.shutdown(socket.SHUT_RDWR)

    found: list[bytes] = []
    threads = [
        threading.Thread(target=echo),
        threading.Thread(target=lambda: found.append(received(stream))),
    ]
    for thread in threads:
        thread.start()
    stream.send(LARGE, within_s=20)
    for thread in threads:
        thread.join()
    assert found == [LARGE]


def test_nothing_that_comes_is_no_end(ends: tuple[ByteStream, socket.socket]) -> None:
    stream, theirs = ends
    buffer = memoryview(bytearray(16))
    # An encrypted stream may have something of its own to take first.
    assert [stream.receive(buffer) for _ in range(4)] == [None] * 4
    theirs.sendall(b"x")
    assert (stream.receive(buffer), buffer[0]) == (1, ord("x"))


def test_an_end_that_takes_nothing_more_is_given_up_in_time(
    ends: tuple[ByteStream, socket.socket],
) -> None:
    stream, _ = ends
    with pytest.raises(OSError):
        stream.send(LARGE, within_s=0.1)
