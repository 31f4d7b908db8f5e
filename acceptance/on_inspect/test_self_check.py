"""Inspect's own checks of a sandbox provider: all but the one that needs a second user.

That one is impossible by design, and it says so: the user that it asks for is refused.
"""

import pytest
from inspect_ai.util import SandboxUserUnsupportedError
from inspect_ai.util._sandbox import self_check
from inspect_ai.util._sandbox.self_check import *  # noqa: F403 - it is made for that

from agent.servers.inspect.provider import MoonpoolSandboxEnvironment

pytestmark = pytest.mark.anyio
IMPOSSIBLE = {"test_exec_as_user"}


@pytest.fixture
def sandbox_env(
    environment: MoonpoolSandboxEnvironment, request: pytest.FixtureRequest
) -> MoonpoolSandboxEnvironment:
    if request.node.originalname in IMPOSSIBLE:
        refused = pytest.mark.xfail(raises=SandboxUserUnsupportedError, strict=True)
        request.node.add_marker(refused)
    return environment


def test_all_of_the_checks_are_here() -> None:
    assert len(self_check.__all__) >= 44
    assert set(self_check.__all__) >= IMPOSSIBLE
