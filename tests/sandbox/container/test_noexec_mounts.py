"""Workspaces that are mounted: the patch, a restart, the end, and engines that can't mount them."""

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from policies.loading import load
from policies.policy import History, Policy
from sandbox.container.seal import KernelPolicy
from sandbox.container.volumes import published
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_LOWER, LABEL_RUN, VolumeInfo
from sandbox.errors import EngineError, KernelUnsupported, SandboxLost, VolumeRefused
from sandbox.prune import leftovers, prune
from sandbox.results import Ending
from sandbox.sandbox import Sandbox

pytestmark = pytest.mark.slow

OpenHere = Callable[..., Sandbox]
CLOSED = replace(load("default"), exec_workspace=False)


class EngineWithoutLayers(Engine):
    """An engine that keeps its images with containerd: no layer has a directory it would name."""

    def stores_layers(self) -> bool:
        return False

    def workspace_layers(self, ref: str) -> tuple[str, ...]:
        return ()


KINDS = {"layer": Engine, "volume": EngineWithoutLayers}


@contextmanager
def connected(kind: str, directory: Path) -> Iterator[Engine]:
    """An engine of this kind. What its volumes are called that others may share is noted in the
    directory, and not where others would find it; at the end they are removed."""
    engine = KINDS[kind].connect(os.environ)
    inventories = engine.cache / "inventories"
    for folder in (directory, inventories):
        folder.mkdir(parents=True, exist_ok=True)
    (directory / "inventories").symlink_to(inventories)  # of prepared images, as others know them
    engine.cache = directory
    known = {row.name for row in engine.volumes(LABEL_LOWER)}
    yield engine
    names = {published(directory, file.stem) for file in directory.glob("volumes/*.json")} - known
    for name in names - {None}:
        engine.remove_volume(str(name))


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Where this test notes what the volumes are called that it would share with others."""
    return tmp_path / "cache/volumes"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, shared: Path) -> Iterator[Engine]:
    with connected(request.param, shared.parent) as engine:
        yield engine


@pytest.fixture(scope="module", params=KINDS)
def sharing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """As `kind`, but its volumes are shared by all tests that ask for it."""
    with connected(request.param, tmp_path_factory.mktemp("cache")) as engine:
        yield engine


@pytest.fixture
def open_closed(kind: Engine, image: str, workspace: Path) -> Iterator[OpenHere]:
    opened: list[Sandbox] = []

    def opener(policy: Policy = CLOSED) -> Sandbox:
        box = Sandbox.open(
            workspace=workspace, policy=policy, image=image, engine=kind, run_id=str(workspace)
        )
        opened.append(box)
        return box

    yield opener
    for box in opened:
        box.close()


def ours(engine: Engine, workspace: Path) -> set[str]:
    """Volumes of this test's sandboxes."""
    return {row.name for row in engine.volumes(f"{LABEL_RUN}={workspace}")}


def fill(workspace: Path) -> None:
    for path, content in {
        "edit": "one\ntwo\n",
        "same": "same\n",
        "tool": "#!/bin/sh\n",
        "d/a": "a\n",
        "d/b": "b\n",
        "d/e/f": "f\n",
        "other/x": "x\n",
        "empty": "",
    }.items():
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text(content)
    (workspace / "tool").chmod(0o755)
    (workspace / "link").symlink_to("edit")
    (workspace / os.fsdecode(b"latin-\xe9")).write_bytes(b"odd\n")


WORK = {
    "nothing": "true",
    "create": "echo new > new; mkdir -p n/e/w; echo deep > n/e/w/x",
    "edit": "echo three >> edit",
    "edit in place": "sed -i s/one/1/ edit",
    "cut short": "truncate -s 1 edit; : > same",
    "delete": "rm edit d/a empty",
    "delete a directory": "rm -r d other",
    "delete all": "rm -rf ./* .[!.]*",
    "rename": "mv edit renamed; mv tool d/tool",
    "rename over": "mv edit same",
    "rename a directory": "mv d moved",
    "rename a directory over another": "rm -r other; mv d other",
    "rename away and back": "mv d d2; mv d2 d",
    "a file becomes a directory": "rm edit; mkdir edit; echo in > edit/in",
    "a directory becomes a file": "rm -r d; echo flat > d",
    "a directory becomes a link": "rm -r d; ln -s other d",
    "a link becomes a file": "rm link; echo plain > link",
    "links": "ln -sfn d link; ln -s nowhere dangling; ln -s link second",
    "modes": "chmod +x edit; chmod -x tool",
    "modes of directories": "chmod 700 d; chmod 500 other",
    "an empty file": "touch void; : > empty; touch d/e/void",
    "a replaced directory": "rm -r d; mkdir d; echo z > d/z",
    "a replaced directory of the same names": "rm -r d; mkdir -p d/e; echo other > d/a",
    "made again": "rm edit; echo again > edit; rm same; echo same > same",
    "made again as it was": (
        "cp same s; rm same; mv s same; rm -r other; mkdir other; echo x > other/x"
    ),
    "hard links": "ln edit hard; ln same d/hard",
    "odd names": "echo x > $'a\\nb'; echo y > -dash; mkdir 'sp ace'; echo z > 'sp ace/z'",
    "names of removals": "echo w > .wh.edit; mkdir .wh.d; echo w > .wh.d/x",
    "no git any more": "rm -rf .git; echo more >> edit",
    "a commit": "git add -A; git commit -qm x; echo more >> edit",
    "times put back": "touch -r edit ref; echo three >> edit; touch -r ref edit; rm ref",
}  # fmt: skip

LISTED = (
    "find . -path ./.git -prune -o ! -type d -printf '%y %m %p %l\\n' | sort;"
    "find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum"
)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit, which a sandbox only reads."""
    workspace = tmp_path_factory.mktemp("committed")
    repository(workspace)
    return workspace


@pytest.fixture(scope="module")
def expected(engine: Engine, image: str, committed: Path) -> Callable[[str], tuple[bytes, str]]:
    """Gives the patch of a work, and its tree, where nothing is mounted."""

    @functools.cache
    def expect(work: str) -> tuple[bytes, str]:
        with Sandbox.open(
            workspace=committed, policy=load("default"), image=image, engine=engine
        ) as box:
            assert box.run(WORK[work]).exit_code == 0
            patch = box.export()
            return patch.data, patch.tree

    return expect


def repository(workspace: Path) -> None:
    fill(workspace)
    user = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for arguments in (("init", "-q"), ("add", "-A"), (*user, "commit", "-qm", "one")):
        subprocess.run(["git", *arguments], cwd=workspace, check=True)


@pytest.fixture
def mounted(sharing: Engine, image: str, committed: Path) -> Iterator[Sandbox]:
    with Sandbox.open(workspace=committed, policy=CLOSED, image=image, engine=sharing) as box:
        yield box


@pytest.mark.parametrize("work", WORK)
def test_the_patch_is_exact_and_the_same_as_without_the_mount(
    work: str,
    mounted: Sandbox,
    committed: Path,
    tmp_path: Path,
    expected: Callable[[str], tuple[bytes, str]],
) -> None:
    assert mounted.run(WORK[work]).exit_code == 0
    patch = mounted.export()
    assert (patch.data, patch.tree) == expected(work)
    stands = mounted.run(LISTED).stdout
    shutil.copytree(committed, tmp_path / "copy", symlinks=True)
    if patch.data:
        apply = ["git", "apply", "--binary", "-"]
        subprocess.run(apply, input=patch.data, cwd=tmp_path / "copy", check=True)
    with mounted.fresh() as fresh:
        fresh.apply(patch)
        assert fresh.export().tree == patch.tree
        assert fresh.run(LISTED).stdout == stands


@pytest.mark.parametrize("work", ["create", "delete all", "rename a directory over another",
                                  "a replaced directory of the same names", "modes", "links",
                                  "names of removals", "a file becomes a directory"])  # fmt: skip
def test_the_engine_reads_the_same_where_the_guest_is_gone(
    work: str, mounted: Sandbox, sharing: Engine, expected: Callable[[str], tuple[bytes, str]]
) -> None:  # fmt: skip
    assert mounted.run(WORK[work]).exit_code == 0
    for _ in range(3):
        kill_guest(sharing, mounted)
    sharing.kill(mounted.id)
    with pytest.raises(SandboxLost):
        mounted.run("true")
    patch = mounted.export()
    assert (patch.data, patch.tree) == expected(work)


def kill_guest(engine: Engine, box: Sandbox) -> None:
    engine.kill(box.id)
    assert box.run("true").ending is Ending.LOST


def test_what_a_restart_keeps_and_what_not(open_closed: OpenHere, kind: Engine) -> None:
    box = open_closed()
    box.run("echo w > w; echo h > ~/h; echo t > /tmp/t; chmod 700 .")
    kill_guest(kind, box)
    assert box.run("cat w ~/h; ls /tmp; stat -c '%u %a' .").stdout == b"w\nh\n1000 700\n"
    assert [change.path for change in box.export().changes] == [b"w"]


def test_the_workspace_is_the_agents_own(open_closed: OpenHere) -> None:
    box = open_closed()
    said = box.run("stat -c '%u:%g %a %n' . ~ /tmp; touch x ~/x /tmp/x /var/tmp/x && ls ~/.bashrc")
    assert said.stdout.splitlines() == [
        b"1000:1000 755 .", b"1000:1000 755 /home/agent", b"1000:1000 1777 /tmp",
        b"/home/agent/.bashrc",
    ]  # fmt: skip


def test_a_history_that_was_cut_stays_cut(open_closed: OpenHere, workspace: Path) -> None:
    repository(workspace)
    rules = replace(CLOSED.workspace, history=History.HEAD)
    box = open_closed(replace(CLOSED, workspace=rules))
    assert box.run("git log --oneline | wc -l; git status --short").stdout == b"1\n"
    assert box.export().changes == ()


def test_nothing_is_left_behind(open_closed: OpenHere, kind: Engine, workspace: Path) -> None:
    box = open_closed()
    fresh = box.fresh()
    assert len(ours(kind, workspace)) == 12
    for opened in (box, fresh):
        opened.close()
    assert not ours(kind, workspace)


@pytest.mark.xdist_group("prune")  # takes away what others made ahead
def test_what_a_killed_run_left_is_listed_and_removed(
    open_closed: OpenHere, kind: Engine, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = open_closed()
    kind.remove(box.id)
    left = ours(kind, workspace)
    assert len(left) == 4
    listed = {item.id: item for item in leftovers(kind)}
    assert {(listed[name].kind, listed[name].expired) for name in left} == {("volume", False)}
    assert {listed[name].run for name in left} == {str(workspace)}
    prune(kind)
    assert ours(kind, workspace) == left
    later = time.time() + 10 * 24 * 3600
    monkeypatch.setattr("sandbox.prune.time.time", lambda: later)
    expired = tuple(item for item in leftovers(kind) if item.id in left and item.expired)
    monkeypatch.setattr("sandbox.prune.leftovers", lambda _, **__: expired)
    assert {item.id for item in prune(kind)} == left
    assert not ours(kind, workspace)


def test_a_volume_in_use_is_not_taken_away(
    open_closed: OpenHere, kind: Engine, workspace: Path
) -> None:
    box = open_closed()
    for name in ours(kind, workspace):
        with pytest.raises(EngineError):
            kind.remove_volume(name)
    assert box.run("echo x > x; cat x").stdout == b"x\n"


def test_an_interrupted_opening_leaves_nothing(
    open_closed: OpenHere, kind: Engine, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(container: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_closed()
    assert not ours(kind, workspace)


class EngineWithoutOverlays(Engine):
    """An engine whose volumes lie where the kernel takes no upper directory of an overlay."""

    def create_volume(self, name: str, labels: Mapping[str, str]) -> VolumeInfo:
        return replace(super().create_volume(name, labels), mountpoint="/proc")


class EngineWithoutVolumes(Engine):
    """An engine that makes no volumes."""

    def create_volume(self, name: str, labels: Mapping[str, str]) -> VolumeInfo:
        raise VolumeRefused("making a volume: not implemented")


@pytest.mark.parametrize("lacking", [EngineWithoutOverlays, EngineWithoutVolumes])
def test_an_engine_that_can_not_mount_it_is_an_error_unless_the_operator_says_otherwise(
    lacking: type[Engine], image: str, workspace: Path
) -> None:
    engine = lacking.connect(os.environ)
    with pytest.raises(KernelUnsupported, match="kernel-policy=prefer") as refused:
        Sandbox.open(
            workspace=workspace,
            policy=CLOSED,
            image=image,
            engine=engine,
            run_id=str(workspace),
        )
    assert len(str(refused.value).splitlines()) <= 2
    with Sandbox.open(
        workspace=workspace,
        policy=CLOSED,
        image=image,
        engine=engine,
        run_id=str(workspace),
        kernel_policy=KernelPolicy.PREFER,
    ) as box:
        assert box.seal.noexec == ()
        assert any("execve only" in note for note in box.seal.notes)
        assert box.run("cp /bin/true t; ./t").exit_code == 126
    assert not ours(engine, workspace)


def test_output_that_does_not_fit_into_tmp_is_said_and_hangs_nothing(
    image: str, engine: Engine, workspace: Path
) -> None:
    limits = replace(CLOSED.limits, memory_bytes=128 << 20)
    with Sandbox.open(
        workspace=workspace, policy=replace(CLOSED, limits=limits), image=image, engine=engine
    ) as box:
        box.run("head -c 25000000 /dev/zero > /tmp/fill")
        result = box.run("seq 1 3000000", timeout_s=60)
        assert (result.ending, result.exit_code) == (Ending.EXITED, 0)
        assert 0 < result.out.spilled_bytes < result.out.total_bytes
        assert b"bytes left out" in result.stdout
        box.run("head -c 100000000 /dev/zero > /tmp/fill")
        result = box.run("seq 1 3000000", timeout_s=60)
        assert (result.ending, result.exit_code) == (Ending.EXITED, 0)
        assert result.out.total_bytes > 20_000_000
        assert box.run("rm /tmp/fill; echo alive").stdout == b"alive\n"


def test_files_in_memory_can_not_take_all_of_it(
    image: str, engine: Engine, workspace: Path
) -> None:
    limits = replace(CLOSED.limits, memory_bytes=256 << 20)
    with Sandbox.open(
        workspace=workspace, policy=replace(CLOSED, limits=limits), image=image, engine=engine
    ) as box:
        full = box.run("for d in /tmp /var/tmp; do head -c 500000000 /dev/zero > $d/fill; done")
        assert b"No space left" in full.stderr
        assert full.ending is Ending.EXITED
        assert box.run("python3 -c 'print(len(bytearray(64 << 20)))'").stdout == b"67108864\n"


def test_where_files_may_be_executed_nothing_is_mounted(
    image: str, engine: Engine, workspace: Path
) -> None:
    with Sandbox.open(
        workspace=workspace,
        policy=load("default"),
        image=image,
        engine=engine,
        run_id=str(workspace),
    ) as box:
        described = engine.inspect(box.id)
        assert [row["Destination"] for row in described["Mounts"]] == ["/etc/hosts"]
        assert not described["HostConfig"].get("Tmpfs")
        assert not ours(engine, workspace)
        assert box.seal.noexec == ()
        assert not any("exec_workspace" in note for note in box.seal.notes)


def test_a_shared_volume_that_went_away_is_made_again(
    open_closed: OpenHere, kind: Engine, shared: Path
) -> None:
    """Found by a name in a file of the host, which may be wrong, or cut short."""
    made = set()
    for content in ('{"volume": "moonpool-none"}', "", "[]", '{"volume": 1}'):
        box = open_closed()
        assert box.run("ls ~/.bashrc").stdout == b"/home/agent/.bashrc\n"
        box.close()
        for file in shared.glob("*.json"):
            made.add(str(published(kind.cache, file.stem)))
            file.write_text(content)
    assert len(made) >= 4
    later = {row.name: row for row in kind.volumes(LABEL_LOWER) if row.name in made}
    assert later.keys() == made
    for name in made:
        kind.remove_volume(name)


def test_a_volume_that_is_being_filled_is_not_removed(
    open_closed: OpenHere, kind: Engine, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_closed().close()
    (name, *_) = (str(published(kind.cache, file.stem)) for file in shared.glob("*.json"))
    monkeypatch.setattr("sandbox.opening.stored.published", lambda *_: None)
    (item,) = (item for item in leftovers(kind) if item.id == name)
    assert not item.expired
    later = time.time() + 2 * 3600
    monkeypatch.setattr("sandbox.prune.time.time", lambda: later)
    (item,) = (item for item in leftovers(kind) if item.id == name)
    assert item.expired


def test_what_the_policy_lets_be_written_beside_the_mounts_is_said(open_closed: OpenHere) -> None:
    paths = replace(CLOSED.paths, write=(".", "/tmp/x", "/usr/local/share"))
    notes = [n for n in open_closed(replace(CLOSED, paths=paths)).seal.notes if "noexec" in n]
    assert [note.split()[0] for note in notes] == ["/usr/local/share"]
