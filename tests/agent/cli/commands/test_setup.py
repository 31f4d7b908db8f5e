"""`moonpool setup` as a person uses it."""

import contextlib
import json
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line.running import SCRIPT, Shell
from command_line.terminal import typed
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_ATTEMPT, LABEL_MANAGED, LABEL_SETUP
from sandbox.errors import ContainerGone, EngineError

SECRET = "a-secret-of-the-operators"


@pytest.fixture
def setup(moonpool: Shell, engine: Engine, image: str) -> Iterator["Setup"]:
    del image  # built before anything is timed out
    running = Setup(moonpool)
    yield running
    for row in engine.containers(LABEL_ATTEMPT):
        if row.labels[LABEL_ATTEMPT] in running.refs:
            engine.remove(row.id)
    for ref in running.refs:
        if engine.image(ref) is not None:
            engine.remove_image(ref)


class Setup:
    def __init__(self, moonpool: Shell) -> None:
        self.moonpool = moonpool
        self.refs: list[str] = []
        (moonpool.directory / "ws").mkdir()

    def policy(self, *commands: str, env: dict[str, str] | None = None, **rules: object) -> None:
        said = {"commands": [f": {uuid.uuid4()}", *commands], **rules}
        whole = {"version": 1, "name": "own", "extends": "default", "env": env or {}, "setup": said}
        text = json.dumps(whole)
        (self.moonpool.directory / "policy.yaml").write_text(text)

    def __call__(self, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.moonpool("setup", "-w", "ws", "-p", "policy.yaml", *options, env=env)

    def typed(self, lines: str) -> str:
        """What a person sees who looks into it and types that."""
        words = ("setup", "-w", "ws", "-p", "policy.yaml", "--shell")
        return typed([SCRIPT, *words], lines, self.moonpool)[1]


def test_a_layer_is_made_once_told_and_looked_into(setup: Setup, engine: Engine) -> None:
    setup.policy("mkdir -p /opt/venv/bin && echo made-by-set-up > /opt/venv/mark")
    first = setup()
    assert first.returncode == 0, first.stderr
    (ref,) = first.stdout.splitlines()
    told = first.stderr.splitlines()
    setup.refs.append(ref)
    assert any(line.startswith("set-up: mkdir -p /opt/venv/bin") for line in told)
    assert any(line.startswith("set-up: done in ") for line in told)
    again = setup("--json")
    said = json.loads(again.stdout)
    assert (said["image"], said["was_there"]) == (ref, True)
    assert "set-up: there already" in again.stderr
    refreshed = json.loads(setup("--refresh", "--json").stdout)
    assert (refreshed["image"], refreshed["was_there"]) == (ref, False)
    seen = setup.typed("cat /opt/venv/mark; touch /opt/x")
    assert "made-by-set-up\r\n" in seen
    assert "Permission denied" in seen


def test_clients_are_offline_in_the_agents_time_alone(setup: Setup) -> None:
    offline = {"NPM_CONFIG_OFFLINE": "true", "CARGO_NET_OFFLINE": "true"}  # as bundled policies say
    asked = 'test "$NPM_CONFIG_OFFLINE $CARGO_NET_OFFLINE" = "false false"'
    setup.policy(asked, env=offline, network=["registry.example.org"])
    done = setup()
    assert done.returncode == 0, done.stderr
    setup.refs.append(done.stdout.strip())


@pytest.mark.slow
def test_what_a_failed_one_left_can_be_looked_into(setup: Setup, engine: Engine) -> None:
    setup.policy("mkdir -p /opt/venv && echo half-way > /opt/venv/mark", "echo no-luck; exit 3")
    failed = setup()
    assert failed.returncode == 3
    assert "set-up failed at 'echo no-luck; exit 3'" in failed.stderr
    assert "moonpool setup --shell" in failed.stderr
    (left,) = (row for row in engine.containers(LABEL_ATTEMPT) if row.id[:12] in failed.stderr)
    setup.refs.append(left.labels[LABEL_ATTEMPT])
    seen = setup.typed("cat /opt/venv/mark; ls /sys/class/net")
    assert "half-way\r\n" in seen
    key = left.labels[LABEL_ATTEMPT].rpartition(":")[2]
    tags = [tag for row in engine.images(LABEL_SETUP) for tag in row.tags]
    assert not [tag for tag in tags if key in tag]


def test_mistakes_are_said_in_a_line(setup: Setup) -> None:
    setup.policy("true", secrets=["NO_SUCH_TOKEN"])
    lacking = setup()
    assert lacking.returncode == 3
    assert "needs the secret NO_SUCH_TOKEN (setup.secrets)" in lacking.stderr
    assert setup("--shell").returncode == 2
    none = setup.moonpool("setup", "-w", "ws", "-p", "default")
    assert none.returncode == 2
    assert "has no setup.commands" in none.stderr
    setup.policy("true", network=["10.0.0.1"])
    assert setup().returncode == 2


def test_a_secret_does_not_reach_the_terminal(setup: Setup) -> None:
    setup.policy('echo "## $TOKEN"; echo "$TOKEN" > /opt/venv/x', secrets=["TOKEN"])
    done = setup(TOKEN=SECRET)
    assert done.returncode == 3
    assert "left a secret in /opt/venv/x" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "stands for an hour" not in done.stderr


@pytest.mark.slow
def test_a_set_up_that_is_ended_leaves_no_container(setup: Setup, engine: Engine) -> None:
    setup.policy("while :; do echo begun; sleep 1; done")
    file = setup.moonpool.directory / "policy.yaml"
    mib = 1000 + random.randrange(3000)  # by which it is known
    limits = {"memory": f"{mib}MiB"}
    file.write_text(json.dumps({**json.loads(file.read_text()), "limits": limits}))

    def standing() -> list[str]:
        found = []
        for row in engine.containers(LABEL_MANAGED):
            with contextlib.suppress(EngineError, ContainerGone):  # others go meanwhile
                if engine.inspect(row.id)["HostConfig"]["Memory"] == mib << 20:
                    found.append(row.id)
        return found

    program = Path(sys.executable).with_name("moonpool")
    with subprocess.Popen(
        [program, "setup", "-w", "ws", "-p", "policy.yaml"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**setup.moonpool.environ, "PYTHONUNBUFFERED": "1"}, cwd=setup.moonpool.directory,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert any(line.endswith(": begun\n") for line in process.stdout)
        assert len(standing()) == 1
        process.terminate()
        assert process.wait(60) == 130
    assert standing() == []
