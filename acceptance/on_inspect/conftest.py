"""Sandboxes of Inspect's, opened and closed by the provider's own calls."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from inspect_ai.util import SandboxEnvironmentConfigType

from agent.servers.inspect.provider import MoonpoolSandboxEnvironment

OpenEnvironment = Callable[..., Awaitable[MoonpoolSandboxEnvironment]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def open_environment() -> AsyncIterator[OpenEnvironment]:
    """Opens sandboxes as for samples of a task; closes them all."""
    provider = MoonpoolSandboxEnvironment
    opened: list[tuple[SandboxEnvironmentConfigType | None, MoonpoolSandboxEnvironment]] = []

    async def opener(
        config: SandboxEnvironmentConfigType | None = None,
    ) -> MoonpoolSandboxEnvironment:
        await provider.task_init("a task", config)
        found = await provider.sample_init("a task", config, {"__sample_id__": "1"})
        (environment,) = found.values()
        mine = environment.as_type(provider)
        opened.append((config, mine))
        return mine

    yield opener
    for config, environment in opened:
        await provider.sample_cleanup("a task", config, {"default": environment}, False)
        await provider.task_cleanup("a task", config, True)


@pytest.fixture
async def environment(open_environment: OpenEnvironment) -> MoonpoolSandboxEnvironment:
    return await open_environment()
