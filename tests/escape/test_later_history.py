"""Commits that come after the one that is worked on: by no way is one in the copy with `head`."""

from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from fakes.git import git
from policies.loading import load
from policies.policy import History, Policy

LATER = "LATER-7f3a"
"""Stands in every later content, and nowhere else."""
LOOK = r"""
import os, subprocess, sys, zlib
found = set()
def look(where, data):
    if b"LATER-" + b"7f3a" in data:
        found.add(where)
for folder, folders, files in os.walk("/workspace"):
    inside = "/.git/" in folder + "/"
    if inside and "objects" in folders and "HEAD" in files:
        git = ["git", "--git-dir", folder]
        words = ["cat-file", "--batch-all-objects", "--unordered", "--batch"]
        look(folder + " objects", subprocess.run([*git, *words], stdout=-1).stdout)
        words = ["fsck", "--lost-found", "--no-reflogs"]
        look(folder + " lost", subprocess.run([*git, *words], stdout=-1, stderr=-2).stdout)
    for name in files if inside else ():
        data = open(os.path.join(folder, name), "rb").read()
        look(os.path.join(folder, name), data)
        at = 0
        while (at := data.find(b"\x78", at)) >= 0:
            try:
                unpacked = zlib.decompressobj().decompress(data[at:])
                look(os.path.join(folder, name) + " packed", unpacked)
            except zlib.error:
                pass
            at += 1
print("\n".join(sorted(found)))
"""


def commit(directory: Path, name: str, text: str) -> str:
    (directory / name).write_text(text + "\n")
    git(directory, "add", "-f", name)
    git(directory, "commit", "-qm", text)
    return git(directory, "rev-parse", "HEAD")


def repository(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    git(directory, "init", "-qb", "main")
    commit(directory, "a.txt", "before")
    commit(directory, "a.txt", "now")
    return directory


def later(directory: Path) -> str:
    """A commit after the one that is checked out, which nothing names any more but what a test
    adds; and the objects of it, loose."""
    made = commit(directory, "a.txt", f"{LATER} fix")
    git(directory, "reset", "-q", "--hard", "HEAD~1")
    (directory / ".git/ORIG_HEAD").unlink()
    git(directory, "reflog", "expire", "--expire=now", "--all")
    return made


def with_everything(workspace: Path, tmp_path: Path) -> None:
    """Each way in which a repository can hold on to a later commit."""
    own = repository(workspace)
    made = later(own)
    kept = own / ".git"
    git(own, "branch", "fix", made)
    git(own, "tag", "-am", f"{LATER} tag", "v9", made)
    git(own, "notes", "add", "-m", f"{LATER} note", "HEAD")
    git(own, "update-ref", "refs/replace/" + git(own, "rev-parse", "HEAD~1"), made)
    git(own, "bundle", "create", "-q", str(kept / "later.bundle"), "fix")
    git(own, "worktree", "add", "-q", str(tmp_path / "other"), "fix")
    (own / "a.txt").write_text(f"{LATER} stashed\n")
    git(own, "stash", "-q")
    git(own, "gc", "-q")
    git(own, "reset", "-q", "--soft", "HEAD")
    inner = repository(tmp_path / "inner")
    git(inner, "branch", "fix", later(inner))
    git(own, "submodule", "add", "-q", str(inner), "libs/sub")
    git(own, "submodule", "add", "-q", str(inner), "libs/gone")
    git(own, "commit", "-qm", "with modules")
    git(own, "submodule", "deinit", "-q", "-f", "libs/gone")
    nested = repository(own / "nested")
    git(nested, "branch", "fix", later(nested))
    for name in ("FETCH_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD"):
        (kept / name).write_text(f"{made}\t\tbranch '{LATER}'\n")
    for name in ("lost-found/other", "rr-cache/x", "lfs/objects/aa", "rebase-merge"):
        (kept / name).mkdir(parents=True)
        (kept / name / "post").write_text(LATER)


def head() -> Policy:
    policy = load("default")
    return replace(policy, workspace=replace(policy.workspace, history=History.HEAD))


def test_no_way_leads_to_a_later_commit(open_box: OpenBox, workspace: Path, tmp_path: Path) -> None:
    with_everything(workspace, tmp_path)
    box = open_box(head())
    box.write_file("/tmp/look.py", LOOK.encode())
    found = box.run("python3 /tmp/look.py")
    assert (found.stdout, found.exit_code) == (b"\n", 0), found
    for directory in (".", "libs/sub", "nested"):
        done = box.run(f"cd /workspace/{directory} && git status --short && git log --format=%s")
        assert done.stdout in {b"with modules\n", b"now\n", b"?? nested/\nwith modules\n"}, done
        assert box.run(f"cd /workspace/{directory} && git fsck --strict").exit_code == 0


def test_the_look_finds_what_is_there(open_box: OpenBox, workspace: Path, tmp_path: Path) -> None:
    """The test above can fail: with `full`, every way leads there."""
    with_everything(workspace, tmp_path)
    box = open_box(load("default"))
    box.write_file("/tmp/look.py", LOOK.encode())
    found = box.run("python3 /tmp/look.py").stdout.decode()
    for way in ("later.bundle", "modules/libs/sub", "modules/libs/gone", "nested/.git", "rr-cache"):
        assert way in found, found


@pytest.mark.parametrize("kind", ["unborn", "detached", "sha256"])
def test_where_the_head_is_no_branch(kind: str, open_box: OpenBox, workspace: Path) -> None:
    workspace.mkdir(exist_ok=True)
    if kind == "sha256":
        git(workspace, "init", "-q", "--object-format=sha256")
        commit(workspace, "a.txt", "now")
    else:
        repository(workspace)
    git(workspace, "branch", "fix", later(workspace))
    if kind == "unborn":
        git(workspace, "symbolic-ref", "HEAD", "refs/heads/nothing")
    elif kind == "detached":
        git(workspace, "checkout", "-q", "--detach")
    box = open_box(head())
    box.write_file("/tmp/look.py", LOOK.encode())
    assert box.run("python3 /tmp/look.py").stdout == b"\n"
    log = box.run("git log --format=%s").stdout
    assert log == (b"" if kind == "unborn" else b"now\n")
    assert box.run("git add -A && git -c user.name=a -c user.email=a commit -qm x --allow-empty"
                   ).exit_code == 0  # fmt: skip
