"""A socket in front of the engine's that a test can cut: the engine that all use stays up."""

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_PIECE = 1 << 16


class EngineProxy:
    """Listens on a unix socket of its own and passes bytes on, until it is cut."""

    def __init__(self, path: Path, *, engine: str = "/var/run/docker.sock") -> None:
        self.path = path
        self._engine = engine
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def mend(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """As an engine that stops: nobody listens, and every connection ends."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
            self._accepting.join()  # what it has accepted ends too
            self.path.unlink()
        for stream in self._open:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine)
            self._open += [client, engine]
            threading.Thread(target=_serve, args=(client, engine), daemon=True).start()


def _serve(client: socket.socket, engine: socket.socket) -> None:
    with client, engine:
        back = threading.Thread(target=_pass, args=(engine, client), daemon=True)
        back.start()
        _pass(client, engine)
        back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
