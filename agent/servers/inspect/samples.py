"""The sandboxes of this process's samples, on Inspect's event loop: which stand, and their end.

What can be put right by whoever started the eval is told as Inspect's `PrerequisiteError`, which it
prints without a traceback.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import anyio
from anyio.to_thread import run_sync
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.util import SandboxEnvironmentConfigType
from rich import print as show
from rich.markup import escape

from agent.errors import UsageError
from agent.servers.inspect import opening
from agent.servers.inspect.config import request_of
from agent.servers.inspect.opening import ReadySandbox
from policies.errors import PolicyError
from sandbox.async_sandbox import AsyncSandbox
from sandbox.errors import SandboxError
from sandbox.sandbox import Sandbox

T = TypeVar("T")
Config: TypeAlias = SandboxEnvironmentConfigType | None

_ready: dict[Config, tuple[str, ReadySandbox]] = {}
"""By configuration: what its service is called, and what its samples share. A task begins with a
fresh look, so that an image that was built anew since is the one that is used."""
_standing: dict[AsyncSandbox, tuple[Config, str]] = {}
"""With its configuration, and the container's id."""


async def prepare(config: Config) -> None:
    """Have all that samples of a configuration share. Raises `PrerequisiteError`."""

    def found() -> tuple[str, ReadySandbox]:
        request = request_of(config)
        return request.name, opening.ready(request, lambda line: show(escape(line)))

    _ready[config] = await run_sync(_told, found)


async def open_one(config: Config, sample: str) -> tuple[str, AsyncSandbox, str]:
    """What Inspect calls it, a sandbox, and its container's id.

    Raises:
        PrerequisiteError: the configuration can't be used.
        SandboxError: it does not open.
    """
    if config not in _ready:
        await prepare(config)
    name, ready = _ready[config]
    opened: list[str] = []

    def open_it() -> Sandbox:
        sandbox = ready.open(sample)
        opened.append(sandbox.id)
        return sandbox

    box = await AsyncSandbox.open(open_it)
    _standing[box] = (config, opened[0])
    return name, box, opened[0]


async def close_one(box: AsyncSandbox) -> None:
    """Remove a sandbox; it may be gone already, and a wait that is cancelled waits all the same."""
    try:
        await box.close()
    finally:
        _standing.pop(box, None)


async def finish(config: Config, *, cleanup: bool) -> None:
    """At the end of a task: what of its sandboxes stands is removed, or named if it is to stay."""
    left = [box for box, (of, _) in _standing.items() if of == config]
    _ready.pop(config, None)
    if not cleanup:
        ids = [_standing.pop(box)[1][:12] for box in left]
        for container in ids:
            show(f"still there: inspect sandbox cleanup moonpool {container}")
        return
    with anyio.CancelScope(shield=True):
        for box in left:
            await close_one(box)


async def remove_all(wanted: str | None) -> None:
    """Remove what evals of any process left; a run's or a container's id, or None for all."""
    removed = await run_sync(_told, lambda: opening.remove(wanted))
    for run in removed:
        show(f"removed {escape(run)}")
    if not removed:
        show("there is no such sandbox" if wanted else "no sandbox was left")


def _told(work: Callable[[], T]) -> T:
    try:
        return work()
    except (PolicyError, UsageError, SandboxError) as error:
        raise PrerequisiteError(f"Moonpool: {escape(str(error))}") from error
