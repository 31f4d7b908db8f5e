"""What a sandbox sees of a workspace whose copy is a full one and a layer of what changed since."""

import io
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from generators.file_trees import user_git
from policies.loading import load
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_LAYERS
from sandbox.sandbox import Sandbox

CLOSED = replace(load("default"), exec_workspace=False)
OPEN = load("default")
Content = dict[str, tuple[object, ...]]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine, image: str) -> Path:
    """Nothing of what other tests copied is remembered."""
    monkeypatch.setattr(engine, "cache", tmp_path / "cache/moonpool")
    return tmp_path / "cache"


def layers(engine: Engine, box: Sandbox) -> str:
    found = engine.image(engine.inspect(box.id)["Config"]["Image"])
    assert found is not None
    return found.labels[LABEL_LAYERS]


def standing(engine: Engine, box: Sandbox) -> Content:
    """Byte for byte, mode for mode, as the engine has it. Times are no part of what a copy is: one
    of equal content, a moment older, may serve."""
    data = b"".join(engine.get_archive(box.id, "/workspace"))
    found: Content = {}
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            content = file.read() if file is not None else b""
            found[member.name.rstrip("/")] = (
                member.type, member.mode, member.uid, member.gid, member.linkname, content,
            )  # fmt: skip
    return found


def seen(box: Sandbox) -> bytes:
    """As a command in it sees it."""
    said = box.run("find . -printf '%p %y %m %l\\n' | sort; find . -type f | sort | xargs md5sum")
    assert said.exit_code == 0, said
    return said.stdout


def fill(workspace: Path) -> None:
    for number in range(60):
        file = workspace / f"d{number % 7}/s{number % 3}/f{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n" * 400)
    (workspace / "ballast").write_bytes(bytes(3 << 20))


def change(chooser: random.Random, workspace: Path) -> None:
    """Something that happens to a workspace between two runs."""
    paths = [path for path in sorted(workspace.rglob("*")) if path.name != "ballast"]
    path = chooser.choice(paths)
    new = path.parent / f"n{chooser.randrange(1000)}"
    if new.exists() or new.is_symlink():
        return
    match chooser.randrange(9):
        case 0 if path.is_file():
            path.write_text(str(chooser.random()))
        case 1:
            path.rename(new)
        case 2 if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            path.write_text("was a folder\n")
        case 3 if path.is_file():
            path.unlink()
            path.mkdir()
            (path / "inside").write_text("was a file\n")
        case 4 if not path.is_symlink():
            path.chmod(chooser.choice([0o755, 0o750, 0o700, 0o711]))
        case 5:
            new.symlink_to(path.name)
        case 6 if path.is_file():
            os.link(path, new)
        case 7 if path.is_file() or path.is_symlink():
            path.unlink()
        case _:
            new.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("policy", [OPEN, CLOSED], ids=["open", "closed"])
def test_a_chain_of_changes_gives_what_a_copy_of_all_gives(
    policy: Policy, engine: Engine, workspace: Path, open_box: OpenBox, own_cache: Path
) -> None:
    remembered = own_cache / "moonpool/workspaces"
    fill(workspace)
    open_box(policy).close()
    chooser = random.Random(7)
    for turn in range(4):
        for _ in range(9):
            change(chooser, workspace)
        box = open_box(policy)
        assert layers(engine, box) == "2"
        aside = remembered.rename(own_cache / f"aside{turn}")
        whole = open_box(policy)
        assert layers(engine, whole) == "1"
        shutil.rmtree(remembered)
        aside.rename(remembered)
        assert box.manifest == whole.manifest
        assert seen(box) == seen(whole)
        if policy is OPEN:
            assert standing(engine, box) == standing(engine, whole)
        box.write_file("ballast", b"x\n")
        patch = box.export()
        assert [item.path for item in patch.changes] == [b"ballast"]
        whole.close()
        box.close()


@pytest.mark.parametrize("policy", [OPEN, CLOSED], ids=["open", "closed"])
def test_what_is_deleted_or_left_out_now_is_nowhere_inside(
    policy: Policy, engine: Engine, workspace: Path, open_box: OpenBox
) -> None:
    secret = os.urandom(12).hex()
    fill(workspace)
    for name in ("gone.txt", "folder/gone.txt", "excluded.txt", "becomes/a.txt", ".env"):
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text(f"{secret} TOKEN=x\n")
    user_git(workspace, "init", "-q")
    user_git(workspace, "add", "-f", ".env")
    box = open_box(policy)
    assert secret.encode() in box.read_file(".env")
    (workspace / "gone.txt").unlink()
    shutil.rmtree(workspace / "folder")
    shutil.rmtree(workspace / "becomes")
    (workspace / "becomes").write_text("a file\n")
    user_git(workspace, "rm", "-q", "--cached", ".env")
    (workspace / "excluded.txt").unlink()
    box = open_box(policy)
    assert layers(engine, box) == "2"
    assert {item.path for item in box.left_behind} >= {b".env"}
    said = box.run(f"grep -rl {secret} /workspace /tmp /home /proc/self/cwd /moonpool 2>/dev/null")
    assert said.stdout == b""
    assert box.run("ls -A").stdout.split() == sorted(
        b".git ballast becomes d0 d1 d2 d3 d4 d5 d6".split()
    )
    assert secret.encode() not in b"".join(engine.get_archive(box.id, "/workspace"))


def test_other_rules_do_not_take_what_older_ones_let_in(
    engine: Engine, workspace: Path, open_box: OpenBox
) -> None:
    fill(workspace)
    (workspace / "private.txt").write_text("private\n")
    open_box()
    narrower = replace(OPEN, workspace=replace(OPEN.workspace, exclude=("private.txt",)))
    (workspace / "a").write_text("a\n")
    box = open_box(narrower)
    assert layers(engine, box) == "1"
    assert box.run("cat private.txt").exit_code == 1


def test_a_commit_between_two_runs_is_seen_inside_and_its_patch_is_right(
    engine: Engine, workspace: Path, open_box: OpenBox
) -> None:
    fill(workspace)
    (workspace / ".gitignore").write_text("*.log\n")
    user_git(workspace, "init", "-q")
    user_git(workspace, "add", "-A")
    name = ("-c", "user.name=t", "-c", "user.email=t@u")
    user_git(workspace, *name, "commit", "-qm", "first")
    open_box().close()
    (workspace / "new.txt").write_text("new\n")
    (workspace / "d1/s1/f1.txt").write_text("other\n")
    (workspace / ".gitignore").write_text("*.tmp\n")
    user_git(workspace, "add", "-A")
    user_git(workspace, *name, "commit", "-qm", "second")
    (workspace / "new.txt").write_text("uncommitted\n")
    box = open_box()
    assert layers(engine, box) == "2"
    assert box.run("git log --format=%s").stdout == b"second\nfirst\n"
    assert box.run("git status --porcelain").stdout == b" M new.txt\n"
    assert box.run("git fsck --full").exit_code == 0
    box.write_file("x.tmp", b"ignored\n")
    box.write_file("x.log", b"not any more\n")
    patch = box.export()
    assert [item.path for item in patch.changes] == [b"x.log"]
    assert box.manifest.tracked is not None
    assert b"new.txt" in box.manifest.tracked
    assert box.manifest.stored.keys() == {b"new.txt"}


def lose_the_record(engine: Engine, cache: Path, box: Sandbox) -> None:
    for file in cache.rglob("*.full"):
        file.write_bytes(b"torn")


def lose_the_manifest(engine: Engine, cache: Path, box: Sandbox) -> None:
    for file in cache.rglob("manifests/*"):
        file.unlink()


def lose_the_image(engine: Engine, cache: Path, box: Sandbox) -> None:
    image = engine.inspect(box.id)["Config"]["Image"]
    box.close()
    engine.remove_image(image)


@pytest.mark.slow
@pytest.mark.parametrize("lose", [lose_the_record, lose_the_manifest, lose_the_image])
def test_without_the_last_full_copy_another_one_is_made(
    lose: Callable[[Engine, Path, Sandbox], None],
    engine: Engine,
    workspace: Path,
    open_box: OpenBox,
    own_cache: Path,
) -> None:
    fill(workspace)
    (workspace / "salt").write_text(os.urandom(8).hex())
    lose(engine, own_cache, open_box())
    (workspace / "a").write_text("a\n")
    box = open_box()
    assert layers(engine, box) == "1"
    assert box.read_file("a") == b"a\n"
    (workspace / "a").write_text("b\n")
    box = open_box()
    assert layers(engine, box) == "2"
    assert box.read_file("a") == b"b\n"


class EngineWithoutLayers(Engine):
    """An engine that keeps its images with containerd: no layer can be loaded alone."""

    def stores_layers(self) -> bool:
        return False

    def workspace_layers(self, ref: str) -> tuple[str, ...]:
        return ()


@pytest.mark.slow
@pytest.mark.parametrize("policy", [OPEN, CLOSED], ids=["open", "closed"])
def test_an_engine_that_takes_no_single_layer_gets_the_difference_through_a_container(
    policy: Policy, image: str, workspace: Path
) -> None:
    engine = EngineWithoutLayers.connect(os.environ)

    def opened() -> Sandbox:
        return Sandbox.open(workspace=workspace, policy=policy, image=image, engine=engine)

    fill(workspace)
    opened().close()
    shutil.rmtree(workspace / "d2/s1")
    (workspace / "d1/s1/f1.txt").write_text("other\n")
    with opened() as box:
        # Only a layer can take away.
        assert layers(engine, box) == "1"
        assert not box.run("ls d2/s1").stdout
    (workspace / "d1/s1/f1.txt").write_text("another\n")
    (workspace / "new").mkdir()
    (workspace / "new/a").write_text("a\n")
    with opened() as box:
        assert layers(engine, box) == "2"
        assert box.read_file("d1/s1/f1.txt") == b"another\n"
        assert box.read_file("new/a") == b"a\n"
        assert box.run("touch new/b && stat -c %U new").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("policy", [OPEN, CLOSED], ids=["open", "closed"])
def test_what_prepare_makes_stands_on_a_copy_of_either_kind(
    policy: Policy, engine: Engine, workspace: Path, open_box: OpenBox
) -> None:
    policy = replace(policy, setup=replace(policy.setup, prepare=("touch made",)))
    fill(workspace)
    for number in range(2):
        (workspace / "a").write_text(f"{number}\n")
        box = open_box(policy)
        assert box.read_file("a") == b"%d\n" % number
        assert box.read_file("made") == b""
        assert len(box.read_file("ballast")) == 3 << 20
