"""What of a repository's configuration enters the container, compared with git's own reading."""

import io
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import OpenBox
from policies.loading import load
from policies.policy import History
from sandbox.engine.docker import Engine
from sandbox.git.config import PersonalConfig, read_personal, sanitized
from sandbox.git.ignore import IgnoreRules
from sandbox.git.manifest import PERSONAL_EXCLUDE
from sandbox.workspace.pack import Packer
from sandbox.workspace.scan import scan
from sandbox.workspace.selection import select


def read_by_git(config: bytes, directory: Path) -> list[tuple[bytes, bytes | None]] | None:
    """Keys and values as git finds them; None where it refuses the file."""
    file = directory / "config"
    file.write_bytes(config)
    answer = subprocess.run(
        ["git", "config", "--no-includes", "-z", "--list", "-f", file],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"},
        cwd="/",
        capture_output=True,
        check=False,
    )
    if answer.returncode:
        return None
    rows = [row.partition(b"\n") for row in answer.stdout.split(b"\0") if row]
    return [(key, value if mark else None) for key, mark, value in rows]


def kept_key(key: bytes) -> bool:
    section, _, rest = key.partition(b".")
    name = rest.rpartition(b".")[2]
    plain = b"." not in rest
    return (
        (section == b"core" and plain and name in {b"bare", b"filemode", b"autocrlf"})
        or (section == b"user" and plain and name in {b"name", b"email"})
        or (section == b"branch" and not plain and name in {b"remote", b"merge"})
        or (section == b"remote" and not plain and name in {b"url", b"fetch"})
    )


ORDINARY = b"""\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
[remote "origin"]
\turl = https://example.org/group/project.git
\tfetch = +refs/heads/*:refs/remotes/origin/*
[branch "main"]
\tremote = origin
\tmerge = refs/heads/main
[user]
\tname = "A. \\"B\\" C"   ; a comment
\temail = a@example.org
"""


def test_an_ordinary_configuration_means_the_same_afterwards(tmp_path: Path) -> None:
    assert read_by_git(sanitized(ORDINARY), tmp_path) == read_by_git(ORDINARY, tmp_path)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    windows = b"\xef\xbb\xbf" + ORDINARY.replace(b"\n", b"\r\n")
    assert read_by_git(sanitized(windows), tmp_path) == read_by_git(ORDINARY, tmp_path)


SECRET = b"hunter2"


@pytest.mark.parametrize(
    "url",
    [
        b"https://user:hunter2@example.org/x.git",
        b"https://hunter2@example.org/x.git",
        b"https://hunter2:x-oauth-basic@example.org/x.git",
        b"https://user:hun@hunter2@example.org/x.git",
        b"https://user:a b hunter2@example.org/x.git",
        b"HTTPS://user:hunter2@example.org/x.git",
        b"ssh://user:hunter2@example.org:22/x.git",
        b"foo::https://user:hunter2@example.org/x.git",
        b"https://example.org/x.git?private_token=hunter2",
        b"https://example.org/x.git#hunter2",
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        b'[remote "origin"]\n\turl = %s\n',
        b'[remote "origin"] url=%s',
        b'[remote "origin"]\n\tURL = "%s"\n',
        b'[remote "origin"]\r\n\turl = %s\r\n',
        b'[remote "origin"]\n\turl = \\\n   %s\n',
        b'[remote "origin"]\n\tpushurl = %s\n',
        b'[branch "main"]\n\tremote = %s\n',
        b'[submodule "lib"]\n\turl = %s\n',
        b'[remote "%s"]\n\tfetch = x\n',
        b'[url "%s"]\n\tinsteadOf = x\n',
        b'[http "%s"]\n\tproxy = x\n',
        b"[user]\n\tname = %s\n",
    ],
)
def test_no_credential_in_a_url_passes(form: bytes, url: bytes, tmp_path: Path) -> None:
    kept = sanitized(form % url)
    assert SECRET not in kept
    assert read_by_git(kept, tmp_path) is not None


def test_the_rest_of_a_url_stays(tmp_path: Path) -> None:
    config = sanitized(b'[remote "o"]\nurl = https://u:hunter2@example.org:8443/a/b@c.git?x=1\n')
    assert read_by_git(config, tmp_path) == [
        (b"remote.o.url", b"https://example.org:8443/a/b@c.git")
    ]


@pytest.mark.parametrize("url", [b"git@github.com:group/x.git", b"/srv/git/x.git", b"../x"])
def test_a_remote_without_a_scheme_stays_as_it_is(url: bytes, tmp_path: Path) -> None:
    config = sanitized(b'[remote "o"]\nurl = %s\n' % url)
    assert read_by_git(config, tmp_path) == [(b"remote.o.url", url)]


@pytest.mark.parametrize(
    "dangerous",
    [
        b'[http]\n\textraheader = "AUTHORIZATION: basic aHVudGVyMg=="\n',
        b'[http "https://example.org/"]\n\textraheader = x\n',
        b"[include]\n\tpath = /etc/evil\n",
        b'[includeIf "gitdir:/"]\n\tpath = /etc/evil\n',
        b"[core]\n\tfsmonitor = touch /tmp/evil\n",
        b"[core]\n\thooksPath = /tmp/evil\n",
        b"[core]\n\tsshCommand = evil\n",
        b"[core]\n\tpager = evil\n",
        b"[core]\n\teditor = evil\n",
        b"[core]\n\tworktree = /evil\n",
        b"[core]\n\tattributesFile = /evil\n",
        b"[core]\n\tgitProxy = evil\n",
        b'[filter "lfs"]\n\tclean = evil\n\tsmudge = evil\n\tprocess = evil\n',
        b'[diff "x"]\n\ttextconv = evil\n\tcommand = evil\n',
        b'[merge "x"]\n\tdriver = evil\n',
        b"[credential]\n\thelper = !evil\n",
        b"[alias]\n\tstatus = !evil\n",
        b"[gpg]\n\tprogram = evil\n",
        b'[remote "origin"]\n\tuploadpack = evil\n\tvcs = evil\n\tproxy = evil\n',
        b'[submodule "x"]\n\tupdate = !evil\n',
        b"[remote.origin]\n\turl = evil\n",
    ],
)
def test_what_runs_something_or_reads_elsewhere_is_left_out(dangerous: bytes) -> None:
    assert sanitized(dangerous) == b""


@pytest.mark.parametrize(
    "config",
    [
        b"[user]\n\tname = a\\\n[core]\n\tfsmonitor = evil\n",
        b'[user]\n\tname = "\\n[core]\\n\\tfsmonitor = evil"\n',
        b'[branch "x\\"]\\n[core]"]\n\tmerge = "\\"\\n[core]\\n\\tfsmonitor = evil\\n"\n',
        b'[branch "x"]\n\tmerge = a\\\\\n[core]\n\tfsmonitor = evil\n',
        b'[remote "a://b\\?c"]\n\turl = "]\\n[core]\\n\\tfsmonitor = evil"\n',
        b"[user]\n\tname\n[core]\n\tfsmonitor = evil\n",
        b"[core]\n\tbare\n[core] fsmonitor = evil\n",
    ],
)
def test_quoting_makes_no_new_key(config: bytes, tmp_path: Path) -> None:
    found = read_by_git(sanitized(config), tmp_path)
    assert found is not None
    assert not any(b"fsmonitor" in key for key, _ in found)


def test_a_key_without_a_value_takes_nothing_from_the_next_line(tmp_path: Path) -> None:
    config = b"[core]\n\tbare\n[user]\n\tname = a\n"
    assert read_by_git(sanitized(config), tmp_path) == [(b"core.bare", None), (b"user.name", b"a")]


def spaced(rows: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes | None]]:
    """White space within a value as git before 2.45 gives it: all of it spaces."""
    table = bytes.maketrans(b"\t\r", b"  ")
    return [(key, value and value.translate(table)) for key, value in rows]


WORDS = st.sampled_from(
    [b"[core]", b"[user]", b'[remote "o"]', b'[branch "a b"]', b'[remote "q\\"\\\\"]', b"[http]",
     b"\n", b"\n", b"\n\t", b"name", b"url", b"bare", b"merge", b"fetch", b"email", b" = ", b"=",
     b"true", b"x", b" ", b'"', b"\\", b"\\n", b"\\\n", b"#c", b";c", b"\r\n", b"\\x", b"'", b"/"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=25).map(b"".join))
@settings(max_examples=150)
def test_what_git_reads_and_we_keep_has_the_value_that_git_reads(
    tmp_path_factory: pytest.TempPathFactory, config: bytes
) -> None:
    directory = tmp_path_factory.getbasetemp()
    kept = read_by_git(sanitized(config), directory)
    assert kept is not None, "what we write, git reads"
    original = read_by_git(config, directory)
    if original is not None:
        wanted = [row for row in original if kept_key(row[0])]
        assert spaced(kept) == spaced(wanted)


@given(st.binary(max_size=200))
@settings(max_examples=60)
def test_garbage_gives_a_configuration_that_git_reads(
    tmp_path_factory: pytest.TempPathFactory, config: bytes
) -> None:
    assert read_by_git(sanitized(config), tmp_path_factory.getbasetemp()) is not None


def test_what_follows_garbage_is_left_out(tmp_path: Path) -> None:
    config = b"[user]\n\tname = a\n!!\n[user]\n\temail = b\n"
    assert read_by_git(sanitized(config), tmp_path) == [(b"user.name", b"a")]


_CPU_LIMIT_S = 60


@pytest.mark.parametrize("line", [b"a\n", b"[core]\n", b'[user]name="x"\n', b"\\\n", b"#\n", b"\n"])
def test_a_megabyte_of_lines_is_read_in_one_pass(line: bytes) -> None:
    """One pass takes about a second of a processor; work that grows with the square takes hours.

    A process of its own, so that the kernel ends it where it would otherwise hang.
    """
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_CPU, ({_CPU_LIMIT_S}, -1))\n"
        "from sandbox.git.config import sanitized\n"
        f"sanitized({line!r} * {(1 << 20) // len(line)})"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def said(tmp_path: Path, text: str) -> bytes:
    (tmp_path / ".gitconfig").write_text(text)
    return read_personal(
        {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}, tmp_path / "tree"
    ).settings


def test_values_of_a_short_list_and_nothing_else(tmp_path: Path) -> None:
    text = (
        "[user]\n\tname = me\n[core]\n\tautocrlf = input\n\tfsmonitor = ./x\n\tfilemode = false\n"
    )
    assert said(tmp_path, text) == b'[core]\n\tautocrlf = "input"\n\tfilemode = "false"\n'


@pytest.mark.parametrize("text", ["", "[core", "\0", "[core]\n\teditor = x\n"])
def test_where_nothing_is_said_nothing_is(tmp_path: Path, text: str) -> None:
    assert said(tmp_path, text) == b""


def test_the_users_file_wins_over_the_other_ones(tmp_path: Path) -> None:
    (tmp_path / ".config/git").mkdir(parents=True)
    (tmp_path / ".config/git/config").write_text("[core]\n\tautocrlf = true\n\teol = lf\n")
    assert said(tmp_path, "[core]\n\tautocrlf = false\n") == (
        b'[core]\n\tautocrlf = "false"\n\teol = "lf"\n'
    )


@pytest.fixture
def home(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the person who opens sandboxes."""
    own = {"GIT_CONFIG_GLOBAL": str(tmp_path / ".gitconfig"), "HOME": str(tmp_path)}
    monkeypatch.setattr(engine, "environ", {**engine.environ, **own})
    return tmp_path


def test_a_tree_that_is_clean_on_the_host_is_clean_inside(
    workspace: Path, home: Path, open_box: OpenBox
) -> None:
    (home / ".gitconfig").write_text("[core]\n\tautocrlf = true\n")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    (workspace / "a.txt").write_bytes(b"1\r\n2\r\n")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=workspace, env=environment, check=True)
    assert open_box().run("touch a.txt; git status --short").stdout == b"A  a.txt\n"


def test_what_is_included_counts_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "more").write_text(
        "[core]\n\tautocrlf = true\n\teol = crlf\n[include]\n\tpath = deep\n"
    )
    (tmp_path / "deep").write_text("[core]\n\tsafecrlf = warn\n")
    text = "[include]\n\tpath = more\n[core]\n\tautocrlf = false\n[include]\n\tpath = ~/gone\n"
    assert said(tmp_path, text) == (
        b'[core]\n\tautocrlf = "false"\n\teol = "crlf"\n\tsafecrlf = "warn"\n'
    )


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("gitdir:~/tree/", True),
        ("gitdir:~/tree/.git", True),
        ("gitdir:tree/", True),
        ("gitdir/i:TREE/", True),
        ("gitdir:./tr*/**", True),
        ("gitdir:TREE/", False),
        ("gitdir:~/", True),
        ("gitdir:/elsewhere/", False),
        ("gitdir:**", True),
        ("onbranch:main", False),
        ("hasconfig:remote.*.url:x", False),
    ],
)
def test_a_condition_on_a_place_holds_for_the_workspaces(
    tmp_path: Path, condition: str, *, holds: bool
) -> None:
    tree = tmp_path / "tree"
    subprocess.run(["git", "init", "-qb", "main", str(tree)], check=True)
    (tmp_path / "more").write_text("[core]\n\teol = crlf\n")
    text = f'[includeIf "{condition}"]\n\tpath = ~/more\n'
    assert bool(said(tmp_path, text)) is holds
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    asked = subprocess.run(["git", "config", "core.eol"], cwd=tree, env=environment, check=False)
    assert holds is (asked.returncode == 0) or condition == "onbranch:main"


def test_a_configuration_that_git_cannot_read_is_told(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[core")
    found = read_personal({"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}, tmp_path)
    assert not found.settings
    assert "does not count here" in found.notes[0]


def test_files_of_rules_are_bounded_and_may_be_anything(tmp_path: Path) -> None:
    (tmp_path / ".config/git").mkdir(parents=True)
    (tmp_path / ".config/git/ignore").write_text("#" * (1 << 20) + "\n*.x\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".gitconfig").write_text("[core]\n\tattributesFile = ~/pipe\n")
    environ = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
    found = read_personal(environ, tmp_path)
    assert (found.files, found.settings) == ({}, b"")
    assert "larger than" in found.notes[0]


@pytest.mark.parametrize("history", History)
def test_the_persons_own_rules_count_less_than_the_repositorys(
    workspace: Path,
    home: Path,
    open_box: OpenBox,
    history: History,
) -> None:
    """`git status` inside says what it says on the host, and the patch follows it."""
    (home / "ignored").write_text("*.swp\n*.log\n")
    (home / "said").write_text("*.txt text\n*.bin -text\n")
    (home / ".gitconfig").write_text(
        "[core]\n\texcludesFile = ~/ignored\n\tattributesFile = ~/said\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    (workspace / ".gitignore").write_text("!keep.log\n")
    (workspace / ".gitattributes").write_text("raw.txt -text\n")
    for name in ("raw.txt", "a.txt"):
        (workspace / name).write_bytes(b"1\r\n")

    def git(*words: str) -> bytes:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(
            command, cwd=workspace, env=environment, check=True, capture_output=True
        ).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    for name in ("a.swp", "b.log", "keep.log"):
        (workspace / name).write_text("x\n")
    attributes = git("check-attr", "text", "--", "raw.txt", "a.txt", "z.bin")
    status = git("status", "--short")
    assert status == b"?? keep.log\n"
    policy = load("default")
    box = open_box(replace(policy, workspace=replace(policy.workspace, history=history)))
    if history is not History.NONE:
        text = "touch *.txt; git status --short; git check-attr text -- raw.txt a.txt z.bin"
        assert box.run(text).stdout == status + attributes
    box.run("echo y | tee c.swp d.log > new.txt; printf '2\\r\\n' | tee a.txt > raw.txt")
    patch = box.export()
    assert [change.path for change in patch.changes] == [b"a.txt", b"new.txt", b"raw.txt"]
    assert {(item.path, item.reason.partition(":")[0]) for item in patch.left_out} == {
        (name, "ignored by your core.excludesFile") for name in (b"c.swp", b"d.log")
    }
    assert patch.index is not None
    assert b"+2\r\n" in (patch.index.data or b"").partition(b"raw.txt")[2]
    assert b"\r" not in (patch.index.data or b"").partition(b"b/new.txt")[0]


@pytest.mark.parametrize("place", [".git/info", ".git/info/personal-exclude"])
def test_the_persons_rules_go_through_no_link_of_the_workspace(tmp_path: Path, place: str) -> None:
    (tmp_path / ".git/info").mkdir(parents=True)
    (tmp_path / ".git/config").write_text("")
    if place == ".git/info":
        (tmp_path / place).rmdir()
    (tmp_path / place).symlink_to("/etc/cron.d")
    personal = PersonalConfig(settings=b"", files={PERSONAL_EXCLUDE: b"*.swp\n"})
    rules = replace(load("default").workspace, secrets=())
    packer = Packer(tmp_path, select(scan(tmp_path), rules), "", personal=personal)
    data = b"".join(packer.stream())
    assert len(data) == packer.size()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        below = [member for member in archive if "/.git/info" in member.name]
    assert [member.linkname for member in below if not member.isdir()] == ["/etc/cron.d"]
    assert PERSONAL_EXCLUDE not in packer.manifest().rule_files


def test_an_ignore_file_that_is_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.x\n" + "#" * (1 << 20))
    rules = replace(load("default").workspace, secrets=())
    packer = Packer(tmp_path, select(scan(tmp_path), rules), "")
    assert sum(map(len, packer.stream())) == packer.size()
    found = IgnoreRules(packer.manifest())
    assert found.ignored(b"a.x") is None
    assert found.notes == (".gitignore is larger than 1048576 bytes: not applied",)
