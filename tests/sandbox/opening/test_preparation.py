"""What ``setup.prepare`` leaves in the workspace: the baseline, and no part of a patch."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import SetupFailed
from sandbox.sandbox import Sandbox


@pytest.fixture
def prepare(
    engine: Engine, image: str, default_policy: Policy, workspace: Path
) -> Iterator["Prepare"]:
    made = Prepare(engine, image, default_policy, workspace)
    yield made
    for box in made.opened:
        box.close()


class Prepare:
    def __init__(self, engine: Engine, image: str, policy: Policy, workspace: Path) -> None:
        self._engine, self._image, self._policy = engine, image, policy
        self.workspace = workspace
        self.opened: list[Sandbox] = []
        self.told: list[str] = []

    def __call__(self, *commands: str) -> Sandbox:
        setup = replace(self._policy.setup, prepare=commands)
        box = Sandbox.open(
            workspace=self.workspace, policy=replace(self._policy, setup=setup),
            image=self._image, engine=self._engine, on_progress=self.told.append,
        )  # fmt: skip
        self.opened.append(box)
        return box


def test_what_it_makes_is_baseline_and_the_agents_work_alone_is_the_patch(
    prepare: Prepare,
) -> None:
    (prepare.workspace / "a.txt").write_text("a\n")
    (prepare.workspace / "gone.txt").write_text("x\n")
    commands = (
        "mkdir -p build/deep && echo made > build/deep/b.txt",
        "echo more >> a.txt && rm gone.txt",
        "printf '#!/bin/sh\\necho ran\\n' > build/tool && chmod +x build/tool",
    )
    box = prepare(*commands)
    assert box.run("build/tool; cat a.txt build/deep/b.txt").stdout == b"ran\na\nmore\nmade\n"
    assert box.export().data == b""
    box.run("echo agent > new.txt; echo agent >> build/deep/b.txt")
    patch = box.export()
    assert [change.path for change in patch.changes] == [b"new.txt"]
    assert b"build/deep/b.txt" in {item.path for item in patch.left_out}
    assert (prepare.workspace / "a.txt").read_text() == "a\n"
    assert not (prepare.workspace / "build").exists()


@pytest.mark.slow
def test_it_is_made_once_and_again_when_something_it_rests_on_changes(prepare: Prepare) -> None:
    (prepare.workspace / "a.txt").write_text("a\n")
    command = "cat /proc/sys/kernel/random/uuid > once"
    first = prepare(command).run("cat once").stdout
    assert prepare(command).run("cat once").stdout == first
    (prepare.workspace / "a.txt").write_text("b\n")
    assert prepare(command).run("cat once").stdout != first
    assert prepare(command, "true").run("cat once").stdout != first


def test_it_has_no_network_and_only_the_programs_of_the_policy(prepare: Prepare) -> None:
    with pytest.raises(SetupFailed, match=r"setup\.prepare: 'python3 -c.*ended with 1") as caught:
        prepare("python3 -c 'import socket; socket.create_connection((\"203.0.113.1\", 443), 3)'")
    assert "unreachable" in str(caught.value)
    with pytest.raises(SetupFailed, match=r"setup\.prepare: '/usr/bin/curl.*may run what the pol"):
        prepare("/usr/bin/curl --version")
    with pytest.raises(SetupFailed, match="ended with 1"):
        prepare("touch /usr/lib/x")


def test_a_failure_leaves_nothing_that_is_taken_for_prepared(prepare: Prepare) -> None:
    (prepare.workspace / "a.txt").write_text("a\n")
    for _ in range(2):
        with pytest.raises(SetupFailed, match=r"'echo no >&2; exit 3' ended with 3") as caught:
            prepare("touch made", "echo no >&2; exit 3")
        assert str(caught.value).endswith("\nno")
    with pytest.raises(SetupFailed) as caught:
        prepare("seq 50; exit 3")
    assert "\n10\n[… 10 lines …]\n21\n" in str(caught.value)


@pytest.mark.slow
def test_what_it_leaves_running_is_gone_for_the_agent(prepare: Prepare) -> None:
    box = prepare("(sleep 1000 >/dev/null 2>&1 &)", "ln -s /etc/passwd link")
    assert (
        box.run("pgrep -c sleep; cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout.count(
            b"sleep 1000"
        )
        == 0
    )
    assert box.export().data == b""
