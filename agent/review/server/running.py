"""The server's own start: a port, a browser, and an end by Ctrl-C.

Owns the socket. It listens on 127.0.0.1 alone.
"""

import contextlib
import os
import signal
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import uvicorn

from agent.errors import UsageError
from agent.review.decide.applying import Operator
from agent.review.pages.messages import onward
from agent.review.server.app import application
from agent.review.server.desk import ReviewDesk
from agent.review.server.session import ReviewSession

_ADDRESS = "127.0.0.1"
_KEPT_ALIVE_S = 30
_LAST_ANSWERS_S = 1


def serve(
    home: Path,
    operator: Operator,
    *,
    first: str,
    port: int,
    opens: bool,
    say: Callable[[str], None],
) -> None:
    """Serve until Ctrl-C; what is done for a reviewer then is cancelled.

    Args:
        operator: who decides.
        first: what is shown first, as a path.
        port: 0 for any that is free.
        opens: whether a browser is opened.
        say: shows a line to the person.

    Raises:
        UsageError: the port is in use.
    """
    with _listening(port) as listening:
        session = ReviewSession(port=listening.getsockname()[1])
        say(f"review: {session.address}")
        say("it lets one browser in, once; Ctrl-C ends it")
        desk = ReviewDesk(home, operator)
        settings = uvicorn.Config(
            application(session, desk, first=first),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            loop="asyncio",
            http="h11",
            timeout_keep_alive=_KEPT_ALIVE_S,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
        )
        opened = (
            _opened_in_browser(session.address, operator.environ, say)
            if opens
            else contextlib.nullcontext()
        )
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)  # ends as Ctrl-C does
        with opened, contextlib.suppress(KeyboardInterrupt), contextlib.closing(desk):
            uvicorn.Server(settings).run(sockets=[listening])


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((_ADDRESS, port))
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"port {port} can't be listened on ({error}): say another one with "
                "--port, or none for any that is free"
            ) from error
        found.listen(64)
        yield found


@contextlib.contextmanager
def _opened_in_browser(
    address: str, environ: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[None]:
    """Open it by a file that others can't read: a browser's command line is for all to see."""
    with tempfile.TemporaryDirectory(prefix="moonpool-review-") as folder:
        file = Path(folder) / "review.html"
        file.touch(mode=0o600)
        file.write_text(onward(address), "utf-8")
        if not _has_display(environ) or not webbrowser.open(file.as_uri()):
            say("no browser could be opened: open the address in one on this machine")
        yield


def _has_display(environ: Mapping[str, str]) -> bool:
    """Whether there is a screen: a browser in the terminal is no place for a review."""
    return any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")) or (
        os.name != "posix" or os.uname().sysname == "Darwin"
    )
