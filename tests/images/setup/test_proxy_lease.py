"""One proxy for all set-ups that need the same, ended with the last of them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from images.setup.proxy import RunningProxy, lease
from images.setup.squid import AllowedHosts
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_PROXY
from sandbox.errors import SandboxError
from sandbox.opening.stored import LeftoverKind
from sandbox.prune import leftovers

OWNER = "tester@here"
ALLOWED = AllowedHosts(names=("a.example",))
KILLED = """
import os, signal, sys
from pathlib import Path
from images.setup.proxy import lease
from images.setup.squid import AllowedHosts
from sandbox.engine.docker import Engine
with lease(Engine.connect(os.environ), AllowedHosts(names=("a.example",)), time_s=60,
           owner="tester@here", on_progress=lambda _: None) as running:
    print(running.container, running.volume, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _lease(
    engine: Engine, time_s: float = 60, *, allowed: AllowedHosts = ALLOWED, alone: str = ""
) -> AbstractContextManager[RunningProxy]:
    return lease(
        engine, allowed, time_s=time_s, owner=OWNER, on_progress=lambda _: None, alone=alone
    )


@pytest.fixture(autouse=True)
def _own_locks(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "cache", tmp_path / "moonpool")


def _standing(engine: Engine, running: RunningProxy) -> tuple[bool, bool]:
    containers = {row.id for row in engine.containers(LABEL_PROXY)}
    volumes = {row.name for row in engine.volumes(LABEL_PROXY)}
    return running.container in containers, running.volume in volumes


def test_those_who_need_the_same_share_one_and_the_last_ends_it(engine: Engine) -> None:
    first = ExitStack()
    one = first.enter_context(_lease(engine))
    with _lease(engine) as two:
        assert two == one
        first.close()
        assert _standing(engine, one) == (True, True)
        assert two.ended() == ""
    assert _standing(engine, one) == (False, False)
    assert one.ended() == "its container was removed"
    assert one.failed("refused") == ()


def test_one_that_is_to_be_alone_is_shared_with_nothing_else(engine: Engine) -> None:
    with _lease(engine) as shared, _lease(engine, alone="a") as one, _lease(engine, alone="b") as b:
        assert len({shared.container, one.container, b.container}) == 3
        with _lease(engine, alone="a") as same:
            assert same == one


def test_one_that_was_killed_is_not_used_again(engine: Engine) -> None:
    with _lease(engine) as one:
        engine.kill(one.container)
        engine.wait(one.container, timeout_s=60)
        assert one.ended() == "it ended with 137"
        with _lease(engine) as two:
            assert two.container != one.container
            assert two.ended() == ""
    assert _standing(engine, one) == _standing(engine, two) == (False, False)


def test_one_that_does_not_start_is_said_with_squids_complaint_and_leaves_nothing(
    engine: Engine,
) -> None:
    allowed = AllowedHosts(names=(), registries=(("a.example", 99999),))
    with (
        pytest.raises(SandboxError, match=r"does not start \(it ended with 1\)") as caught,
        _lease(engine, allowed=allowed) as one,
    ):
        one.await_answer()
    assert "FATAL: Bungled /etc/moonpool/squid.conf line" in str(caught.value)
    assert "acl port99999 port 99999" in str(caught.value)
    assert _standing(engine, one) == (False, False)


def test_what_a_killed_process_leaves_is_known_and_ends_at_its_deadline(
    engine: Engine, tmp_path: Path
) -> None:
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env=environ, stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    container, volume = done.stdout.decode().split()
    try:
        left = {item.id: item for item in leftovers(engine)}
        assert left[container].kind is LeftoverKind.CONTAINER
        assert time.time() < left[container].deadline < time.time() + 60 * 60
        assert left[volume].kind is LeftoverKind.VOLUME
        assert not left[container].expired
        command = engine.inspect(container)["Config"]["Cmd"]
        assert float(command[-1]) < 60 * 60
    finally:
        engine.remove(container)
        engine.remove_volume(volume)
