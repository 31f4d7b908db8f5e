"""An iterator of bytes that works ahead of its reader: reading and sending then overlap."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator

_QUEUE_PIECES = 4


def ahead(source: Iterator[bytes]) -> Generator[bytes]:
    """Run an iterator in a thread, some pieces ahead."""
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE_PIECES)
    stopped = threading.Event()

    def put(piece: bytes | BaseException | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                pieces.put(piece, timeout=0.2)
                return

    def work() -> None:
        try:
            for piece in source:
                put(piece)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            put(error)

    thread = threading.Thread(target=work, name="moonpool-pack", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        stopped.set()
        thread.join()
