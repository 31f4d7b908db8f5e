"""The proxy's container: started for the first set-up that needs it, shared by those that need the
same, ended with the last.

Each process that uses a proxy holds a shared lock on its file; whoever lets go and gets the lock
alone ends it. A process that is killed lets go too, and the container ends at its deadline.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from images.build import ensure
from images.recipes import PROXY
from images.setup.squid import AllowedHosts, configuration, upstream_of
from sandbox.container.own_files import package
from sandbox.engine.docker import Engine
from sandbox.engine.first_member import first_member
from sandbox.engine.values import (
    LABEL_DEADLINE,
    LABEL_MANAGED,
    LABEL_OWNER,
    LABEL_PROXY,
)
from sandbox.errors import ContainerGone, EngineError, SandboxError

FOLDER = "/egress"
_VOLUME = f"{LABEL_PROXY}.volume"
"""The label with the name of a proxy's volume."""
SOCKET = "proxy.sock"
_CONFIGURATION = "etc/moonpool/squid.conf"
_MEMORY_BYTES = 512 << 20
_PIDS = 64
_FILE_BYTES = 64 << 20
_START_TIMEOUT_S = 60.0
_TICK_S = 0.05
_SPARE_S = 600
_LIST_LIMIT = 1 << 17
_LAST_WORDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProxy:
    """A proxy whose container runs, or is about to."""

    engine: Engine
    volume: str
    """The volume with its socket, `SOCKET`, which stands there once it is at work."""
    starting: Future[str] = field(compare=False)

    @property
    def container(self) -> str:
        """The container's id, once it runs.

        Raises:
            EngineError, EngineUnavailable: it does not.
        """
        return self.starting.result()

    def await_answer(self) -> None:
        """Wait until it is at work.

        Raises:
            SandboxError: it does not start; the message has Squid's last words.
        """
        until = time.monotonic() + _START_TIMEOUT_S
        while not self.engine.stands(self.container, f"{FOLDER}/{SOCKET}"):
            if (ended := self.ended()) or time.monotonic() > until:
                words = _rows(_file(self.engine, self.container, "/tmp/cache.log"))  # noqa: S108
                raise SandboxError(
                    f"set-up's proxy does not start ({ended or 'no answer in time'}); its last "
                    "words:\n" + "\n".join(words[-_LAST_WORDS:])
                )
            time.sleep(_TICK_S)

    def failed(self, name: str) -> tuple[str, ...]:
        """What it ``refused`` so far, or what was ``unanswered``: each ``METHOD ADDRESS`` once."""
        return _rows(_file(self.engine, self.container, f"{FOLDER}/{name}"))

    def ended(self) -> str:
        """Why it does not run any more; empty while it does."""
        try:
            state = self.engine.inspect(self.container).get("State") or {}
        except (ContainerGone, EngineError):
            return "its container was removed"
        return "" if state.get("Running") else f"it ended with {state.get('ExitCode')}"


@contextmanager
def lease(
    engine: Engine,
    allowed: AllowedHosts,
    *,
    time_s: float,
    owner: str,
    on_progress: Callable[[str], None],
    alone: str = "",
) -> Generator[RunningProxy]:
    """A proxy that lets through what is allowed and nothing else, for so long at least.

    It is shared by all that allow the same at once. `alone` names what shares it with nothing else:
    what a proxy refused is told to all who have it, with what stood in the requests.

    It starts while the caller goes on, and answers a moment later. Its volume stays where another
    container has it: whoever removes that one removes the volume.
    """
    image = ensure(engine, PROXY, on_progress=on_progress)
    text = configuration(allowed, upstream_of(engine.environ))
    folder = engine.cache / "proxies"  # those who lock elsewhere have a proxy of their own
    key = hashlib.sha256(f"{image}\0{owner}\0{folder}\0{alone}\0{text}".encode()).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / f"{key}.lock").open("ab") as lock, (folder / f"{key}.start").open("ab") as gate:
        try:
            with ThreadPoolExecutor(1) as beside:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(lock, fcntl.LOCK_SH)
                running = _standing(engine, key, time_s)
                if running is None:
                    on_progress("set-up: starting the proxy")
                    lifetime_s = int(2 * time_s) + _SPARE_S
                    labels = _labels(key, owner, lifetime_s)
                    engine.create_volume(labels[_VOLUME], labels)
                    body = _body(image, labels, lifetime_s)
                    starting = beside.submit(_started, engine, body, text, gate)
                    running = RunningProxy(engine=engine, volume=labels[_VOLUME], starting=starting)
                else:
                    fcntl.flock(gate, fcntl.LOCK_UN)
                yield running
        finally:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(lock, fcntl.LOCK_UN)
            with contextlib.suppress(BlockingIOError, SandboxError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _end(engine, key)


def _started(engine: Engine, body: Mapping[str, object], text: str, gate: IO[bytes]) -> str:
    """The container's id. Lets those in who wait for one."""
    try:
        container = engine.create(body)
        engine.put_archive(container, "/", [package({_CONFIGURATION: text.encode()})])
        engine.start(container)
    finally:
        fcntl.flock(gate, fcntl.LOCK_UN)
    return container


def _standing(engine: Engine, key: str, time_s: float) -> RunningProxy | None:
    """One that runs for long enough yet."""
    for row in engine.containers(f"{LABEL_PROXY}={key}"):
        if row.state == "running" and float(row.labels[LABEL_DEADLINE]) - time.time() > time_s:
            started: Future[str] = Future()
            started.set_result(row.id)
            return RunningProxy(engine=engine, volume=row.labels[_VOLUME], starting=started)
    return None


def _rows(said: bytes) -> tuple[str, ...]:
    """Whole lines. Whoever talks to Squid may have taken it over, and they go to a terminal."""
    return tuple(filter(str.isprintable, said.decode("utf-8", "replace").split("\n")[:-1]))


def _end(engine: Engine, key: str) -> None:
    label = f"{LABEL_PROXY}={key}"
    for row in engine.containers(label):
        engine.remove(row.id)
    engine.remove_volumes(row.name for row in engine.volumes(label))


def _file(engine: Engine, container: str, path: str) -> bytes:
    """The content of one of its files, cut; empty where there is none."""
    found = None
    with contextlib.suppress(SandboxError):
        found = first_member(engine, container, path, limit=_LIST_LIMIT)
    return b"" if found is None else found[1]


def _labels(key: str, owner: str, lifetime_s: int) -> dict[str, str]:
    return {
        LABEL_MANAGED: "1",
        LABEL_OWNER: owner,
        LABEL_PROXY: key,
        _VOLUME: f"moonpool-proxy-{os.urandom(8).hex()}",
        LABEL_DEADLINE: str(int(time.time()) + lifetime_s),
    }


def _body(image: str, labels: Mapping[str, str], lifetime_s: int) -> dict[str, object]:
    """The one container of ours with a network: the engine's own bridge, for Squid alone."""
    return {
        "Image": image,
        "Cmd": [
            "/usr/bin/python3", "-I", "/usr/local/lib/moonpool/egress.py", f"/{_CONFIGURATION}",
            str(lifetime_s),
        ],
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": "bridge",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Memory": _MEMORY_BYTES,
            "MemorySwap": _MEMORY_BYTES,
            "PidsLimit": _PIDS,
            "Ulimits": [{"Name": "fsize", "Soft": _FILE_BYTES, "Hard": _FILE_BYTES}],
            "LogConfig": {"Type": "none", "Config": {}},
            "Mounts": [{"Type": "volume", "Source": labels[_VOLUME], "Target": FOLDER}],
            "RestartPolicy": {"Name": "no"},
        },
    }  # fmt: skip
