"""A sealed container with a person's terminal and nothing of a workspace, to look into an image.

Every flag of a sandbox holds, no policy does: what the image has runs. Owns the container; the
terminal on this side is the caller's.
"""

import socket
import time
from collections.abc import Generator
from contextlib import contextmanager

from policies.shell.words import HOME
from sandbox.container import plan, seccomp
from sandbox.container.prepared_image import PreparedImage
from sandbox.container.spec import ContainerSpec, differences
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED
from sandbox.errors import SealBroken

_LIFE_S = 12 * 3600
_MEMORY_BYTES = 2 << 30


def shell_spec(prepared: PreparedImage) -> ContainerSpec:
    """The container as a plan."""
    variables = {
        **plan.passed_on(prepared.environment, written=()),
        "PATH": ":".join(prepared.inventory.search_path),
        "HOME": HOME,
        "USER": "agent",
        "TERM": "xterm-256color",
        "LC_CTYPE": "C.UTF-8",
    }
    return ContainerSpec(
        image=prepared.id,
        # The engine would merge the image's variables with these.
        command=("env", "-i", *(f"{name}={value}" for name, value in variables.items()),
                 "/bin/bash", "-i"),
        labels={LABEL_MANAGED: "1", LABEL_DEADLINE: str(int(time.time()) + _LIFE_S)},
        cpus=2.0,
        memory_bytes=_MEMORY_BYTES,
        pids=256,
        file_bytes=_MEMORY_BYTES,
        seccomp_profile=seccomp.profile(exec_memory_files=False),
        unset=prepared.unset,
        terminal=True,
    )  # fmt: skip


@contextmanager
def opened(engine: Engine, prepared: PreparedImage) -> Generator[tuple[str, socket.socket]]:
    """The container's id and its terminal, as raw bytes both ways; all of it goes in the end.

    Raises:
        SealBroken: what runs is not what was planned.
        EngineError: it does not start.
    """
    spec = shell_spec(prepared)
    container = engine.create(spec.body())
    try:
        with engine.attach(container) as terminal:
            engine.start(container)
            if wrong := differences(spec, engine.inspect(container)):
                raise SealBroken("the shell is not sealed as planned: " + "; ".join(wrong))
            yield container, terminal
    finally:
        engine.remove(container)
