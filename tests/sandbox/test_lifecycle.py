"""Opening, dying, reviving, exporting and closing, with the real engine."""

import os
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from images.build import ensure
from policies.policy import History, Policy
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_RUN
from sandbox.errors import (
    EngineError,
    ImageUnusable,
    PatchError,
    SandboxError,
    SandboxLost,
    WorkspaceError,
)
from sandbox.git.manifest import EXECUTABLE, SYMLINK
from sandbox.patch.values import ChangeKind
from sandbox.results import Ending
from sandbox.sandbox import Sandbox
from waiting import until


def git(workspace: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    done = subprocess.run(command, cwd=workspace, check=True, capture_output=True, text=True)
    return done.stdout


def standing(engine: Engine, box: Sandbox) -> bool:
    return box.id in [row.id for row in engine.containers("moonpool.managed")]


def test_close_leaves_no_container(open_box: OpenBox, engine: Engine) -> None:
    box = open_box()
    assert standing(engine, box)
    box.close()
    assert not standing(engine, box)


def test_the_second_open_of_a_tree_reuses_its_snapshot(
    open_box: OpenBox, workspace: Path, engine: Engine
) -> None:
    # A tree that no other test copies at this moment.
    (workspace / "a").write_text(str(workspace))
    first = engine.inspect(open_box().id)["Image"]
    assert engine.inspect(open_box().id)["Image"] == first
    (workspace / "a").write_text("two")
    box = open_box()
    assert engine.inspect(box.id)["Image"] != first
    assert box.read_file("a") == b"two"


def test_of_a_workspace_that_changed_only_the_new_copy_has_a_container(
    open_box: OpenBox, workspace: Path, engine: Engine
) -> None:
    """One of the old copy was started while the workspace was looked at."""
    (workspace / "a").write_text(str(workspace))
    open_box().close()
    (workspace / "a").write_text("two")
    run_id = f"changed-{workspace.stat().st_ino}"
    box = open_box(run_id=run_id)
    assert [row.id for row in engine.containers(f"{LABEL_RUN}={run_id}")] == [box.id]


def test_a_change_within_one_tick_of_the_clock_is_seen(open_box: OpenBox, workspace: Path) -> None:
    file = workspace / "a"
    file.write_bytes(b"one")
    before = file.stat()
    assert open_box().read_file("a") == b"one"
    # Same size, and the modification time put back: only the content tells.
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert open_box().read_file("a") == b"two"


def test_the_copy_has_modes_links_and_odd_names(open_box: OpenBox, workspace: Path) -> None:
    (workspace / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (workspace / "run.sh").chmod(0o755)
    (workspace / "to").symlink_to("run.sh")
    (workspace / "loop").symlink_to("loop")
    long = "x" * 200
    (workspace / long).mkdir()
    (workspace / long / ("y" * 200)).write_text("deep")
    (workspace / os.fsdecode(b"latin-\xe9")).write_bytes(b"odd")
    box = open_box()
    assert box.run("./run.sh; readlink to loop").stdout == b"ran\nrun.sh\nloop\n"
    assert box.read_file(f"{long}/{'y' * 200}") == b"deep"
    assert box.read_file(os.fsdecode(b"latin-\xe9")) == b"odd"
    assert box.manifest.entries[b"run.sh"].mode == EXECUTABLE
    assert box.manifest.entries[b"loop"].mode == SYMLINK


def test_what_is_not_copied_is_said(open_box: OpenBox, workspace: Path) -> None:
    (workspace / ".env").write_text("SECRET=1")
    os.mkfifo(workspace / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(workspace)  # a socket's path is short
        try:
            listener.bind("sock")
        finally:
            os.chdir(here)
        box = open_box()
    reasons = {item.path: item.reason for item in box.left_behind}
    assert reasons.keys() == {b".env", b"pipe", b"sock"}
    assert "policy" in reasons[b".env"]
    assert box.run("ls -A").stdout == b""


class EngineOfAnotherKind(Engine):
    """An engine that keeps its images with containerd, so that layers can't be loaded alone."""

    def stores_layers(self) -> bool:
        return False


class EngineThatLostLayers(Engine):
    """An engine from which the layers went away that the copy was to stand on."""

    def load(self, tar: Iterable[bytes]) -> None:
        next(iter(tar))
        raise EngineError("no such file or directory")


@pytest.mark.parametrize("kind", [EngineOfAnotherKind, EngineThatLostLayers])
def test_an_engine_that_takes_no_single_layers_gets_the_copy_through_a_container(
    image: str, workspace: Path, default_policy: Policy, kind: type[Engine]
) -> None:
    (workspace / "a").write_text(os.urandom(8).hex())
    (workspace / "x").mkdir()
    (workspace / "x/run").write_text("#!/bin/sh\n")
    (workspace / "x/run").chmod(0o755)
    other = kind.connect(os.environ)
    with Sandbox.open(workspace=workspace, policy=default_policy, image=image, engine=other) as box:
        assert box.read_file("a") == (workspace / "a").read_bytes()
        assert box.run("x/run && echo > x/new").exit_code == 0
        assert [change.path for change in box.export().changes] == [b"x/new"]


def test_names_that_mean_a_removal_in_a_layer_remove_nothing(
    open_box: OpenBox, workspace: Path
) -> None:
    for name in ("kept", ".wh.kept", ".wh..wh..opq"):
        (workspace / name).write_text(name)
    box = open_box()
    assert box.run("ls -A").stdout == b"kept\n"
    assert {item.path for item in box.left_behind} == {b".wh.kept", b".wh..wh..opq"}
    # Made in the container they are names like any other.
    box.run("echo x > .wh.new")
    assert [change.path for change in box.export().changes] == [b".wh.new"]


def test_a_path_that_can_not_be_made_writable_is_said(
    open_box: OpenBox, workspace: Path, default_policy: Policy
) -> None:
    (workspace / "src").symlink_to("elsewhere")
    policy = replace(
        default_policy, paths=replace(default_policy.paths, write=("src", "none", "kept"))
    )
    (workspace / "kept").mkdir()
    notes = sorted(note for note in open_box(policy).seal.notes if "be written" in note)
    assert [note.split()[0] for note in notes] == ["/workspace/none", "/workspace/src"]


def test_a_workspace_over_the_limit_is_refused_before_it_is_copied(
    open_box: OpenBox, workspace: Path, default_policy: Policy
) -> None:
    (workspace / "big").write_bytes(bytes(5000))
    policy = replace(default_policy, workspace=replace(default_policy.workspace, max_bytes=4999))
    with pytest.raises(WorkspaceError, match="max_bytes"):
        open_box(policy)


def test_a_workspace_that_is_not_there_is_a_clear_error(
    engine: Engine, image: str, tmp_path: Path, default_policy: Policy
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path, complaint in ((tmp_path / "none", "does not exist"), (file, "not a directory")):
        with pytest.raises(WorkspaceError, match=complaint):
            Sandbox.open(workspace=path, policy=default_policy, image=image, engine=engine)


@pytest.mark.slow
def test_an_image_without_python_is_worked_in(
    engine: Engine, image: str, workspace: Path, default_policy: Policy
) -> None:
    assert image  # on top of the base of which the recipe's image was made
    base = ensure(engine, "debian:bookworm-slim", on_progress=lambda _: None)
    with Sandbox.open(workspace=workspace, policy=default_policy, image=base, engine=engine) as box:
        assert box.run("git --version && cd / && pwd").stdout.endswith(b"\n/\n")
        assert box.run("python3 --version").exit_code == 127


def test_a_missing_image_says_how_to_build_it(
    engine: Engine, workspace: Path, default_policy: Policy
) -> None:
    with pytest.raises(ImageUnusable, match="moonpool image build"):
        Sandbox.open(
            workspace=workspace, policy=default_policy, image="moonpool/none:none", engine=engine
        )


@pytest.mark.parametrize(
    ("history", "commits"), [(History.FULL, 2), (History.HEAD, 1), (History.NONE, 0)]
)
def test_history_goes_in_as_the_policy_says(
    open_box: OpenBox, workspace: Path, default_policy: Policy, history: History, commits: int
) -> None:
    git(workspace, "init", "-q")
    for number in (1, 2):
        (workspace / "a").write_text(str(number))
        git(workspace, "add", "a")
        git(workspace, "commit", "-qm", f"commit {number}")
    git(workspace, "remote", "add", "origin", "https://user:token@example.org/x.git")
    policy = replace(default_policy, workspace=replace(default_policy.workspace, history=history))
    box = open_box(policy)
    log = box.run("git log --oneline 2>/dev/null; git status --short 2>/dev/null").stdout
    assert len(log.splitlines()) == commits
    assert b"token" not in box.run("grep -r token .git").stdout
    if history is History.HEAD:
        first = git(workspace, "rev-list", "--max-parents=0", "HEAD").strip()
        assert box.run(f"git cat-file -e {first}").exit_code != 0
    assert box.export().changes == ()


def test_the_patch_is_what_stands_in_the_container(open_box: OpenBox, workspace: Path) -> None:
    (workspace / "edit").write_text("one\ntwo\n")
    (workspace / "gone").mkdir()
    (workspace / "gone/a").write_text("a")
    (workspace / "link").symlink_to("edit")
    (workspace / "mode").write_text("#!/bin/sh\n")
    box = open_box()
    box.run(
        "echo three >> edit; rm -r gone; ln -sf mode link; chmod +x mode; "
        "printf 'no newline' > new; mkdir -p deep/er; head -c 50 /dev/urandom > deep/er/bin"
    )
    patch = box.export()
    kinds = {change.path: change.kind for change in patch.changes}
    assert kinds == {
        b"edit": ChangeKind.MODIFIED,
        b"gone/a": ChangeKind.DELETED,
        b"link": ChangeKind.MODIFIED,
        b"mode": ChangeKind.MODIFIED,
        b"new": ChangeKind.ADDED,
        b"deep/er/bin": ChangeKind.ADDED,
    }
    fresh = box.fresh()
    try:
        fresh.apply(patch)
        assert fresh.export().tree == patch.tree
        for name in ("edit", "new", "deep/er/bin", "mode"):
            assert fresh.read_file(name) == box.read_file(name)
        assert fresh.run("test -x mode && readlink link && ! test -e gone").stdout == b"mode\n"
    finally:
        fresh.close()
    # And plain git takes it in the tree that it was made from.
    git(workspace, "init", "-q")
    subprocess.run(["git", "apply", "--binary", "-"], input=patch.data, cwd=workspace, check=True)
    assert (workspace / "deep/er/bin").read_bytes() == box.read_file("deep/er/bin")


def test_a_command_in_a_fresh_one_may_last_for_as_long_as_a_run(
    open_box: OpenBox, default_policy: Policy
) -> None:
    """A suite is verified there, which takes longer than what an agent may run."""
    short = replace(default_policy.limits, command_timeout_s=0.5)
    box = open_box(replace(default_policy, limits=short))
    assert box.run("sleep 1").ending is Ending.TIMED_OUT
    with box.fresh() as fresh:
        assert fresh.run("sleep 1", timeout_s=30).exit_code == 0


def test_directories_moved_over_one_another_are_all_in_the_patch(
    open_box: OpenBox, workspace: Path
) -> None:
    for name in ("a", "b"):
        (workspace / name / "sub").mkdir(parents=True)
        (workspace / name / "sub/x").write_text(f"from {name}\n")
        (workspace / name / "same").write_text("same\n")
    box = open_box()
    assert box.run("rm -r b; mv a b; mkdir new; mv b/sub new/").exit_code == 0
    patch = box.export()
    fresh = box.fresh()
    try:
        fresh.apply(patch)
        listed = "find . -type f | sort | xargs grep ."
        assert fresh.run(listed).stdout == box.run(listed).stdout
        assert b"new/sub/x:from a" in box.run(listed).stdout
    finally:
        fresh.close()


def test_the_patch_is_the_same_however_the_agent_treats_git(
    open_box: OpenBox, workspace: Path
) -> None:
    git(workspace, "init", "-q")
    (workspace / "a").write_text("1")
    git(workspace, "add", "a")
    git(workspace, "commit", "-qm", "one")
    trees = set()
    habits = ("true", "git add -A; git commit -qm x", "rm -rf .git", "git stash -q; git stash pop")
    for habit in habits:
        box = open_box()
        box.run(f"echo 2 > a; echo n > new; {habit}")
        patch = box.export()
        assert {change.path for change in patch.changes} == {b"a", b"new"}
        trees.add(patch.tree)
        box.close()
    assert len(trees) == 1


def test_ignored_files_are_left_out_by_the_baselines_rules_and_listed(
    open_box: OpenBox, workspace: Path
) -> None:
    (workspace / ".gitignore").write_text("*.log\n")
    box = open_box()
    box.run("echo x > a.log; echo '!*.log' > .gitignore")
    box.run("mkdir -p .pytest_cache; echo > .pytest_cache/x")
    patch = box.export()
    assert [change.path for change in patch.changes] == [b".gitignore"]
    assert {item.path for item in patch.left_out} == {b"a.log", b".pytest_cache/x"}


def test_a_file_the_host_changed_meanwhile_does_not_spoil_the_patch(
    open_box: OpenBox, workspace: Path
) -> None:
    (workspace / "a").write_text("one\n")
    box = open_box()
    box.run("echo two >> a")
    (workspace / "a").write_text("other\n")
    assert b" one\n+two\n" in box.export().data


def test_a_dead_guest_is_started_again_with_files_as_they_were(
    box: Sandbox, engine: Engine
) -> None:
    box.run("echo kept > file; cd /tmp")
    engine.kill(box.id)
    result = box.run("cat file")
    assert result.ending is Ending.LOST
    assert box.run("cat file").stdout == b"kept\n"
    assert [change.path for change in box.export().changes] == [b"file"]


def test_a_container_that_dies_again_and_again_still_gives_its_patch(
    box: Sandbox, engine: Engine
) -> None:
    box.run("echo kept > file")
    for _ in range(3):
        engine.kill(box.id)
        box.run("true")
    engine.kill(box.id)
    with pytest.raises(SandboxLost):
        box.run("true")
    assert [change.path for change in box.export().changes] == [b"file"]


def test_a_removed_container_is_a_clear_error(box: Sandbox, engine: Engine) -> None:
    engine.remove(box.id)
    with pytest.raises(SandboxLost, match="container"):
        box.run("true")
    with pytest.raises(SandboxLost):
        box.export()


def test_out_of_memory_ends_the_command_and_not_the_sandbox(
    open_box: OpenBox, default_policy: Policy
) -> None:
    policy = replace(default_policy, limits=replace(default_policy.limits, memory_bytes=128 << 20))
    box = open_box(policy)
    result = box.run("python3 -c 'x = bytearray(1 << 30)'")
    assert result.ending is Ending.OUT_OF_MEMORY
    assert box.run("echo alive").stdout == b"alive\n"


def test_a_fork_bomb_ends_with_its_time(open_box: OpenBox, default_policy: Policy) -> None:
    policy = replace(default_policy, limits=replace(default_policy.limits, pids=64))
    box = open_box(policy)
    result = box.run("b() { b | b & }; b; sleep 1000", timeout_s=2)
    assert result.exit_code != 0
    assert box.run("echo alive").stdout == b"alive\n"


def test_a_disk_filler_is_ended_and_the_sandbox_lives(
    open_box: OpenBox, default_policy: Policy
) -> None:
    policy = replace(default_policy, limits=replace(default_policy.limits, disk_bytes=64 << 20))
    box = open_box(policy)
    filler = "i=0; while true; do head -c 8000000 /dev/zero > f$i || sleep 1; i=$((i+1)); done"
    result = box.run(filler, timeout_s=60)
    assert result.ending is Ending.OUT_OF_DISK
    box.run("rm -f f*")
    assert box.run("echo alive").stdout == b"alive\n"


def test_one_file_can_not_grow_past_the_disk_limit(
    open_box: OpenBox, default_policy: Policy
) -> None:
    policy = replace(default_policy, limits=replace(default_policy.limits, disk_bytes=16 << 20))
    box = open_box(policy)
    assert box.run("head -c 100000000 /dev/zero > f").exit_code != 0
    assert int(box.run("stat -c %s f").stdout) <= 16 << 20


def test_a_full_disk_under_the_export_is_a_clear_error(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    box.run("echo x > new")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(PatchError, match="TMPDIR"):
        box.export()
    monkeypatch.undo()
    assert [change.path for change in box.export().changes] == [b"new"]


def test_a_cache_that_can_not_be_written_is_a_clear_error(
    open_box: OpenBox,
    engine: Engine,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(engine, "cache", tmp_path / "file")
    (workspace / "a").write_text("a")
    with pytest.raises(SandboxError, match="XDG_CACHE_HOME"):
        open_box()


def test_a_preview_is_the_patch_of_now_and_what_runs_goes_on(
    open_box: OpenBox, workspace: Path
) -> None:
    (workspace / "a").write_text("one\n")
    box = open_box()
    box.run("cd /tmp; export KEPT=1; echo two >> /workspace/a")
    ticking = box.start("while :; do echo >> /workspace/ticks; sleep 0.01; done")
    previews = [box.preview() for _ in range(3)]
    assert all(b"+two" in patch.data for patch in previews)
    assert box.poll(ticking).exit_code is None, "it goes on"
    one = until(lambda: box.run("cat /workspace/ticks").stdout)
    until(lambda: box.read_file("ticks") != one)
    assert box.run('echo "$PWD $KEPT"').stdout == b"/tmp 1\n"
    # The export ends what the previews let live.
    assert b"+two" in box.export().data
    assert box.poll(ticking).exit_code is not None


def test_what_ends_in_a_preview_is_reported_after_it(open_box: OpenBox) -> None:
    box = open_box()
    short = [box.start(f"sleep 0.{n}; echo x > {n}; setsid sleep 60 &") for n in range(1, 5)]

    def over() -> bool:
        box.preview()
        return all(box.poll(one).exit_code is not None for one in short)

    until(over)
    assert {change.path for change in box.preview().changes} == {b"1", b"2", b"3", b"4"}


def test_a_sandbox_that_was_broken_off_comes_back_with_its_files(
    open_box: OpenBox,
) -> None:
    box = open_box()
    box.run("echo x > made; cd /tmp")
    assert box.rouse() is False
    for _ in range(5):  # more often than a guest may die of itself
        box.break_off()
        assert box.rouse() is True
    assert box.run("cat made; pwd").stdout == b"x\n/workspace\n"


def test_a_guest_past_its_lifetime_is_roused(open_box: OpenBox, engine: Engine) -> None:
    box = open_box()
    box.write_file("made", b"x\n")
    engine.kill(box.id)
    engine.wait(box.id, timeout_s=20)
    assert box.rouse() is True
    assert box.read_file("made") == b"x\n"
