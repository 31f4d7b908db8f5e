"""A patch for the worktree and one for what git stores: each fits where it belongs."""

import shutil
from pathlib import Path

import pytest

from generators.file_trees import (
    World,
    changes,
    entries,
    file,
    program,
    read_world,
    user_git,
    write_world,
)
from policies.policy import History, WorkspaceRules
from sandbox.apply.branch import branch_patch
from sandbox.apply.directory import apply_patch
from sandbox.git.manifest import Manifest
from sandbox.git.store import Store
from sandbox.patch import baseline
from sandbox.patch.make import make_patch
from sandbox.patch.values import Patch
from sandbox.workspace.pack import Packer
from sandbox.workspace.scan import scan
from sandbox.workspace.selection import select

ME = ("-c", "user.name=me", "-c", "user.email=me@example.org")
UTF16 = "hello\nworld\n"
LONG = b"".join(b"line %d\r\n" % number for number in range(30))
RULES = (
    b"*.bat text eol=crlf\n*.u16 text working-tree-encoding=UTF-16LE-BOM\n*.id ident\n"
    b"*.auto text=auto\n*.rot filter=rot\n*.lfs filter=lfs\n"
)


def repository(directory: Path, world: World, *settings: str) -> Manifest:
    """These files committed as a person with these settings has them; gives what is copied."""
    write_world(directory, world)
    user_git(directory, "init", "-q", "-b", "main", *(s for s in settings if s.startswith("--")))
    for setting in settings:
        if not setting.startswith("--"):
            user_git(directory, "config", *setting.split("=", 1))
    user_git(directory, "add", "-A", "-f")
    user_git(directory, *ME, "commit", "-q", "-m", "one")
    return copied(directory)


def copied(directory: Path, history: History = History.FULL) -> Manifest:
    rules = WorkspaceRules(exclude=(), secrets=(), history=history, max_bytes=1 << 30)
    packer = Packer(directory, select(scan(directory), rules), "")
    for _ in packer.stream():
        pass
    return packer.manifest()


def made(tmp_path: Path, manifest: Manifest, old: World, new: World) -> Patch:
    store = Store(tmp_path / "store")
    entries(store, old)
    patch = make_patch(store, manifest, changes(store, old, new))
    if patch.index is not None and patch.index.before:
        baseline.keep(tmp_path / "kept", store, {}, stored=patch.index.before)
    return patch


def applied_by_git(tmp_path: Path, target: Path, patch: bytes | None, *how: str) -> World:
    """The files after `git apply` in a copy of the person's own repository."""
    assert patch is not None
    copy = tmp_path / f"copy{''.join(how)}"
    shutil.copytree(target, copy, symlinks=True)
    user_git(copy, "update-index", "-q", "--refresh")
    user_git(copy, "apply", *how, stdin=patch)
    return read_world(copy)


CASES: dict[str, tuple[tuple[str, ...], World, World]] = {
    "line ends by an attribute": (
        (),
        {b".gitattributes": file(RULES), b"run.bat": file(LONG), b"gone.bat": file(b"x\r\n")},
        {
            b".gitattributes": file(RULES),
            b"run.bat": program(LONG.replace(b"line 3\r", b"three\r")),
            b"new.bat": file(b"new\r\n"),
        },
    ),
    "an encoding": (
        (),
        {b".gitattributes": file(RULES), b"a.u16": file(b"\xff\xfe" + UTF16.encode("utf-16-le"))},
        {
            b".gitattributes": file(RULES),
            b"a.u16": file(b"\xff\xfe" + (UTF16 + "more\n").encode("utf-16-le")),
            b"b.u16": file(b"\xff\xfe" + UTF16.encode("utf-16-le")),
        },
    ),
    "line ends by the configuration": (
        ("core.autocrlf=true",),
        {b"a": file(LONG), b"b": file(b"\0\r\n")},
        {b"a": file(LONG.replace(b"line 3\r", b"three\r")), b"b": file(b"\0\r\n1\r\n")},
    ),
    "long ids": (
        ("--object-format=sha256",),
        {b"a": file(LONG), b"b": file(b"\0\r\n"), b"gone": file(b"\0x")},
        {b"a": file(b"1\n" + LONG), b"b": file(b"\0\r\n1\r\n"), b"new": file(b"\0new")},
    ),
    "long ids and line ends": (
        ("--object-format=sha256",),
        {b".gitattributes": file(RULES), b"run.bat": file(LONG), b"b": file(b"\0x")},
        {b".gitattributes": file(RULES), b"run.bat": file(LONG + b"x\r\n"), b"b": file(b"\0y")},
    ),
    "no attributes": ((), {b"a": file(LONG)}, {b"a": file(LONG + b"x\r\n"), b"b": file()}),
}


@pytest.mark.parametrize("case", CASES)
def test_git_apply_gives_what_stood_in_the_container(case: str, tmp_path: Path) -> None:
    settings, old, new = CASES[case]
    target = tmp_path / "target"
    patch = made(tmp_path, repository(target, old, *settings), old, new)
    stored = patch.data if patch.index is None else patch.index.data
    assert (patch.index is not None) == (case not in {"no attributes", "long ids"})
    assert applied_by_git(tmp_path, target, stored) == new
    assert applied_by_git(tmp_path, target, stored, "--index") == new
    apply_patch(patch.data, target, check=False)
    assert read_world(target) == new
    # And that is what git would have stored, had the person added the files.
    user_git(target, "add", "-A")
    added = user_git(target, "write-tree")
    assert user_git(tmp_path / "copy--index", "write-tree") == added
    if "sha256" not in " ".join(settings):
        user_git(target, "reset", "-q", "--hard")
        report = branch_patch(stored or b"", target, branch="fix", message="m", check=False)
        assert user_git(target, "rev-parse", f"{report.commit}^{{tree}}") == added


def test_an_ident_is_stored_without_its_value(tmp_path: Path) -> None:
    old: World = {b".gitattributes": file(RULES), b"a.id": file(b"$Id: old $\n1\n")}
    new: World = {b".gitattributes": file(RULES), b"a.id": file(b"$Id: old $\n2\n")}
    target = tmp_path / "target"
    patch = made(tmp_path, repository(target, old), old, new)
    assert patch.index is not None
    assert "a.id (ident)" in patch.index.note
    after = applied_by_git(tmp_path, target, patch.index.data)[b"a.id"][1]
    assert after.endswith(b" $\n2\n")


def test_what_the_index_has_with_cr_lf_stays_so(tmp_path: Path) -> None:
    """Committed before anybody said that it is text: git guesses no text there either."""
    old: World = {b"a.auto": file(LONG), b"run.bat": file(LONG)}
    target = tmp_path / "target"
    repository(target, old)
    (target / ".gitattributes").write_bytes(RULES)
    manifest = copied(target)
    assert manifest.stored == {}
    before = {**old, b".gitattributes": file(RULES)}
    new = {**before, b"a.auto": file(LONG + b"x\r\n"), b"run.bat": file(b"x\r\n" + LONG)}
    patch = made(tmp_path, manifest, before, new)
    assert patch.index is None
    assert applied_by_git(tmp_path, target, patch.data) == new


def test_the_index_tells_of_a_configuration_that_nobody_showed_us(tmp_path: Path) -> None:
    old, new = {b"a": file(LONG)}, {b"a": file(LONG + b"x\r\n")}
    target = tmp_path / "target"
    repository(target, old, "core.autocrlf=true")
    user_git(target, "config", "--unset", "core.autocrlf")
    for history in (History.FULL, History.NONE):
        patch = made(tmp_path, copied(target, history), old, new)
        assert patch.index is not None
        assert patch.index.data is not None
        assert b"\r" not in patch.index.data
        assert "outside of the repository" in patch.index.note


@pytest.mark.parametrize("name", [b"a.rot", b"a.lfs"])
def test_no_filter_is_run_and_the_patch_says_so(name: bytes, tmp_path: Path) -> None:
    old: World = {b".gitattributes": file(RULES), name: file(b"hello\n"), b"run.bat": file(LONG)}
    new = {**old, name: file(b"hi\n"), b"run.bat": file(b"x\r\n" + LONG)}
    target = tmp_path / "target"
    trap = f"touch {tmp_path / 'ran'}; cat"
    manifest = repository(
        target, old, "filter.rot.clean=tr a-z n-za-m", "filter.lfs.clean=tr a-z n-za-m"
    )
    for driver in ("rot", "lfs"):
        for way in ("clean", "smudge", "process"):
            user_git(target, "config", f"filter.{driver}.{way}", trap)
    patch = made(tmp_path, manifest, old, new)
    assert patch.index is not None
    assert patch.index.data is None
    assert f"{name.decode()} (filter={name[2:].decode()})" in patch.index.note
    assert "moonpool apply" in patch.index.note
    apply_patch(patch.data, target, check=False)
    assert read_world(target) == new
    assert not (tmp_path / "ran").exists()


def test_a_change_of_line_ends_alone_is_none_to_git(tmp_path: Path) -> None:
    old: World = {b".gitattributes": file(RULES), b"run.bat": file(LONG)}
    new = {**old, b"run.bat": file(LONG.replace(b"\r\n", b"\n"))}
    patch = made(tmp_path, repository(tmp_path / "target", old), old, new)
    assert patch.data
    assert patch.index is not None
    assert patch.index.data == b""


def test_rules_that_the_agent_writes_count_for_what_comes_after_them(tmp_path: Path) -> None:
    old: World = {b"run.bat": file(LONG)}
    new: World = {b"run.bat": file(LONG), b".gitattributes": file(RULES), b"n.bat": file(b"n\r\n")}
    patch = made(tmp_path, repository(tmp_path / "target", old), old, new)
    assert patch.index is not None
    assert patch.index.data is not None
    assert b"+n\n" in patch.index.data


def test_both_forms_of_the_old_side_are_kept(tmp_path: Path) -> None:
    settings, old, new = CASES["line ends by an attribute"]
    target = tmp_path / "target"
    patch = made(tmp_path, repository(target, old, *settings), old, new)
    assert patch.index is not None
    kept = baseline.load(tmp_path / "kept", baseline.STORED)
    assert kept is not None
    (target / "run.bat").write_bytes(LONG.replace(b"line 20\r", b"twenty\r"))
    user_git(target, *ME, "commit", "-q", "-a", "-m", "two")
    branch_patch(
        patch.index.data or b"", target, branch="fix", message="m", check=False, baseline=kept
    )
    merged = user_git(target, "show", "fix:run.bat")
    assert b"three\n" in merged
    assert b"twenty\n" in merged


@pytest.mark.slow
def test_too_many_rules_make_no_patch_fail(tmp_path: Path) -> None:
    old: World = {b".gitattributes": file(b"*a*a*a*a*b text\n" * 20_000), b"a" * 200: file()}
    new = {**old, b"a" * 200: file(b"new\n"), b"a" * 199: file()}
    patch = made(tmp_path, repository(tmp_path / "target", old), old, new)
    assert patch.data


@pytest.mark.parametrize("name", [b".gitattributes", b"d/.gitattributes", b".git/info/attributes"])
def test_a_file_of_rules_that_is_too_large_is_told(name: bytes, tmp_path: Path) -> None:
    old: World = {b"d/a.bat": file(LONG)}
    target = tmp_path / "r"
    manifest = repository(target, old)
    (target / name.decode()).write_bytes(RULES + b"#" * (1 << 20))
    manifest = copied(target)
    patch = made(tmp_path, manifest, old, {b"d/a.bat": file(LONG + b"x\r\n")})
    assert patch.index is not None
    assert patch.index.data is None
    assert "larger than 1048576 bytes" in patch.index.note
