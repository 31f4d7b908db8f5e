"""A workspace's copy on an engine that never saw the workspace."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from policies.policy import Policy
from sandbox.container.prepared_image import PreparedImage, image_of, prepare
from sandbox.container.seal import KernelPolicy
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError
from sandbox.git import config
from sandbox.opening import opened
from sandbox.sandbox import Sandbox
from sandbox.workspace.scan import scan
from sandbox.workspace.shipment import CarriedWorkspace, lay, pack
from sandbox.workspace.snapshot import Snapshot

HERE = Path("/a/machine/that/is/not/this/one")


class Carried:
    """A workspace, packed."""

    def __init__(self, engine: Engine, policy: Policy, image: str, workspace: Path) -> None:
        self.engine, self.policy, self.image = engine, policy, image
        self.content: list[bytes] = []
        self.times = 0
        prepared = prepare(engine, image_of(engine, policy, image), on_progress=lambda _: None)
        self.workspace: CarriedWorkspace = pack(
            scan(workspace),
            workspace,
            policy.workspace,
            personal=config.read_personal(os.environ, workspace),
            inventory=prepared.inventory,
            keep=self.content.extend,
        )

    def layer(self) -> Iterable[bytes]:
        self.times += 1
        return self.content

    def open(self) -> Sandbox:
        def laid(prepared: PreparedImage) -> Snapshot:
            return lay(self.engine, prepared, self.workspace, self.layer)

        return Sandbox(
            opened.open_workspace(
                HERE,
                self.policy,
                image=self.image,
                run_id="",
                may_ask=False,
                kernel_policy=KernelPolicy.REQUIRE,
                engine=self.engine,
                on_progress=lambda _: None,
                carried=laid,
            )
        )


@pytest.fixture
def tree(workspace: Path) -> Path:
    (workspace / ".env").write_text("PASSWORD=never-leave-home\n")
    (workspace / "tool.sh").write_text("#!/bin/sh\n")
    (workspace / "tool.sh").chmod(0o755)
    (workspace / "link").symlink_to("tool.sh")
    (workspace / "unique").write_text(str(workspace))
    return workspace


@pytest.fixture
def carried(engine: Engine, default_policy: Policy, image: str, tree: Path) -> Carried:
    return Carried(engine, default_policy, image, tree)


def test_the_patch_is_that_of_a_sandbox_opened_at_home(
    carried: Carried, engine: Engine, default_policy: Policy, image: str, tree: Path
) -> None:
    with carried.open() as box:
        box.write_file("new.txt", b"new\n")
        there = box.export()
        left_there = box.left_behind
    with Sandbox.open(workspace=tree, policy=default_policy, image=image, engine=engine) as box:
        box.write_file("new.txt", b"new\n")
        here = box.export()
        left_here = box.left_behind
    assert (there.data, there.base_tree, there.tree) == (here.data, here.base_tree, here.tree)
    assert left_there == left_here


def test_it_arrives_once(carried: Carried) -> None:
    carried.open().close()
    carried.open().close()
    assert carried.times == 1


def test_what_the_policy_leaves_out_never_leaves(carried: Carried) -> None:
    assert b"never-leave-home" not in b"".join(carried.content)
    assert b"never-leave-home" not in carried.workspace.manifest


def test_credentials_of_a_remote_do_not_go(
    engine: Engine, default_policy: Policy, image: str, tree: Path
) -> None:
    (tree / ".git").mkdir(exist_ok=True)
    (tree / ".git/config").write_text(
        '[remote "origin"]\n\turl = https://user:never-leave-home@example.org/x.git\n'
    )
    made = Carried(engine, default_policy, image, tree)
    assert b"never-leave-home" not in b"".join(made.content) + made.workspace.manifest


def test_another_content_than_was_sent_becomes_no_sandbox(carried: Carried) -> None:
    first, *rest = carried.content
    carried.content = [first.replace(b"tool", b"fool"), *rest]
    assert carried.content != [first, *rest]
    with pytest.raises(EngineError, match="what arrived is not"):
        carried.open()
    carried.content = [first, *rest]
    carried.open().close()


def test_another_workspace_is_another_copy(
    engine: Engine, default_policy: Policy, image: str, tree: Path
) -> None:
    one = Carried(engine, default_policy, image, tree).workspace
    (tree / "unique").write_text("other")
    other = Carried(engine, default_policy, image, tree).workspace
    assert one.key != other.key
    assert replace(one, manifest=b"", key="", digest="", size=0) == replace(
        other, manifest=b"", key="", digest="", size=0
    )
