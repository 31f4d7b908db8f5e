"""Baseline + patch is what stood in the container: byte for byte, mode for mode."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from generators.file_trees import (
    World,
    file,
    is_loop,
    link,
    patch_between,
    program,
    read_world,
    user_commit,
    user_git,
    write_world,
)
from generators.random_file_trees import pairs
from sandbox.apply.directory import apply_patch
from sandbox.git.manifest import SYMLINK
from sandbox.git.path_rules import leaves_tree, link_refusal, refusal
from sandbox.git.store import Store


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs())
def test_any_change_survives_the_way_through_a_patch(pair: tuple[World, World]) -> None:
    old, new = pair
    # A baseline holds nothing of git's own: see `Manifest`.
    assume(not any(b".git" in path.split(b"/") for path in old))
    with tempfile.TemporaryDirectory() as room:
        patch = patch_between(Store(Path(room) / "store"), old, new)
        left_out = {item.path for item in patch.left_out}
        for path in left_out:
            assert refusal(path) or link_refusal(path, new[path][1])
        expected = {path: what for path, what in new.items() if path not in left_out}
        expected |= {path: what for path, what in old.items() if path in left_out}

        checkout = Path(room) / "checkout"
        write_world(checkout, old)
        if patch.data and not a_loop_became_a_directory(checkout, old, new):
            user_git(checkout, "init", "-q")
            user_git(checkout, "apply", "--whitespace=nowarn", stdin=patch.data)
            assert read_world(checkout) == expected

        plain = Path(room) / "plain"
        write_world(plain, old)
        if not any(
            mode == SYMLINK and leaves_tree(path, content) and old.get(path) != (mode, content)
            for path, (mode, content) in new.items()
        ):
            apply_patch(patch.data, plain, check=False)
            assert read_world(plain) == expected


def a_loop_became_a_directory(checkout: Path, old: World, new: World) -> bool:
    """git itself gives up on this one (apply.c: ELOOP is no missing file); see the test below."""
    return any(
        mode == SYMLINK and is_loop(os.fsencode(checkout) + b"/" + path)
        for path, (mode, _) in old.items()
        if any(other.startswith(path + b"/") for other in new)
    )


LINES = b"".join(b"line %d\n" % number for number in range(40))
CASES: dict[str, tuple[World, World]] = {
    "created": ({}, {b"a/b/c": file()}),
    "created empty": ({}, {b"empty": file(b"")}),
    "deleted with its folders": ({b"a/b/c": file(), b"z": file()}, {b"z": file()}),
    "last file deleted": ({b"a": file()}, {}),
    "emptied": ({b"a": file()}, {b"a": file(b"")}),
    "made executable": ({b"a": file()}, {b"a": program(b"content\n")}),
    "empty file made executable": ({b"a": file(b"")}, {b"a": program(b"")}),
    "no longer executable, edited": ({b"a": program(LINES)}, {b"a": file(LINES + b"x")}),
    "moved": ({b"a": file(LINES)}, {b"b/a": file(LINES)}),
    "moved and edited": ({b"a": file(LINES)}, {b"b": file(LINES + b"end")}),
    "moved below itself": ({b"a": file(LINES)}, {b"a/a": file(LINES)}),
    "moved up over its folder": ({b"a/a": file(LINES)}, {b"a": file(LINES)}),
    "two files swapped": (
        {b"a": file(LINES), b"b": program(b"b\n")},
        {b"b": file(LINES), b"a": program(b"b\n")},
    ),
    "case-only rename": ({b"Readme": file(LINES)}, {b"README": file(LINES)}),
    "file became a link": ({b"a": file(b"b")}, {b"a": link(b"b")}),
    "link became a file of its target's name": ({b"a": link(b"b")}, {b"a": file(b"b")}),
    "link became a directory": (
        {b"a": link(b"d"), b"d/f": file()},
        {b"a/f": file(b"new\n"), b"d/f": file()},
    ),
    "directory became a link": (
        {b"d/f": file(), b"e/f": file()},
        {b"d": link(b"e"), b"e/f": file()},
    ),
    "file became a directory": ({b"a": file()}, {b"a/b": file(), b"a/c/d": link(b"../b")}),
    "directory became a file": ({b"a/b": file(), b"a/c/d": file()}, {b"a": file(b"flat\n")}),
    "CR, CRLF, form feed": (
        {b"a": file(b"one\r\ntwo\rthree\x0c\n")},
        {b"a": file(b"one\r\ntwo\r3\x0c\r\n")},
    ),
    "no newline at the end": ({b"a": file(b"x\ny")}, {b"a": file(b"x\nz")}),
    "newline at the end added": ({b"a": file(b"x")}, {b"a": file(b"x\n")}),
    "only white space": ({b"a": file(b"x  \n\n\n")}, {b"a": file(b"x\n \n\t\n")}),
    "latin-1 and U+2028": (
        {b"a": file(b"caf\xe9\n")},
        {b"a": file(b"caf\xe9\xe9\n" + "\u2028\u0085\n".encode())},
    ),
    "binary": ({b"a": file(bytes(range(256)))}, {b"a": file(bytes(range(255, -1, -1)))}),
    "binary became text": ({b"a": file(b"\0\1")}, {b"a": file(b"text\n")}),
    "text that looks like a patch": (
        {b"a": file(b"x\n")},
        {b"a": file(b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-- \n2.39\n")},
    ),
    "spaces, quotes, tabs, newlines in names": (
        {b" a b ": file(), b'q"q': file(), b"t\tt": file()},
        {b" a b ": file(b"1\n"), b'q"q': file(b"2\n"), b"n\nn": file(), b"\\": file()},
    ),
    "a folder that ends in a space": (
        {b"d /e": file(b""), b" /m": file(), b"r /x": file(LINES)},
        {b" /m": program(b"content\n"), b"s /b": file(b"\0"), b"r /y": file(LINES)},
    ),
    "names that are not UTF-8": ({b"\xff\xfe/\x80": file()}, {b"\xff\xfe/\x80": file(b"")}),
    "names that begin with a dash": (
        {b"-rf": file(b"1")},
        {b"--": file(), b"-p1/--cached": file()},
    ),
    "names of devices": ({}, {b"dev/null": file(), b"a/b/dev/null": file(b"")}),
    "files of a nested repository": (
        {b"sub/x": file()},
        {b"sub/x": file(b"y"), b"sub/new": file()},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_git_and_we_apply_it_to_the_same_tree(case: str, tmp_path: Path) -> None:
    old, new = CASES[case]
    patch = patch_between(Store(tmp_path / "store"), old, new)
    assert patch.left_out == ()

    write_world(tmp_path / "checkout", old)
    assert user_commit(tmp_path / "checkout") == patch.base_tree
    user_git(tmp_path / "checkout", "apply", "--cached", "--whitespace=nowarn", stdin=patch.data)
    assert user_git(tmp_path / "checkout", "write-tree").decode().strip() == patch.tree

    write_world(tmp_path / "plain", old)
    done = apply_patch(patch.data, tmp_path / "plain", check=False)
    assert read_world(tmp_path / "plain") == new
    told = {path for change in done for path in (change.path, change.old_path)} - {None}
    assert told == {p for p in {*old, *new} if old.get(p) != new.get(p)}


@pytest.mark.parametrize("case", CASES)
def test_a_checkout_takes_it_by_plain_git_apply(case: str, tmp_path: Path) -> None:
    old, new = CASES[case]
    patch = patch_between(Store(tmp_path / "store"), old, new)
    write_world(tmp_path / "checkout", old)
    user_git(tmp_path / "checkout", "init", "-q")
    user_git(tmp_path / "checkout", "apply", "--whitespace=nowarn", stdin=patch.data)
    assert read_world(tmp_path / "checkout") == new


def test_a_looping_link_that_became_a_directory_is_applied_where_git_gives_up(
    tmp_path: Path,
) -> None:
    old, new = {b"a": link(b"a")}, {b"a/b": file()}
    patch = patch_between(Store(tmp_path / "store"), old, new)
    write_world(tmp_path / "plain", old)
    apply_patch(patch.data, tmp_path / "plain", check=False)
    assert read_world(tmp_path / "plain") == new


def test_attributes_of_the_tree_convert_nothing(tmp_path: Path) -> None:
    old = {b".gitattributes": file(b"* text=auto eol=crlf\n"), b"a": file(b"1\r\n2\n")}
    new = {
        b".gitattributes": file(b"* -diff working-tree-encoding=UTF-16 filter=x ident\n"),
        b"a": file(b"1\n2\r\n$Id$\n"),
    }
    patch = patch_between(Store(tmp_path / "store"), old, new)
    assert b"+$Id$\n" in patch.data
    write_world(tmp_path / "plain", old)
    apply_patch(patch.data, tmp_path / "plain", check=False)
    assert read_world(tmp_path / "plain") == new
