"""Attempts to make `apply` write elsewhere, follow a link, or run something; each must fail."""

import os
import stat
from pathlib import Path

import pytest

from generators.file_trees import (
    World,
    file,
    link,
    patch_between,
    program,
    read_world,
    user_commit,
    user_git,
    write_world,
)
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.git.diff import touched_paths
from sandbox.git.run import environment, git_program, run_git
from sandbox.git.store import Store

SECRET = b"outside, not to be touched\n"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(SECRET)
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def made(tmp_path: Path, old: World, new: World) -> bytes:
    return patch_between(Store(tmp_path / "store"), old, new).data


def attempt(patch: bytes, target: Path) -> None:
    before = read_world(target)
    with pytest.raises(PatchError):
        apply_patch(patch, target, check=True)
    with pytest.raises(PatchError):
        apply_patch(patch, target, check=False)
    assert read_world(target) == before
    outside = target.parent / "outside"
    assert os.listdir(outside) == ["victim"]
    assert (outside / "victim").read_bytes() == SECRET


class TestLinks:
    def test_a_file_is_not_made_through_a_link_of_the_target(
        self, tmp_path: Path, target: Path
    ) -> None:
        (target / "d").symlink_to("../outside")
        attempt(made(tmp_path, {}, {b"d/new": file()}), target)
        attempt(made(tmp_path, {}, {b"d/deep/new": file()}), target)

    def test_a_file_is_not_edited_or_deleted_through_a_link(
        self, tmp_path: Path, target: Path
    ) -> None:
        (target / "d").symlink_to("../outside")
        attempt(made(tmp_path, {b"d/victim": file(SECRET)}, {b"d/victim": file(b"x")}), target)
        attempt(made(tmp_path, {b"d/victim": file(SECRET)}, {}), target)

    def test_a_link_in_place_of_a_file_is_not_written_through(
        self, tmp_path: Path, target: Path
    ) -> None:
        (target / "f").symlink_to("../outside/victim")
        attempt(made(tmp_path, {b"f": file(SECRET)}, {b"f": file(b"x")}), target)

    def test_a_patch_does_not_write_through_the_link_it_makes(self, target: Path) -> None:
        patch = (
            b"diff --git a/d b/d\nnew file mode 120000\n--- /dev/null\n+++ b/d\n"
            b"@@ -0,0 +1 @@\n+sub\n\\ No newline at end of file\n"
            b"diff --git a/d/x b/d/x\nnew file mode 100644\n--- /dev/null\n+++ b/d/x\n"
            b"@@ -0,0 +1 @@\n+x\n"
        )
        attempt(patch, target)

    @pytest.mark.parametrize(
        ("path", "to"),
        [
            (b"l", b"/etc/passwd"),
            (b"l", b"../outside"),
            (b"a/l", b"../../outside"),
            (b"a/l", b"x/../../../outside"),
            (b"l", b".."),
        ],
    )
    def test_a_link_that_leads_out_is_not_made(
        self, path: bytes, to: bytes, tmp_path: Path, target: Path
    ) -> None:
        attempt(made(tmp_path, {}, {path: link(to)}), target)

    def test_a_file_is_not_turned_into_a_link_by_its_mode(
        self, tmp_path: Path, target: Path
    ) -> None:
        """Its content stays, and becomes the target of the link."""
        write_world(target, {b"f": file(b"/etc/passwd")})
        attempt(made(tmp_path, {b"f": file(b"/etc/passwd")}, {b"f": link(b"/etc/passwd")}), target)

    def test_a_link_that_leads_out_is_not_moved(self, tmp_path: Path, target: Path) -> None:
        write_world(target, {b"d/l": link(b"../x")})
        attempt(made(tmp_path, {b"d/l": link(b"../x")}, {b"l": link(b"../x")}), target)

    def test_a_link_of_the_owners_that_leads_out_may_stay_and_may_go(
        self, tmp_path: Path, target: Path
    ) -> None:
        old = {b"l": link(b"/etc"), b"m": link(b"/etc"), b"a": file(b"1")}
        write_world(target, old)
        apply_patch(
            made(tmp_path, old, {b"l": link(b"/etc"), b"a": file(b"2")}), target, check=False
        )
        assert read_world(target) == {b"l": link(b"/etc"), b"a": file(b"2")}

    def test_a_hard_link_to_outside_is_replaced_and_not_written(
        self, tmp_path: Path, target: Path
    ) -> None:
        os.link(target.parent / "outside/victim", target / "f")
        apply_patch(made(tmp_path, {b"f": file(SECRET)}, {b"f": file(b"new")}), target, check=False)
        assert (target / "f").read_bytes() == b"new"
        assert (target.parent / "outside/victim").read_bytes() == SECRET


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            b"../outside/new",
            b"a/../../outside/new",
            b".git/hooks/post-checkout",
            b".GIT/config",
            b"sub/.git/config",
            b"git~1/config",
            b".git \\x",
            "sub/.g\u200cit/config".encode(),
            b"/tmp/absolute",
            b"./x",
        ],
    )
    @pytest.mark.parametrize("quoted", ["quoted", "plain"])
    def test_a_handwritten_name_leads_nowhere(self, name: bytes, quoted: str, target: Path) -> None:
        old, new = b"a/" + name, b"b/" + name
        if quoted == "quoted":
            old, new = (b'"' + part.replace(b"\\", b"\\\\") + b'"' for part in (old, new))
        patch = (
            b"diff --git %s %s\nnew file mode 100755\nindex 0000000..1111111\n"
            b"--- /dev/null\n+++ %s\n@@ -0,0 +1 @@\n+x\n" % (old, new, new)
        )
        write_world(target, {b"sub/x": file()})
        user_commit(target)
        attempt(patch, target)
        assert not (target / ".git/hooks/post-checkout").exists()
        assert not Path("/tmp/absolute").exists()

    def test_headers_that_disagree_overwrite_nothing(self, target: Path) -> None:
        """The name in one line is new, that in another is a file of the owner's."""
        write_world(target, {b"mine": file(b"mine\n")})
        patch = (
            b"diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/mine\n"
            b"@@ -0,0 +1 @@\n+x\n"
        )
        attempt(patch, target)
        attempt(b"--- /dev/null\n+++ b/mine\n@@ -0,0 +1 @@\n+x\n", target)

    def test_quoted_names_are_read_as_git_writes_them(self) -> None:
        assert touched_paths(
            b'diff --git "a/t\\tb\\303\\251\\"\\\\\\n" "b/t\\tb\\303\\251\\"\\\\\\n"\n'
            b"diff --git a/x b/x b/x b/x\n"
            b'diff --git a/old b/new\nrename from old\nrename to "n\\001w"\n'
            b"-diff --git a/no b/no\n rename to no\n"
        ) == frozenset({b't\tb\xc3\xa9"\\\n', b"x b/x", b"old", b"n\x01w"})


class TestOddTargets:
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path, target: Path) -> None:
        os.mkfifo(target / "f")
        patch = made(tmp_path, {b"f": file()}, {b"f": file(b"x")})
        with pytest.raises(PatchError, match="neither a file"):
            apply_patch(patch, target, check=False)
        assert stat.S_ISFIFO((target / "f").lstat().st_mode)

    def test_a_patch_that_asks_for_memory_is_refused(self, target: Path) -> None:
        """Forty bytes that promise three billion."""
        write_world(target, {b"x": file()})
        patch = (
            b"diff --git a/b b/b\nnew file mode 100644\n"
            b"index 0000000000000000000000000000000000000000.."
            b"1111111111111111111111111111111111111111\n"
            b"GIT binary patch\nliteral 3000000000\nHcmV?d00001\n\nliteral 0\nHcmV?d00001\n\n"
        )
        attempt(patch, target)
        with pytest.raises(PatchError, match="over limit"):
            apply_patch(patch, target, check=True)


class TestNothingRuns:
    """Everything a repository can put into its configuration to have git run it."""

    PROGRAMS = (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.alternateRefsCommand",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "merge.evil.driver",
        "pager.apply",
        "pager.diff-tree",
        "pager.ls-files",
        "credential.helper",
        "gpg.program",
        "sequence.editor",
        "uploadpack.packObjectsHook",
        "interactive.diffFilter",
        "trailer.x.command",
    )

    def hostile(self, directory: Path, canary: Path) -> Path:
        """A checkout that leaves a mark wherever git would run something of its."""
        old = {
            b"a.txt": file(b"1\n"),
            b"run": program(b"#!/bin/sh\ntouch %s.run\n" % os.fsencode(canary)),
            b".gitattributes": file(b"* filter=evil diff=evil merge=evil text eol=crlf ident\n"),
        }
        write_world(directory, old)
        user_git(directory, "init", "-q")
        config = directory / ".git/config"
        script = directory / ".git/evil"
        script.write_text(f'#!/bin/sh\necho "$0 $*" >> {canary}\ncat\n')
        script.chmod(0o755)
        with config.open("a") as out:
            for key in self.PROGRAMS:
                section, _, name = key.rpartition(".")
                top, _, sub = section.partition(".")
                header = f'[{top} "{sub}"]' if sub else f"[{top}]"
                out.write(f"{header}\n\t{name} = {script}\n")
            for command in ("apply", "diff-tree", "ls-files", "update-index"):
                out.write(f"[alias]\n\t{command} = !{script}\n")
            out.write(
                f"[core]\n\thooksPath = {directory}/.git/hooks\n\tattributesFile = /dev/stdin\n"
            )
            out.write(f"[include]\n\tpath = {directory}/.git/more\n")
        hooks = directory / ".git/hooks"
        hooks.mkdir(exist_ok=True)
        for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
            (hooks / hook).write_bytes(script.read_bytes())
            (hooks / hook).chmod(0o755)
        return directory

    def test_the_canary_sings_when_git_is_run_there(self, tmp_path: Path) -> None:
        """The trap works: run plainly in the checkout, git does start it."""
        canary = tmp_path / "canary"
        checkout = self.hostile(tmp_path / "checkout", canary)
        user_git(checkout, "status", "--porcelain")
        assert canary.exists()

    def test_applying_to_a_hostile_checkout_runs_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        canary = tmp_path / "canary"
        target = self.hostile(tmp_path / "target", canary)
        script = target / ".git/evil"
        monkeypatch.chdir(target)
        monkeypatch.setenv("GIT_DIR", str(target / ".git"))
        monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(script))
        monkeypatch.setenv("GIT_PAGER", str(script))
        monkeypatch.setenv("GIT_EXEC_PATH", str(target / ".git"))
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(script))
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(target / ".git/config"))
        monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
        monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(target / ".git/objects"))
        monkeypatch.setenv("HOME", str(target))
        (target / ".gitconfig").write_bytes((target / ".git/config").read_bytes())
        (target / "git").write_bytes(script.read_bytes())
        (target / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{target}:.:{os.environ['PATH']}")
        git_program.cache_clear()
        old: World = {b"a.txt": file(b"1\n"), b"run": (0o100755, (target / "run").read_bytes())}
        new: World = {b"a.txt": file(b"2\r\n$Id$\n"), b"b.txt": file(b"\0\n")}
        patch = made(tmp_path, old, new)
        apply_patch(patch, target, check=True)
        apply_patch(patch, target, check=False)
        assert (target / "a.txt").read_bytes() == b"2\r\n$Id$\n"
        assert not canary.exists(), canary.read_text()
        assert not (tmp_path / "trace").exists()
        assert not (tmp_path / "canary.run").exists()

    def test_git_gets_nothing_of_our_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
        monkeypatch.setenv("GIT_SSH_COMMAND", "evil")
        monkeypatch.setenv("LD_PRELOAD", "/nonexistent.so")
        given = environment(tmp_path, None)
        assert not {"ANTHROPIC_API_KEY", "GIT_SSH_COMMAND", "LD_PRELOAD"} & given.keys()
        store = Store(tmp_path / "store").directory
        listed = run_git(store, ("config", "--list", "--show-origin"))
        origins = {line.split(b"\t")[0] for line in listed.splitlines()}
        assert origins == {b"file:" + os.fsencode(store / "config"), b"command line:"}

    def test_git_is_not_taken_from_a_work_tree(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".git").mkdir()
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/git").write_bytes(b"#!/bin/sh\n")
        (tmp_path / "bin/git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:bin:")
        monkeypatch.setattr("sandbox.git.run._SYSTEM_DIRECTORIES", ("/nonexistent",))
        git_program.cache_clear()
        with pytest.raises(PatchError, match="git was not found"):
            git_program()
        (tmp_path / ".git").rmdir()
        assert git_program() == f"{tmp_path}/bin/git"
        git_program.cache_clear()
