"""The engine's HTTP API: what is sent, what is taken of an answer, and what of a broken one."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.engine.api import Answer, Api, EngineRefused, Malformed, Unreachable, path_part
from sandbox.engine.docker import Engine
from sandbox.engine.endpoints import Endpoint
from sandbox.errors import (
    ContainerGone,
    EngineDiskFull,
    EngineError,
    EngineUnavailable,
    VolumeRefused,
)

OK = b"HTTP/1.1 200 OK\r\n"


class OneAnswer:
    """Listens on a unix socket, takes one request, and answers with given bytes."""

    def __init__(self, path: Path, answer: bytes, *, hang_up_after: int | None = None) -> None:
        self.request = b""
        self._answer = answer
        self._limit = hang_up_after
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.api = Api(Endpoint(source="test", host=f"unix://{path}"))

    def _serve(self) -> None:
        stream, _ = self._listener.accept()
        with stream, self._listener:
            while not self._whole():
                data = stream.recv(1 << 16 if self._limit is None else 64)
                self.request += data
                if not data or (self._limit is not None and len(self.request) > self._limit):
                    break
            with contextlib.suppress(OSError):  # a client may have heard enough
                stream.sendall(self._answer)

    def _whole(self) -> bool:
        head, found, body = self.request.partition(b"\r\n\r\n")
        if b"chunked" in head:
            return body.endswith(b"0\r\n\r\n")
        return bool(found)

    def taken(self) -> bytes:
        """The whole request, once it was answered."""
        self._thread.join(10)
        return self.request


@pytest.fixture
def answering(tmp_path: Path) -> Callable[..., OneAnswer]:
    def listen(answer: bytes, *, hang_up_after: int | None = None) -> OneAnswer:
        return OneAnswer(tmp_path / "s", answer, hang_up_after=hang_up_after)

    return listen


@pytest.mark.parametrize(
    "answer",
    [
        OK + b'Content-Length: 8\r\n\r\n{"a": 1}and more',
        OK + b'Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n',
        OK + b'\r\n{"a": 1}',
    ],
    ids=["by length", "in chunks", "to the end"],
)
def test_a_body_is_read_however_it_is_sent(
    answering: Callable[..., OneAnswer], answer: bytes
) -> None:
    assert answering(answer).api.json("GET", "/x") == {"a": 1}


def test_an_empty_answer_is_none(answering: Callable[..., OneAnswer]) -> None:
    assert answering(b"HTTP/1.1 204 No Content\r\n\r\n").api.json("POST", "/x") is None


def test_a_request_says_what_it_is(answering: Callable[..., OneAnswer]) -> None:
    server = answering(OK + b"Content-Length: 0\r\n\r\n")
    server.api.json("POST", f"/images/{path_part('a/b:c d')}/tag", query={"tag": "é&"}, body=b"{}")
    head, _, body = server.taken().partition(b"\r\n\r\n")
    assert head.startswith(b"POST /images/a/b:c%20d/tag?tag=%C3%A9%26 HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 2\r\n" in head
    assert body == b"{}"


def test_a_tar_goes_out_in_pieces(answering: Callable[..., OneAnswer]) -> None:
    server = answering(OK + b"Content-Length: 0\r\n\r\n")
    server.api.json("PUT", "/x", body=iter([b"abc", b"", b"de"]))
    assert server.taken().endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")


def test_an_engine_that_hangs_up_on_a_tar_has_said_why(
    answering: Callable[..., OneAnswer],
) -> None:
    answer = b'HTTP/1.1 500 No\r\nContent-Length: 25\r\n\r\n{"message": "disk full!"}'
    server = answering(answer, hang_up_after=100)
    with pytest.raises((EngineRefused, Unreachable)) as error:
        server.api.json("PUT", "/x", body=(b"x" * 65536 for _ in range(1000)))
    # A reset may overtake the answer; then that nobody answers is what is left to say.
    assert isinstance(error.value, Unreachable) or str(error.value) == "disk full!"


def test_an_error_while_a_tar_is_made_is_that_error(answering: Callable[..., OneAnswer]) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the file changed")

    with pytest.raises(OSError, match="the file changed"):
        answering(OK + b"\r\n").api.json("PUT", "/x", body=pieces())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", Unreachable),
        (OK, Unreachable),
        (OK + b"Content-Length: 9\r\n\r\nshort", Unreachable),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", Unreachable),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", Malformed),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", Malformed),
        (OK + b"Content-Length: -1\r\n\r\n", Malformed),
        (OK + b"Content-Length: 3\r\n\r\n{]}", Malformed),
        (OK + b"a: b\r\n" * 200 + b"\r\n", Malformed),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Malformed),
        (b"HTTP/1.1 okay\r\n\r\n", Malformed),
        (OK + b"x" * 100_000, Unreachable),
        (OK + b"\r\n" + b"[" * 100_000, Malformed),
    ],
)
def test_a_broken_answer_is_an_error_of_its_kind(
    answering: Callable[..., OneAnswer], answer: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        answering(answer).api.json("GET", "/x")


def test_a_body_past_its_bound_is_not_read_to_the_end(
    answering: Callable[..., OneAnswer],
) -> None:
    with (
        answering(OK + b"\r\n" + b"x" * 5000).api.call("GET", "/x") as answer,
        pytest.raises(Malformed, match="larger than 4096"),
    ):
        answer.read(4096)


@pytest.mark.parametrize(
    ("body", "says"),
    [(b'{"message": "no such thing"}', "no such thing"), (b"plain\n", "plain"), (b"[1]", "[1]")],
)
def test_an_error_says_what_the_engine_says(
    answering: Callable[..., OneAnswer], body: bytes, says: str
) -> None:
    server = answering(b"HTTP/1.1 418 No\r\n\r\n" + body)
    with pytest.raises(EngineRefused) as error:
        server.api.json("GET", "/x")
    assert (error.value.status, str(error.value)) == (418, says)


def test_what_comes_behind_the_head_of_an_upgrade_is_the_stream_s(
    answering: Callable[..., OneAnswer],
) -> None:
    server = answering(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nfirst words")
    with server.api.upgrade("/containers/c/attach", {"stdin": 1}) as stream:
        assert stream.recv(100) == b"first words"
        assert stream.gettimeout() is None
    assert b"\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n" in server.taken()


@pytest.mark.parametrize(
    "host", ["ssh://h", "npipe:////./pipe/x", "nonsense", "tcp://h", "http://[x"]
)
def test_an_address_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Api(Endpoint(source="test", host=host))


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (404, "No such container: c", ContainerGone),
        (404, "no such image", EngineError),
        (500, "write /x: no space left on device", EngineDiskFull),
        (500, "failed to mount local volume: mount overlay", VolumeRefused),
    ],
)
def test_each_refusal_becomes_an_error_of_ours(
    answering: Callable[..., OneAnswer], status: int, message: str, error: type[Exception]
) -> None:
    body = json.dumps({"message": message}).encode()
    server = answering(b"HTTP/1.1 %d No\r\n\r\n%b" % (status, body))
    engine = Engine(Endpoint(source="test", host=""), server.api, {})
    with pytest.raises(error, match=r"^starting the container: ") as raised:
        engine.start("c")
    assert type(raised.value) is error
    assert ("the engine's disk is full" in str(raised.value)) == (error is EngineDiskFull)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (409, "Container c is not running"),
        (500, "Cannot kill container: c: container c PID 7 is zombie and can not be killed. Use …"),
    ],
)
def test_a_container_that_has_ended_is_killed_already(
    answering: Callable[..., OneAnswer], status: int, message: str
) -> None:
    body = json.dumps({"message": message}).encode()
    server = answering(b"HTTP/1.1 %d No\r\n\r\n%b" % (status, body))
    Engine(Endpoint(source="test", host=""), server.api, {}).kill("c")


def test_a_socket_that_nobody_may_open_is_told_as_such(tmp_path: Path) -> None:
    for host, says in (
        (f"unix://{tmp_path}/nowhere", "no engine answers at unix:"),
        ("tcp://127.0.0.1:1", "no engine answers at tcp:"),
    ):
        with pytest.raises(EngineUnavailable, match=says):
            Engine.connect({"DOCKER_HOST": host})


@pytest.mark.parametrize("body", [b"{}", b"<html>OK</html>", b"OK" * 1000, b""])
def test_what_answers_as_no_engine_does_is_none(
    answering: Callable[..., OneAnswer], tmp_path: Path, body: bytes
) -> None:
    answering(OK + b"\r\n" + body)
    with pytest.raises(EngineUnavailable, match="no engine answers at unix:"):
        Engine.connect({"DOCKER_HOST": f"unix://{tmp_path}/s"})


def test_an_engine_is_greeted_before_it_is_asked_anything(
    answering: Callable[..., OneAnswer], tmp_path: Path
) -> None:
    server = answering(OK + b"Content-Length: 2\r\n\r\nOK")
    Engine.connect({"DOCKER_HOST": f"unix://{tmp_path}/s"})
    assert server.taken().startswith(b"GET /_ping HTTP/1.1\r\n")


def test_a_certificate_is_shown_and_asked_for(tmp_path: Path) -> None:
    for name in ("ca", "key"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.crt"],
            check=True, capture_output=True,
        )  # fmt: skip
    for name, source in (("ca.pem", "ca.crt"), ("cert.pem", "ca.crt"), ("key.pem", "ca.key")):
        os.link(tmp_path / source, tmp_path / name)
    with TlsServer(tmp_path / "ca.crt", tmp_path / "ca.key") as port:
        endpoint = Endpoint(source="test", host=f"tcp://localhost:{port}", tls_directory=tmp_path)
        assert Api(endpoint).json("GET", "/version") == {"shown": True}
    with TlsServer(tmp_path / "key.crt", tmp_path / "key.key") as port:
        endpoint = Endpoint(source="test", host=f"tcp://localhost:{port}", tls_directory=tmp_path)
        with pytest.raises(Unreachable, match="certificate verify failed"):
            Api(endpoint).json("GET", "/version")


class TlsServer:
    """Answers one request over TLS, and asks for a certificate."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self._context.load_verify_locations(certificate)
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        stream, _ = self._listener.accept()
        try:
            with self._context.wrap_socket(stream, server_side=True) as secured:
                secured.recv(1 << 16)
                shown = json.dumps({"shown": secured.getpeercert() is not None}).encode()
                secured.sendall(OK + b"\r\n" + shown)
        except OSError:
            return  # the client did not like the certificate


def test_an_answer_is_closed_with_its_connection() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(OK + b"Content-Length: 2\r\n\r\n{}")
    answer = Answer(ours)
    answer.check()
    assert answer.read(10) == b"{}"
    with theirs:
        assert theirs.recv(1) == b""
