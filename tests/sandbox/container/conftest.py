"""One sandbox that the tests of a module share."""

from collections.abc import Iterator

import pytest

from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox


@pytest.fixture(scope="module")
def shared(
    engine: Engine, image: str, default_policy: Policy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    with Sandbox.open(
        workspace=tmp_path_factory.mktemp("workspace"),
        policy=default_policy,
        image=image,
        engine=engine,
    ) as box:
        yield box


@pytest.fixture
def emptied(shared: Sandbox) -> Sandbox:
    """Its workspace is empty, and the shell stands there; whoever lets something run ends it."""
    done = shared.run("dirs -c; cd /workspace; umask 022; find . -mindepth 1 -delete")
    assert done.exit_code == 0, done
    return shared
