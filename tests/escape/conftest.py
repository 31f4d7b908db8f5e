"""Sandboxes that many attempts share: what one leaves behind is there for the next, as in a run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from policies.loading import load
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

Standing = Callable[[str], Sandbox]
ChangedPaths = Callable[[Sandbox], set[str]]


@pytest.fixture(scope="session")
def changed_paths(engine: Engine) -> Iterator[ChangedPaths]:
    """What has changed in a container by the engine's own list: a witness that is not ours."""
    client = docker.from_env()
    yield lambda box: {row["Path"] for row in client.api.diff(box.id) or ()}
    client.close()


@pytest.fixture(scope="module")
def standing(
    engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    """A sandbox by policy name, the same one each time."""
    workspace = tmp_path_factory.mktemp("shared")
    (workspace / "seed").write_text("seed\n")
    opened: dict[str, Sandbox] = {}

    def get(policy: str) -> Sandbox:
        if policy not in opened:
            opened[policy] = Sandbox.open(
                workspace=workspace, policy=load(policy), image=image, engine=engine
            )
        return opened[policy]

    yield get
    for box in opened.values():
        box.close()


@pytest.fixture
def reopened(engine: Engine, image: str, tmp_path: Path) -> Iterator[Callable[[], Sandbox]]:
    """Opens a sandbox of one attempt's own, on an empty workspace."""
    opened: list[Sandbox] = []

    def opener() -> Sandbox:
        directory = tmp_path / f"own{len(opened)}"
        directory.mkdir()
        box = Sandbox.open(workspace=directory, policy=load("default"), image=image, engine=engine)
        opened.append(box)
        return box

    yield opener
    for box in opened:
        box.close()
