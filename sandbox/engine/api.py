"""The engine's HTTP API: one request on one connection, over a unix socket, TCP or TLS.

Owns addresses, requests, answers and their bounds. Knows no container and no image. Written out,
since the docker SDK and what it imports cost each run 330 modules, 90 ms and 20 MiB, and since
`http.client` does not give the connection back that an attach turns into a stream.
"""

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, BinaryIO, Self, cast
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from policies.errors import CarryingError
from sandbox.engine.endpoints import Endpoint

QUICK_TIMEOUT_S = 60.0
SLOW_TIMEOUT_S = 1800.0
"""For calls in which the engine is silent while it works: build, commit, import."""

NOT_FOUND = 404
CONFLICT = 409
_FIRST_ERROR = 400

_LINE_BYTES = 1 << 16
_HEADERS = 100
_PIECE_BYTES = 1 << 20
_JSON_BYTES = 256 << 20
_MESSAGE_BYTES = 1 << 20

Body = bytes | Iterable[bytes]
"""JSON as bytes, or a tar in pieces."""


class Unreachable(Exception):
    """The engine went away, or does not answer in time."""


class Malformed(Exception):
    """The engine's answer is no HTTP."""


class EngineRefused(CarryingError):
    """The engine answered with an error; the message is the engine's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """An engine at one address. Threads may share it: no connection outlives its answer."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises ValueError for an address that is none, or of a kind that is not spoken."""
        self._endpoint = endpoint
        self._address = _split(endpoint.host)

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Body = b"",
        timeout_s: float = QUICK_TIMEOUT_S,
    ) -> Any:
        """Make a request; gives the decoded answer, None where it is empty.

        Raises:
            EngineRefused, Unreachable, Malformed: see each.
        """
        with self.call(method, path, query=query, body=body, timeout_s=timeout_s) as answer:
            data = answer.read(_JSON_BYTES)
        try:
            return json.loads(data) if data.strip() else None
        except (ValueError, RecursionError) as error:
            raise Malformed(f"the engine's answer to {method} {path} is no JSON") from error

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Body = b"",
        timeout_s: float = QUICK_TIMEOUT_S,
    ) -> "Answer":
        """Make a request; gives the answer, which the caller closes. Errors as for `json`."""
        head = self._head(method, path, query, {"Connection": "close"}, body)
        stream = self._sent(head, body, timeout_s)
        answer = Answer(stream)
        answer.check()
        return answer

    def upgrade(self, path: str, query: Mapping[str, object]) -> socket.socket:
        """Make a request whose connection becomes a two-way stream. Errors as for `json`."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        stream = self._sent(self._head("POST", path, query, headers), b"", QUICK_TIMEOUT_S)
        # Read byte by byte: what comes behind the answer's head is of the stream already.
        answer = Answer(stream, buffered=False)
        answer.check()
        return answer.detach()

    def _head(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        headers: Mapping[str, str],
        body: Body = b"",
    ) -> bytes:
        fields = {"Host": "docker", "User-Agent": "moonpool", **headers}
        if isinstance(body, bytes):
            fields["Content-Length"] = str(len(body))
            fields["Content-Type"] = "application/json"
        else:
            fields["Transfer-Encoding"] = "chunked"
            fields["Content-Type"] = "application/x-tar"
        target = f"{self._address.path if self._tcp else ''}{path}"
        target += f"?{urlencode(query, doseq=True)}" if query else ""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("ascii")

    def _sent(self, head: bytes, body: Body, timeout_s: float) -> socket.socket:
        """A connection over which a request went out, or as much as the engine took of it."""
        stream = self._connected(timeout_s)
        try:
            if isinstance(body, bytes):
                _take(stream, head + body)
            elif _take(stream, head) and all(_take(stream, _chunk(it)) for it in body if it):
                _take(stream, _chunk(b""))
        except BaseException:
            stream.close()
            raise
        return stream

    @property
    def _tcp(self) -> bool:
        return self._address.scheme != "unix"

    def _connected(self, timeout_s: float) -> socket.socket:
        address = self._address
        try:
            if not self._tcp:
                stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    stream.settimeout(timeout_s)
                    stream.connect(address.netloc + address.path)
                except BaseException:
                    stream.close()
                    raise
                return stream
            host = address.hostname or "127.0.0.1"
            stream = socket.create_connection((host, address.port or 0), timeout=timeout_s)
            secured = address.scheme == "https" or self._endpoint.tls_directory is not None
            return _secured(stream, self._endpoint, host) if secured else stream
        except OSError as error:
            raise Unreachable(str(error)) from error


class Answer:
    """What the engine answers. A context manager."""

    def __init__(self, stream: socket.socket, *, buffered: bool = True) -> None:
        self._stream = stream
        self._file = cast("BinaryIO", stream.makefile("rb", buffering=-1 if buffered else 0))
        self.status = 0
        self.headers: dict[str, str] = {}
        """By name in small letters."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._stream.close()

    def detach(self) -> socket.socket:
        """The connection itself, with nothing read of it behind the head."""
        self._file.close()
        self._stream.settimeout(None)
        return self._stream

    def check(self) -> None:
        """Read the head. Raises EngineRefused, Unreachable or Malformed, having closed."""
        try:
            self._read_head()
            if self.status >= _FIRST_ERROR:
                raise EngineRefused(self.status, _message(self.read(_MESSAGE_BYTES)))
        except BaseException:
            self.close()
            raise

    def read(self, limit: int) -> bytes:
        """The whole body; Malformed where it is longer than the limit, in bytes."""
        data = bytearray()
        for piece in self.pieces():
            data += piece
            if len(data) > limit:
                raise Malformed(f"the engine's answer is larger than {limit} bytes")
        return bytes(data)

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes; then the connection is closed."""
        with closing(self):
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                while size := self._number(self._line().split(b";")[0], 16):
                    yield from self._exactly(size)
                    self._line()
            elif "content-length" in self.headers:
                yield from self._exactly(self._number(self.headers["content-length"].encode(), 10))
            elif self.status not in {204, 304}:
                while piece := self._read(_PIECE_BYTES):
                    yield piece

    def _read_head(self) -> None:
        parts = self._line().split(None, 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1."):
            raise Malformed("what answers there is no container engine")
        self.status = self._number(parts[1], 10)
        for _ in range(_HEADERS):
            line = self._line()
            if not line:
                return
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()
        raise Malformed("the engine's answer has too many headers")

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size > 0:
            piece = self._read(min(size, _PIECE_BYTES))
            if not piece:
                raise Unreachable("the engine's answer broke off")
            size -= len(piece)
            yield piece

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise Unreachable(str(error)) from error

    def _line(self) -> bytes:
        try:
            line = self._file.readline(_LINE_BYTES)
        except OSError as error:
            raise Unreachable(str(error)) from error
        if not line.endswith(b"\n"):
            raise Unreachable("the engine's answer broke off")
        return line.rstrip(b"\r\n")

    @staticmethod
    def _number(text: bytes, base: int) -> int:
        try:
            number = int(text, base)
        except ValueError as error:
            raise Malformed("a length in the engine's answer is no number") from error
        if number < 0:
            raise Malformed("a length in the engine's answer is negative")
        return number


def path_part(text: str) -> str:
    """A name or reference as a part of a request's path."""
    return quote(os.fsencode(text), safe="/:")


def _split(host: str) -> SplitResult:
    text = host.strip()
    if "://" not in text:
        text = f"tcp://{text}"
    address = urlsplit(text)
    scheme = address.scheme.removeprefix("http+")
    if scheme not in {"unix", "tcp", "http", "https"}:
        raise ValueError(f"an engine is not spoken to over {address.scheme}")
    if scheme != "unix" and not address.port:
        raise ValueError("a port is missing")
    return address._replace(scheme=scheme)


def _secured(stream: socket.socket, endpoint: Endpoint, host: str) -> socket.socket:
    import ssl  # noqa: PLC0415 - 6 MiB that an engine on this machine does not need

    directory = endpoint.tls_directory
    try:
        ca = None if directory is None else str(directory / "ca.pem")
        context = ssl.create_default_context(cafile=ca)
        if not endpoint.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if directory is not None:
            context.load_cert_chain(str(directory / "cert.pem"), str(directory / "key.pem"))
        return context.wrap_socket(stream, server_hostname=host)
    except BaseException:
        stream.close()
        raise


def _take(stream: socket.socket, data: bytes) -> bool:
    """Send; False where the engine hung up: its answer may still say why."""
    try:
        stream.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    except OSError as error:
        raise Unreachable(str(error)) from error
    return True


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _message(data: bytes) -> str:
    """What the engine says of an error: the message of its JSON, or its text."""
    text = data.decode("utf-8", "replace").strip()
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return str(said.get("message", text)) if isinstance(said, dict) else text
