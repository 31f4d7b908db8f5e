"""One Python source in a sealed container of its own: sent in, its output read, its end awaited.

Owns the stream and the bounds. What the container holds stays until the caller removes it.
"""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from sandbox.container import guest_runtime, opening
from sandbox.container.host_disk import EngineDisk, HostDisk
from sandbox.container.spec import ContainerSpec, differences
from sandbox.engine.docker import Engine
from sandbox.errors import SandboxError, SealBroken

_FROM_INPUT = (
    "import sys\nb=sys.stdin.buffer\nexec(compile(b.read(int(b.readline())), 'moonpool', 'exec'))"
)
PYTHON = ("python3", "-I", "-S", "-c", _FROM_INPUT)
"""The main process of a job: the source comes first, so that no image keeps it."""
BROUGHT_PYTHON = (guest_runtime.PYTHON, *PYTHON[1:])
"""Likewise, where the image's own Python is none, or anybody's."""

_RECEIVE_BYTES = 1 << 16
_HEADER_BYTES = 8
_TICK_S = 0.5
_END_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    code: int
    """The main process's exit code."""
    stopped: str
    """Why it was ended from outside; empty where it ended itself."""


def source(name: str) -> str:
    """The text of a module of `images.setup.inside`."""
    return (resources.files("images") / "setup" / "inside" / f"{name}.py").read_text("utf-8")


def create(engine: Engine, spec: ContainerSpec, *, keeps_workspace: bool = False) -> str:
    """A container for a job, not started; gives its id.

    Raises:
        ImageUnusable: it needs the guest's runtime, and that is not built.
    """
    runtime = guest_runtime.find(engine) if spec.command == BROUGHT_PYTHON else None
    container = opening.create(engine, spec)
    if runtime is not None:
        try:
            guest_runtime.bring(engine, container, runtime, keeps_workspace=keeps_workspace)
        except BaseException:
            engine.remove(container)
            raise
    return container


def run(
    engine: Engine,
    container: str,
    spec: ContainerSpec,
    *,
    source: str,
    told: Callable[[], Mapping[str, object]],
    on_output: Callable[[bytes], None],
    time_s: float,
) -> JobEnd:
    """Start a created container and stay with it to its end; it is killed at the time's.

    Args:
        told: gives what the source reads from standard input, as one line of JSON; asked once the
            container has started.

    Raises:
        SealBroken: what runs is not what was planned; it was ended.
        EngineError, EngineUnavailable: the engine fails.
    """
    stopped: list[str] = []

    def stop(reason: str) -> None:
        stopped.append(reason)
        with contextlib.suppress(SandboxError):
            engine.kill(container)

    stream = engine.attach(container)
    full = "the host's disk is nearly full: make room there"
    watch = HostDisk(EngineDisk(engine), end_command=lambda: stop(full), kill=stop)
    try:
        engine.start(container)
        wrong = [row for row in differences(spec, engine.inspect(container)) if "State" not in row]
        if wrong:
            stop("its seal is broken")
            raise SealBroken(f"set-up's container is not as planned: {'; '.join(wrong)}")
        _tell(stream, source, told())
        until = time.monotonic() + time_s
        for piece in _output(stream, until):
            if piece is None:
                stop(f"it took longer than {time_s:.0f} s (limits.time)")
                break
            on_output(piece)
        code = engine.wait(container, timeout_s=_END_TIMEOUT_S)
    except BaseException:
        with contextlib.suppress(SandboxError):
            engine.kill(container)
        raise
    finally:
        watch.stop()
        stream.close()
    return JobEnd(code=code, stopped=stopped[0] if stopped else "")


def _tell(stream: socket.socket, source: str, told: Mapping[str, object]) -> None:
    data = source.encode()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end says why
        stream.sendall(b"%d\n" % len(data) + data + json.dumps(told).encode() + b"\n")


def _output(stream: socket.socket, until: float) -> Iterator[bytes | None]:
    """What the main process writes, both streams as one; None once its time is over."""
    raw = bytearray()
    left = 0
    while True:
        if time.monotonic() > until:
            yield None
            return
        stream.settimeout(_TICK_S)
        try:
            data = stream.recv(_RECEIVE_BYTES)
        except TimeoutError:
            continue
        except OSError:
            return
        if not data:
            return
        raw += data
        while raw:
            if left:
                piece, raw = bytes(raw[:left]), raw[left:]
                left -= len(piece)
                yield piece
            elif len(raw) >= _HEADER_BYTES:
                left = int.from_bytes(raw[4:_HEADER_BYTES], "big")
                del raw[:_HEADER_BYTES]
            else:
                break
