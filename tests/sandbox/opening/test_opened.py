"""A container started on the guess that the workspace is as it was copied the last time."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import OpenBox
from policies.loading import load
from sandbox.container.seal import KernelPolicy
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_RUN
from sandbox.errors import WorkspaceError
from sandbox.opening.opened import OpenedContainer, open_workspace
from sandbox.supply import ContainerSupply
from sandbox.workspace.scan import Scan
from sandbox.workspace.source import HostSource, ImageSource
from waiting import until

Guess = Callable[[Callable[[], None]], OpenedContainer]


class _LookingLong(ContainerSupply):
    """Its looks end after something that happens when a container of the run is there."""

    def __init__(self, engine: Engine, run_id: str, then: Callable[[], None]) -> None:
        self._engine, self._run_id, self._then = engine, run_id, then

    def look(self, source: HostSource | ImageSource) -> Scan:
        until(lambda: of_run(self._engine, self._run_id))
        self._then()
        return super().look(source)


def of_run(engine: Engine, run_id: str) -> list[str]:
    return [row.id for row in engine.containers(f"{LABEL_RUN}={run_id}")]


@pytest.fixture
def run_id(workspace: Path) -> str:
    return f"guess-{workspace.stat().st_ino}-{os.getpid()}"


@pytest.fixture
def guess(engine: Engine, image: str, workspace: Path, open_box: OpenBox, run_id: str) -> Guess:
    """Opens a workspace that was copied before; something happens while it is looked at."""
    (workspace / "a").write_text(str(workspace))
    open_box().close()

    def opened(then: Callable[[], None]) -> OpenedContainer:
        return open_workspace(
            workspace,
            load("default"),
            image=image,
            run_id=run_id,
            may_ask=False,
            kernel_policy=KernelPolicy.REQUIRE,
            engine=engine,
            on_progress=lambda _: None,
            supply=_LookingLong(engine, run_id, then),
        )

    return opened


def test_it_is_the_one_that_is_used_where_that_is_so(
    guess: Guess, engine: Engine, run_id: str
) -> None:
    guessed: list[str] = []
    opened = guess(lambda: guessed.extend(of_run(engine, run_id)))
    try:
        assert guessed == [opened.started.container] == of_run(engine, run_id)
    finally:
        opened.session().close()


@pytest.mark.parametrize("error", [WorkspaceError("no more"), KeyboardInterrupt("no more")])
def test_it_is_gone_when_the_look_fails(
    guess: Guess, engine: Engine, run_id: str, error: BaseException
) -> None:
    guessed: list[str] = []

    def fail() -> None:
        guessed.extend(of_run(engine, run_id))
        raise error

    with pytest.raises(type(error), match="no more"):
        guess(fail)
    assert guessed
    assert of_run(engine, run_id) == []


def test_where_its_image_is_gone_all_is_copied_again(
    guess: Guess, engine: Engine, workspace: Path, open_box: OpenBox
) -> None:
    box = open_box()
    copied = engine.inspect(box.id)["Config"]["Image"]
    box.close()
    engine.remove_image(copied)
    assert open_box().read_file("a") == str(workspace).encode()
