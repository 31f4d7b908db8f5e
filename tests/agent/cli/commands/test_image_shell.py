"""``moonpool image shell``, ``rm`` and ``list``, with the engine and a terminal."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line.running import SCRIPT, Shell
from command_line.terminal import Terminal, typed
from images import recipes
from sandbox.container.prepared_image import prepare
from sandbox.container.throwaway_shell import opened, shell_spec
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_MANAGED
from sandbox.errors import SandboxError
from waiting import until


def _shells(engine: Engine) -> Iterator[str]:
    """Containers of ours with a terminal: other tests' have none."""
    for row in engine.containers(LABEL_MANAGED):
        with contextlib.suppress(SandboxError):
            if engine.inspect(row.id)["Config"]["Tty"]:
                yield row.id


def test_a_shell_is_sealed_and_leaves_nothing(moonpool: Shell, engine: Engine, image: str) -> None:
    code, seen = typed(
        [SCRIPT, "image", "shell", image],
        "id -u; cat /proc/net/dev | wc -l; grep -c 0000000000000000 /proc/self/status; tty; "
        "touch /etc/x; echo $((40+2))",
        moonpool,
    )
    assert code == 0, seen
    assert "1000\r\n3\r\n" in seen  # two lines of heading and lo
    assert "/dev/pts/0" in seen
    assert "Permission denied" in seen
    assert re.search(r"^42\r$", seen, re.MULTILINE)
    until(lambda: not list(_shells(engine)))  # other tests' shells end too


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_shell_whose_window_is_closed_leaves_nothing(
    moonpool: Shell, engine: Engine, image: str, number: signal.Signals
) -> None:
    before = set(_shells(engine))
    with Terminal(
        [str(SCRIPT), "image", "shell", image],
        directory=moonpool.directory,
        environ=moonpool.environ,
        wait_s=120,
    ) as terminal:
        terminal.until("$ ")
        opened_now = set(_shells(engine)) - before
        assert opened_now
        os.kill(terminal.pid, number)
        assert terminal.end() == 130, terminal.shown
    until(lambda: not opened_now & set(_shells(engine)))


def test_the_shell_is_compared_with_its_plan(engine: Engine, image: str) -> None:
    info = engine.image(image)
    assert info is not None
    prepared = prepare(engine, info, on_progress=lambda _: None)
    host = shell_spec(prepared).host_config()
    assert (host["NetworkMode"], host["CapDrop"]) == ("none", ["ALL"])
    with opened(engine, prepared) as (container, terminal):
        terminal.sendall(b"exit\n")
        assert engine.wait(container, timeout_s=60) == 0


def test_without_a_terminal_it_says_so(moonpool: Shell) -> None:
    done = moonpool("image", "shell", "python")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr


@pytest.fixture
def own(moonpool: Shell, image: str, engine: Engine) -> Iterator[Path]:
    folder = moonpool.directory / "own"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {image}\nRUN true\nENV OWN=1\n")
    yield folder
    for info in engine.images(f"moonpool.recipe={recipes.of_operator(folder).name}"):
        for tag in info.tags:
            engine.remove_image(tag)


@pytest.mark.slow
def test_an_operators_image_is_built_listed_and_removed(
    moonpool: Shell, engine: Engine, own: Path
) -> None:
    assert moonpool("image", "build", "./own").returncode == 0
    latest = recipes.of_operator(own).latest
    info = engine.image(latest)
    assert info is not None
    prepare(engine, info, on_progress=lambda _: None)
    moonpool.environ["COLUMNS"] = "200"
    (row,) = [line for line in moonpool("image", "list").stdout.splitlines() if latest in line]
    assert re.search(r"no recipe .* MB +now", row)
    done = moonpool("image", "rm", "./own")
    assert done.returncode == 0, done.stderr
    assert latest in done.stdout
    assert "moonpool/prepared:" in done.stdout
    assert engine.image(latest) is None
    assert moonpool("image", "build", "./own").returncode == 0
    by_name = moonpool("image", "rm", latest)
    assert latest in by_name.stdout, "as `image list` names it"
    assert engine.image(latest) is None
    again = moonpool("image", "rm", "./own")
    assert again.returncode == 3
    assert "image list" in again.stderr


def test_an_image_that_is_only_referred_to_stays(
    moonpool: Shell, engine: Engine, image: str
) -> None:
    name = f"kept-{os.getpid()}:1"
    engine.tag(image, name)
    try:
        # Of another id than the recipe's, or the recipe's own prepared form would go.
        assert moonpool("image", "rm", "no/such:1").returncode == 3
        assert engine.image(name) is not None
    finally:
        engine.remove_image(name)
