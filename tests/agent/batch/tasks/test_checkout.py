"""Revisions of git repositories as directories: exact, made once, and nothing of theirs runs."""

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from agent.batch.task import GitWorkspace
from agent.batch.tasks.checkout import materialize
from fakes.git import git
from sandbox.errors import WorkspaceError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits on main, a tag on the first."""
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    (made / "a.txt").write_text("one\n")
    (made / "tool").write_text("#!/bin/sh\n")
    (made / "tool").chmod(0o755)
    (made / "link").symlink_to("a.txt")
    git(made, "add", "-A")
    git(made, "commit", "-qm", "first")
    git(made, "tag", "-a", "v1", "-m", "first")
    (made / "a.txt").write_text("two\n")
    git(made, "commit", "-qam", "second")
    return made


@pytest.fixture
def get(repository: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A revision of that repository."""

    def made(revision: str) -> Path:
        place = GitWorkspace(url=str(repository), revision=revision)
        return materialize(place, tmp_path / "store", environ=os.environ)

    return made


def test_revision_is_exact_and_clean(get: Callable[[str], Path], repository: Path) -> None:
    found = get("main")
    assert (found / "a.txt").read_text() == "two\n"
    assert os.access(found / "tool", os.X_OK)
    assert os.readlink(found / "link") == "a.txt"
    assert git(found, "status", "--porcelain") == ""
    assert git(found, "rev-parse", "HEAD") == git(repository, "rev-parse", "main")
    assert git(found, "log", "--format=%s") == "second\nfirst"
    assert git(found, "fsck", "--full") == ""
    assert found.stat().st_mode & 0o777 == 0o700


def test_what_came_later_is_not_in_it(get: Callable[[str], Path], repository: Path) -> None:
    later = git(repository, "rev-parse", "main")
    found = get("v1")
    assert (found / "a.txt").read_text() == "one\n"
    assert git(found, "log", "--all", "--format=%s") == "first"
    with pytest.raises(subprocess.CalledProcessError):
        git(found, "cat-file", "-e", later)


def test_commit_is_named_in_any_way(get: Callable[[str], Path], repository: Path) -> None:
    first = git(repository, "rev-parse", "main^")
    named = {get(name) for name in (first, first[:8], "v1", "refs/tags/v1")}
    assert len(named) == 1
    assert get("HEAD") == get("main") == get("refs/heads/main")


def test_packed_references_and_objects_are_found(
    get: Callable[[str], Path], repository: Path
) -> None:
    git(repository, "gc", "-q")
    assert (get("v1") / "a.txt").read_text() == "one\n"
    assert (get("main") / "a.txt").read_text() == "two\n"


def test_branch_stays_where_it_was_the_first_time(
    get: Callable[[str], Path], repository: Path
) -> None:
    before = get("main")
    git(repository, "commit", "-q", "--allow-empty", "-m", "third")
    assert get("main") == before
    assert get(git(repository, "rev-parse", "main")) != before


def test_several_who_want_the_same_get_the_same(get: Callable[[str], Path], tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(get, ["main"] * 16 + ["v1"] * 16))
    assert len(found) == 2
    (home,) = (tmp_path / "store").iterdir()
    assert sorted(entry.name for entry in home.iterdir()) == sorted(
        ["making.lock", "named", *(path.name for path in found)]
    )


def test_what_a_killed_process_left_is_made_again(
    get: Callable[[str], Path], tmp_path: Path
) -> None:
    found = get("v1")
    (found.parent / "new-killed/tree").mkdir(parents=True)
    get("main")
    assert not (found.parent / "new-killed").exists()


@pytest.mark.parametrize(
    "revision", ["none", "v2", "0" * 40, "--upload-pack=touch x", "main:a.txt", "../../x", ""]
)
def test_revision_that_is_not_there_is_told(get: Callable[[str], Path], revision: str) -> None:
    with pytest.raises(WorkspaceError, match="there is no such commit, branch or tag"):
        get(revision)


def test_linked_work_tree_is_refused(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"), "v1")
    place = GitWorkspace(url=str(tmp_path / "linked"), revision="HEAD")
    with pytest.raises(WorkspaceError, match="stands elsewhere: name that one"):
        materialize(place, tmp_path / "store", environ=os.environ)


def test_shallow_repository_keeps_its_boundary(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    place = GitWorkspace(url=str(tmp_path / "shallow"), revision="main")
    found = materialize(place, tmp_path / "store", environ=os.environ)
    assert git(found, "log", "--format=%s") == "second"
    assert git(found, "status", "--porcelain") == ""


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a server of that repository, by git's plain HTTP."""
    git(tmp_path, "clone", "-q", "--bare", str(repository), "served.git")
    git(tmp_path / "served.git", "update-server-info")
    handler = partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/served.git"
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Tells nobody what it is asked for."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_server_is_asked_once(served: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    found = materialize(GitWorkspace(url=served, revision="main"), store, environ={})
    assert (found / "a.txt").read_text() == "two\n"
    (tmp_path / "served.git").rename(tmp_path / "gone.git")
    first = materialize(GitWorkspace(url=served, revision="v1"), store, environ={})
    assert git(first, "log", "--all", "--format=%s") == "first"
    with pytest.raises(WorkspaceError, match="git fetch failed"):
        materialize(GitWorkspace(url=served, revision="new"), store, environ={})


def test_server_that_lends_from_a_folder_of_the_host_gets_nothing(
    served: str, repository: Path, tmp_path: Path
) -> None:
    """Plain HTTP may name other object stores; none of this machine may be one of them."""
    info = tmp_path / "served.git/objects/info"
    (info / "http-alternates").write_text(f"file://{repository}/.git/objects\n")
    for pack in (tmp_path / "served.git/objects").glob("??/*"):
        pack.unlink()
    for pack in (tmp_path / "served.git/objects/pack").glob("*"):
        pack.unlink()
    (info / "packs").write_text("")
    with pytest.raises(WorkspaceError, match="git fetch failed"):
        materialize(GitWorkspace(url=served, revision="main"), tmp_path / "store", environ={})


# -- what a hostile repository tries -------------------------------------------------------


@pytest.fixture
def trap(tmp_path: Path) -> str:
    """A command that leaves a trace where it runs."""
    return f"touch {tmp_path}/sprung; false"


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


def test_configuration_hooks_and_filters_of_it_run_nothing(
    get: Callable[[str], Path], repository: Path, trap: str, sprung: Path
) -> None:
    (repository / ".gitattributes").write_text("* filter=evil diff=evil merge=evil text eol=lf\n")
    (repository / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c {trap!r}\n\tupdate = !{trap}\n'
    )
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "third")
    for name in (
        "filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv",
        "core.fsmonitor", "core.sshCommand", "core.editor", "core.pager", "core.gitProxy",
        "uploadpack.packObjectsHook", "credential.helper", "gpg.program", "alias.rev-parse",
    ):  # fmt: skip
        git(repository, "config", name, f"!{trap}" if name.startswith("alias") else trap)
    git(repository, "config", "filter.evil.required", "true")
    git(repository, "config", "core.hooksPath", str(repository / "hooks"))
    git(repository, "config", "core.worktree", "/")
    hooks = [repository / "hooks", repository / ".git/hooks"]
    for folder in hooks:
        folder.mkdir(exist_ok=True)
        for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
            (folder / name).write_text(f"#!/bin/sh\n{trap}\n")
            (folder / name).chmod(0o755)
    found = get("main")
    assert (found / "a.txt").read_text() == "two\n"
    assert not sprung.exists()
    assert not (found / ".git/hooks").exists()
    assert "evil" not in (found / ".git/config").read_text()


@pytest.mark.parametrize("name", [".git", ".GIT", "..", "git~1", ".g\u200cit"])
def test_file_in_place_of_the_repository_is_refused(
    get: Callable[[str], Path], repository: Path, name: str, tmp_path: Path
) -> None:
    blob = git(repository, "hash-object", "-w", "--stdin", stdin="evil\n")
    tree = git(repository, "mktree", stdin=f"100644 blob {blob}\t{name}\n")
    commit = git(repository, "commit-tree", tree, "-m", "x")
    with pytest.raises(WorkspaceError, match="invalid path"):
        get(commit)
    (home,) = (tmp_path / "store").iterdir()
    assert sorted(entry.name for entry in home.iterdir()) == ["making.lock"]


def test_nothing_is_written_through_a_link(
    get: Callable[[str], Path], repository: Path, tmp_path: Path
) -> None:
    """A tree that holds a link and a directory of one name."""
    outside = tmp_path / "outside"
    outside.mkdir()
    target = git(repository, "hash-object", "-w", "--stdin", stdin=str(outside))
    inner = git(
        repository, "mktree",
        stdin=f"100644 blob {git(repository, 'hash-object', '-w', '--stdin', stdin='x')}\tfile\n",
    )  # fmt: skip
    raw = b"".join(
        mode + b" a\0" + bytes.fromhex(identity)
        for mode, identity in ((b"120000", target), (b"40000", inner))
    )
    (tmp_path / "raw").write_bytes(raw)
    tree = git(repository, "hash-object", "-t", "tree", "--literally", "-w", str(tmp_path / "raw"))
    commit = git(repository, "commit-tree", tree, "-m", "x")
    try:
        found = get(commit)
    except WorkspaceError:
        pass
    else:
        assert found.is_dir()
    assert list(outside.iterdir()) == []


def test_objects_of_another_repository_are_not_lent_by_a_link(
    get: Callable[[str], Path], repository: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    git(secret, "init", "-q")
    (secret / "key").write_text("secret\n")
    git(secret, "add", "-A")
    git(secret, "commit", "-qm", "secret")
    commit = git(secret, "rev-parse", "HEAD")
    objects = repository / ".git/objects"
    for name in [f"{number:02x}" for number in range(256)]:
        other = secret / ".git/objects" / name
        if other.exists() and not (objects / name).exists():
            (objects / name).symlink_to(other)
    with pytest.raises(WorkspaceError, match="is not a repository's object directory"):
        get(commit)


def test_objects_of_another_repository_are_not_lent_by_name(
    get: Callable[[str], Path], repository: Path, tmp_path: Path
) -> None:
    """Who knows the id of a commit of somebody's could have it brought in by a reference to it."""
    secret = tmp_path / "secret"
    secret.mkdir()
    git(secret, "init", "-q")
    git(secret, "commit", "-q", "--allow-empty", "-m", "secret")
    commit = git(secret, "rev-parse", "HEAD")
    (repository / ".git/objects/info/alternates").write_text(f"{secret}/.git/objects\n")
    (repository / ".git/refs/heads/main").write_text(f"{commit}\n")
    with pytest.raises(WorkspaceError, match="borrows objects from"):
        get("main")


@pytest.mark.parametrize("name", ["objects", "refs"])
def test_a_folder_of_another_repository_is_not_lent_by_a_link(
    get: Callable[[str], Path], repository: Path, tmp_path: Path, name: str
) -> None:
    secret = tmp_path / "secret"
    git(tmp_path, "init", "-q", "-b", "main", str(secret))
    git(secret, "commit", "-q", "--allow-empty", "-m", "secret")
    (repository / ".git/refs/heads/main").write_text(git(secret, "rev-parse", "HEAD") + "\n")
    shutil.rmtree(repository / ".git" / name)
    (repository / ".git" / name).symlink_to(secret / ".git" / name)
    with pytest.raises(WorkspaceError, match=f"{name} is a link"):
        get("main")


def test_a_pipe_in_place_of_an_object_holds_nothing_up(
    get: Callable[[str], Path], repository: Path
) -> None:
    commit = git(repository, "rev-parse", "main")
    loose = repository / ".git/objects" / commit[:2] / commit[2:]
    loose.unlink()
    os.mkfifo(loose)
    with pytest.raises(WorkspaceError, match="is not a repository's object directory"):
        get("main")


@pytest.mark.parametrize("what", ["config", "packed-refs", "HEAD", "shallow"])
def test_file_of_it_that_is_a_link_or_a_pipe_is_refused(
    get: Callable[[str], Path], repository: Path, what: str
) -> None:
    file = repository / ".git" / what
    file.unlink(missing_ok=True)
    file.symlink_to("/dev/zero")
    with pytest.raises(WorkspaceError, match=r"can't be read|is not a repository's"):
        get("main")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(WorkspaceError, match=r"is no regular file|is not a repository's"):
        get("main")


def test_reference_that_climbs_is_passed_over(
    get: Callable[[str], Path], repository: Path, tmp_path: Path
) -> None:
    commit = git(repository, "rev-parse", "main")
    (repository / ".git/packed-refs").write_text(
        f"{commit} refs/heads/../../../x\n{commit} refs/heads/-x\n{commit} refs/heads/good\n"
    )
    assert get("good").is_dir()
    assert not list(tmp_path.glob("store/**/x"))
