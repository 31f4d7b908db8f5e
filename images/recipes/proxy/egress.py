"""Main process of the proxy's container: Squid, the socket set-ups reach it by, and lists of what
it refused and of what did not answer it. Ends with Squid, or at its deadline. Python 3.11, standard
library.

    egress.py CONFIGURATION LIFETIME_S
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import relay  # type: ignore[import-not-found]

SOCKET = Path("/egress/proxy.sock")
LISTS = {"403": Path("/egress/refused"), "5": Path("/egress/unanswered")}
"""Which requests are kept, by how their status begins, and where."""
PORT = 3128
LOG = Path("/tmp/answered")  # noqa: S108 - the container's
WORDS = Path("/tmp/cache.log")  # noqa: S108 - the container's
_ROWS = 200
_LINE_BYTES = 1 << 16
_ROW_CHARACTERS = 300
_TRIES, _PAUSE_S = 400, 0.05


class FailedRequests:
    """Keeps each request that failed once, from the lines of Squid's log."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, None]] = {status: {} for status in LISTS}

    async def read(self) -> None:
        # A pipe: Squid tells other kinds of readers only when it has much to tell.
        os.mkfifo(LOG)
        lines = asyncio.StreamReader(limit=_LINE_BYTES)
        pipe = os.fdopen(os.open(LOG, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), pipe)
        self._reading = asyncio.ensure_future(self._keep_all(lines))

    async def _keep_all(self, lines: asyncio.StreamReader) -> None:
        while True:
            try:
                line = (await lines.readline()).decode("utf-8", "replace")
            except ValueError:
                continue  # a longer line than anybody needs
            status, _, request = line.partition(" ")
            for begins in LISTS:
                if status.startswith(begins):
                    self._keep(begins, request)

    def _keep(self, begins: str, line: str) -> None:
        row = "".join(c if c.isprintable() else "?" for c in line.strip())[:_ROW_CHARACTERS]
        rows = self._rows[begins]
        if row not in rows and len(rows) < _ROWS:
            rows[row] = None
            new = LISTS[begins].with_suffix(".new")
            new.write_text("\n".join(rows) + "\n", "utf-8")
            new.replace(LISTS[begins])


async def _answers() -> None:
    for _ in range(_TRIES):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        except OSError:
            await asyncio.sleep(_PAUSE_S)
        else:
            writer.close()
            return
    raise SystemExit("Squid does not answer")


async def main(configuration: str, lifetime_s: float) -> None:
    failed = FailedRequests()
    await failed.read()
    with WORDS.open("ab") as words:  # what it says before it has read where to say it
        squid = await asyncio.create_subprocess_exec(
            "/usr/sbin/squid", "-N", "-f", configuration, stdout=words, stderr=words
        )
    ended = asyncio.ensure_future(squid.wait())
    answers = asyncio.ensure_future(_answers())
    await asyncio.wait({ended, answers}, return_when="FIRST_COMPLETED")
    if ended.done():
        raise SystemExit(f"Squid ended with {squid.returncode}")
    handler = relay.connection_handler(lambda: asyncio.open_connection("127.0.0.1", PORT))
    new = SOCKET.with_suffix(".new")
    await asyncio.start_unix_server(handler, new)
    new.chmod(0o666)
    new.replace(SOCKET)  # who sees it finds Squid at work
    await asyncio.wait({ended}, timeout=lifetime_s)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # process 1 would not heed it
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
