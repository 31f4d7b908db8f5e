"""``moonpool image shell``."""

import os
import selectors
import shutil
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from agent import exit_codes
from agent.cli.arguments import Command, Given, Misuse, argument
from agent.cli.saying import progress
from agent.cli.signals import SignalGuard
from agent.config import environment
from images.build import ensure
from sandbox.container import throwaway_shell
from sandbox.container.prepared_image import PreparedImage, prepare
from sandbox.engine.docker import Engine
from sandbox.errors import SandboxError

NAME = argument("IMAGE")
_PIECE = 1 << 14


def shell(given: Given) -> int:
    """A shell on this terminal until it ends; gives the exit code."""
    require_terminal("image shell")
    engine = Engine.connect(environment.environ())
    reference = ensure(engine, given[NAME], on_progress=progress)
    look_into(engine, reference, given[NAME])
    return exit_codes.DONE


def require_terminal(command: str) -> None:
    """Raises `Misuse` where nobody could type."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Misuse(f"{command} is for a person: it needs a terminal")


def look_into(engine: Engine, reference: str, name: str) -> PreparedImage:
    """A shell in an image on this terminal, until it ends; gives what the image was made into.

    Raises:
        SandboxError: the image can't hold one, or the engine fails.
    """
    prepared = prepare(engine, engine.existing_image(reference), on_progress=progress)
    print(f"{name}, sealed: no network, no rights, and nothing of it stays. `exit` ends it.")
    # A window that is closed sends SIGHUP, which would end this process before the container goes.
    with (
        SignalGuard().installed(),
        throwaway_shell.opened(engine, prepared) as (container, terminal),
    ):

        def resize() -> None:
            columns, rows = shutil.get_terminal_size()
            with suppress(SandboxError):  # it may have ended
                engine.resize(container, rows=rows, columns=columns)

        with _raw(sys.stdin.fileno()), _on_resize(resize):
            resize()
            _relay(terminal, sys.stdin.fileno(), sys.stdout.fileno())
    return prepared


def _relay(terminal: socket.socket, keys: int, screen: int) -> None:
    """Hand bytes on until the other side ends."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(terminal, selectors.EVENT_READ)
        waiting.register(keys, selectors.EVENT_READ)
        while True:
            for event, _ in waiting.select():
                if event.fileobj is terminal:
                    data = terminal.recv(_PIECE)
                    if not data:
                        return
                    view = memoryview(data)
                    while view:
                        view = view[os.write(screen, view) :]
                elif typed := os.read(keys, _PIECE):
                    terminal.sendall(typed)
                else:
                    return


@contextmanager
def _raw(keys: int) -> Generator[None]:
    """Keys go over as they are typed, Ctrl-C too."""
    before = termios.tcgetattr(keys)
    tty.setraw(keys)
    try:
        yield
    finally:
        with suppress(termios.error):  # its window was closed
            termios.tcsetattr(keys, termios.TCSADRAIN, before)


@contextmanager
def _on_resize(resize: Callable[[], None]) -> Generator[None]:
    before = signal.signal(signal.SIGWINCH, lambda *_: resize())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


COMMAND = Command(
    shell,
    (NAME,),
    """

    What a policy allows does not count here; the container is sealed as any other.

    Example: moonpool image shell debian:bookworm-slim
    """,
)
