"""A patch on a new branch: exactly the commit it should be, and nothing else touched or run."""

import os
import random
import zlib
from pathlib import Path

import pytest

from generators.file_trees import (
    World,
    entries,
    file,
    link,
    patch_between,
    program,
    read_world,
    user_git,
    write_world,
)
from sandbox.apply import repo_objects
from sandbox.apply.branch import BranchReport, branch_patch
from sandbox.apply.repo_objects import Objects
from sandbox.apply.target import opened
from sandbox.errors import PatchError
from sandbox.git.apply import AppliedAlready
from sandbox.git.store import Store
from sandbox.patch import baseline

OLD: World = {
    b"a": file(b"".join(b"line %d\n" % number for number in range(30))),
    b"deep/er/b": file(b"b\n"),
    b"deep/c": program(),
    b"l": link(b"a"),
    b"gone/x": file(b"x\n"),
    b"kind": file(b"was a file\n"),
}
NEW: World = {
    b"a": file(b"".join(b"line %d\n" % number for number in range(1, 31))),
    b"deep/er/b": program(b"b\n"),
    b"deep/c": program(),
    b"l": link(b"deep/c"),
    b"kind/of": file(b"now a folder\n"),
    b"caf\xe9 \xf0\x9f/new": file(b"\0\1\2"),
}
ME = ("-c", "user.name=me", "-c", "user.email=me@example.org")


def repository(target: Path, world: World, *, pack: bool = False) -> str:
    """A repository with these files committed; gives the commit."""
    write_world(target, world)
    user_git(target, "init", "-q", "-b", "main")
    user_git(target, "add", "-A", "-f")
    user_git(target, *ME, "commit", "-q", "-m", "one")
    if pack:
        user_git(target, "gc", "-q")
        assert not list((target / ".git/refs/heads").iterdir())
    return user_git(target, "rev-parse", "HEAD").decode().strip()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def branched(tmp_path: Path, target: Path, *, old: World = OLD, new: World = NEW) -> BranchReport:
    patch = patch_between(Store(tmp_path / "store"), old, new).data
    return branch_patch(patch, target, branch="fix/it", message="Fix it", check=False)


def checked_out(tmp_path: Path, target: Path, commit: str) -> World:
    user_git(target, "fsck", "--strict", commit)
    user_git(target, "worktree", "add", "-q", "--detach", str(tmp_path / "out"), commit)
    found = read_world(tmp_path / "out")
    found.pop(b".git")
    return found


@pytest.mark.parametrize("pack", [False, True], ids=["loose", "packed"])
def test_the_branch_is_head_and_the_patch(tmp_path: Path, target: Path, *, pack: bool) -> None:
    head = repository(target, OLD, pack=pack)
    before = read_world(target)
    report = branched(tmp_path, target)
    assert report.parent == head
    assert user_git(target, "rev-parse", "fix/it", "fix/it^").decode().split() == [
        report.commit,
        head,
    ]
    assert user_git(target, "log", "-1", "--format=%s", "fix/it") == b"Fix it\n"
    assert read_world(target) == before
    assert user_git(target, "status", "--porcelain") == b""
    assert user_git(target, "branch", "--show-current") == b"main\n"
    assert checked_out(tmp_path, target, report.commit) == NEW


def test_uncommitted_changes_stay_out_of_it(tmp_path: Path, target: Path) -> None:
    repository(target, OLD)
    (target / "deep/er/b").write_bytes(b"mine\n")
    (target / "untracked").write_bytes(b"mine\n")
    report = branched(tmp_path, target)
    assert (target / "deep/er/b").read_bytes() == b"mine\n"
    assert checked_out(tmp_path, target, report.commit) == NEW


def test_deltas_and_many_packs_are_read_as_git_reads_them(tmp_path: Path, target: Path) -> None:
    random_lines = random.Random(7)
    lines = [b"%d\n" % random_lines.getrandbits(200) for _ in range(400)]
    repository(target, {b"f": file(b"".join(lines))})
    for _ in range(30):
        lines[random_lines.randrange(400)] = b"%d\n" % random_lines.getrandbits(200)
        (target / "f").write_bytes(b"".join(lines))
        user_git(target, *ME, "commit", "-q", "-a", "-m", "next")
        if random_lines.random() < 0.3:
            user_git(target, "repack", "-q", "-d")
    for depth in ("-adf", "-ad"):
        user_git(target, "repack", "-q", depth, "--depth=50", "--window=50")
        with opened(target) as top, top.parent(b".git/HEAD") as (git, _):
            objects = Objects(type(top)(git))
            listed = user_git(
                target, "cat-file", "--batch-all-objects", "--batch-check", "--unordered"
            )
            for row in listed.splitlines():
                name, kind, _ = row.decode().split()
                expected = user_git(target, "cat-file", kind, name)
                assert objects.read(name, kind.encode()) == expected


def test_a_check_writes_nothing(tmp_path: Path, target: Path) -> None:
    repository(target, OLD)
    before = sorted(map(str, target.rglob("*")))
    patch = patch_between(Store(tmp_path / "store"), OLD, NEW).data
    report = branch_patch(patch, target, branch="x", message="m", check=True)
    assert report.changes
    assert sorted(map(str, target.rglob("*"))) == before


def test_what_head_lacks_is_merged_with_a_baseline(tmp_path: Path, target: Path) -> None:
    lines = [b"line %d\n" % number for number in range(20)]
    ours = b"".join([*lines[:7], b"ours\n", *lines[8:]])
    theirs = b"".join([*lines[:5], b"theirs\n", *lines[6:]])
    both = b"".join([*lines[:5], b"theirs\n", lines[6], b"ours\n", *lines[8:]])
    repository(target, {b"a": file(ours)})
    store = Store(tmp_path / "store")
    patch = patch_between(store, {b"a": file(b"".join(lines))}, {b"a": file(theirs)})
    with pytest.raises(PatchError, match="does not fit"):
        branch_patch(patch.data, target, branch="x", message="m", check=False)
    baseline.keep(tmp_path / "kept", store, entries(store, {b"a": file(b"".join(lines))}))
    report = branch_patch(
        patch.data,
        target,
        branch="x",
        message="m",
        check=False,
        baseline=baseline.load(tmp_path / "kept"),
    )
    assert checked_out(tmp_path, target, report.commit) == {b"a": file(both)}


def test_what_head_has_already_makes_no_branch(tmp_path: Path, target: Path) -> None:
    there = {b"a": file(b"2\n")}
    repository(target, there)
    store = Store(tmp_path / "store")
    patch = patch_between(store, {b"a": file(b"1\n")}, there)
    for check in (True, False):
        with pytest.raises(AppliedAlready, match="is there already"):
            branch_patch(patch.data, target, branch="x", message="m", check=check)
    assert not (target / ".git/refs/heads/x").exists()


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "fix",
        "fix/it/../x",
        "",
        "a b",
        "-x",
        "a..b",
        "x.lock",
        ".x",
        "a/",
        "@",
        "a\nb",
        "HEAD",
    ],
)
def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    repository(target, OLD)
    user_git(target, "branch", "fix/other")
    for packed in (False, True):
        if packed:
            user_git(target, "pack-refs", "--all")
        patch = patch_between(Store(tmp_path / f"store{packed}"), OLD, NEW).data
        refs = user_git(target, "for-each-ref")
        with pytest.raises(PatchError):
            branch_patch(patch, target, branch=name, message="m", check=False)
        assert user_git(target, "for-each-ref") == refs


def test_files_in_the_way_in_head_are_not_swept_aside(tmp_path: Path, target: Path) -> None:
    repository(target, {b"d/kept": file(b"kept\n"), b"f": file(b"kept\n")})
    for new in ({b"d": file(b"x\n")}, {b"f/x": file(b"x\n")}):
        patch = patch_between(Store(tmp_path / str(len(str(new)))), {}, new).data
        with pytest.raises(PatchError):
            branch_patch(patch, target, branch="x", message="m", check=False)
        assert b"x" not in user_git(target, "branch").split()


# -- hostile repositories ------------------------------------------------------------------------


def refused(tmp_path: Path, target: Path) -> str:
    with pytest.raises(PatchError) as error:
        branched(tmp_path, target)
    return str(error.value)


def test_a_worktree_or_a_plain_directory_is_refused(tmp_path: Path, target: Path) -> None:
    write_world(target, OLD)
    assert "not the top of a git repository" in refused(tmp_path, target)
    (target / ".git").write_text("gitdir: /somewhere")
    assert "leads to a repository elsewhere" in refused(tmp_path, target)


def test_nothing_is_written_through_links_in_dot_git(tmp_path: Path, target: Path) -> None:
    outside = tmp_path / "outside"
    for place in (".git/refs", ".git/refs/heads", ".git/refs/heads/fix"):
        directory = tmp_path / place.replace("/", "-")
        repository(directory, OLD)
        outside.mkdir(exist_ok=True)
        there = directory / place
        if there.exists():
            # HEAD must still be found, so that the writing is what is refused.
            user_git(directory, "pack-refs", "--all")
            for left in sorted(there.rglob("*"), reverse=True):
                left.rmdir() if left.is_dir() else left.unlink()
            there.rmdir()
        there.symlink_to(outside)
        patch = patch_between(Store(tmp_path / f"s{len(place)}"), OLD, NEW).data
        with pytest.raises(PatchError, match="link"):
            branch_patch(patch, directory, branch="fix/it", message="m", check=False)
        assert list(outside.iterdir()) == []


def test_objects_behind_a_link_are_neither_read_nor_written(tmp_path: Path, target: Path) -> None:
    repository(target, OLD)
    elsewhere = tmp_path / "elsewhere"
    (target / ".git/objects").rename(elsewhere)
    (target / ".git/objects").symlink_to(elsewhere)
    before = sorted(map(str, elsewhere.rglob("*")))
    assert "not in the target's own repository" in refused(tmp_path, target)
    assert sorted(map(str, elsewhere.rglob("*"))) == before


def test_an_object_that_is_not_what_its_name_says_is_refused(tmp_path: Path, target: Path) -> None:
    repository(target, OLD)
    blob = user_git(target, "rev-parse", "HEAD:a").decode().strip()
    loose = target / ".git/objects" / blob[:2] / blob[2:]
    loose.chmod(0o644)
    loose.write_bytes(zlib.compress(b"blob 5\0evil\n"))
    assert "is damaged" in refused(tmp_path, target)


def test_an_object_that_was_put_in_the_place_of_a_new_one_is_refused(
    tmp_path: Path, target: Path
) -> None:
    """git would show it for what the patch brings: it believes an object's name."""
    repository(target, OLD)
    content = NEW[b"caf\xe9 \xf0\x9f/new"][1]
    store = Store(tmp_path / "guess")
    blob = store.put((content,), len(content))
    loose = target / ".git/objects" / blob[:2] / blob[2:]
    loose.parent.mkdir(exist_ok=True)
    loose.write_bytes(zlib.compress(b"blob 5\0evil\n"))
    assert "is damaged" in refused(tmp_path, target)
    loose.unlink()
    # And in a pack, which git looks at first, under an index that gives it that name.
    evil = user_git(target, "hash-object", "-w", "--stdin", stdin=b"evil\n").strip()
    base = target / ".git/objects/pack/pack"
    name = user_git(target, "pack-objects", str(base), stdin=evil + b"\n").decode().strip()
    index = base.with_name(f"pack-{name}.idx")
    data = bytearray(index.read_bytes())
    for first in range(256):
        data[8 + 4 * first : 12 + 4 * first] = (first >= int(blob[:2], 16)).to_bytes(4, "big")
    data[8 + 1024 : 8 + 1044] = bytes.fromhex(blob)
    index.chmod(0o644)
    index.write_bytes(data)
    assert user_git(target, "cat-file", "blob", blob) == b"evil\n"
    assert "is damaged" in refused(tmp_path, target)


@pytest.mark.parametrize("head", [b"ref: refs/heads/a\0b\n", b"ref: refs/../HEAD", b"", b"\0" * 50])
def test_a_strange_head_is_an_error(tmp_path: Path, target: Path, head: bytes) -> None:
    repository(target, OLD)
    (target / ".git/HEAD").write_bytes(head)
    assert "HEAD of the target" in refused(tmp_path, target)


def test_a_branch_is_there_whole_or_not_at_all(tmp_path: Path, target: Path) -> None:
    """Under git's own lock: whoever holds it keeps it."""
    repository(target, OLD)
    heads = target / ".git/refs/heads"
    (heads / "fix").mkdir()
    (heads / "fix/it.lock").touch()
    with pytest.raises(PatchError, match="already"):
        branched(tmp_path, target)
    assert [path.name for path in (heads / "fix").iterdir()] == ["it.lock"]


def test_a_small_pack_can_not_ask_for_endless_work(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(target, OLD, pack=True)
    monkeypatch.setattr(repo_objects, "_WORK_LIMIT_BYTES", 100)
    assert "more work" in refused(tmp_path, target)


def test_a_bomb_is_not_unpacked(tmp_path: Path, target: Path) -> None:
    commit = repository(target, OLD)
    loose = target / ".git/objects" / commit[:2] / commit[2:]
    loose.chmod(0o644)
    loose.write_bytes(zlib.compress(b"commit 3000000000\0" + bytes(64 << 20)))
    assert "not as long as it says" in refused(tmp_path, target)


def test_random_damage_is_an_error_or_changes_nothing(tmp_path: Path, target: Path) -> None:
    """Bytes of packs and indexes overwritten: an error, or the right result; never a wrong one."""
    repository(target, OLD, pack=True)
    dice = random.Random(11)
    patch = patch_between(Store(tmp_path / "store"), OLD, NEW).data
    packs = sorted((target / ".git/objects/pack").iterdir())
    expected = branch_patch(patch, target, branch="x", message="m", check=True).changes
    outcomes = set()
    for _ in range(300):
        victim = dice.choice(packs)
        whole = victim.read_bytes()
        victim.chmod(0o644)
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        victim.write_bytes(damaged[: dice.choice([len(whole), dice.randrange(len(whole))])])
        try:
            assert branch_patch(patch, target, branch="x", message="m", check=True).changes == (
                expected
            )
            outcomes.add("same")
        except PatchError:
            outcomes.add("refused")
        victim.write_bytes(whole)
    assert outcomes == {"same", "refused"}


def test_configuration_and_hooks_run_nothing(tmp_path: Path, target: Path) -> None:
    repository(target, OLD)
    canary = tmp_path / "canary"
    with (target / ".git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = "touch {canary}; false"\n\thooksPath = hooks\n')
    for hook in ("reference-transaction", "post-commit", "pre-commit", "post-checkout"):
        script = target / ".git/hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ntouch {canary}\n")
        script.chmod(0o755)
    branched(tmp_path, target)
    assert (target / ".git/refs/heads/fix/it").exists()
    assert not os.path.lexists(canary)
