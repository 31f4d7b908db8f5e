"""The repository as the adversary on the host's side: before, during and after a run.

Wherever a program of its choice could be started there stands a canary: a script that leaves a
mark outside of everything. No mark, whatever is done.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from command_line.running import CACHE_HOME
from conftest import OpenBox
from policies.policy import Policy
from sandbox.apply.directory import apply_patch
from sandbox.engine.docker import Engine
from sandbox.errors import PatchError
from sandbox.sandbox import Sandbox

CLI = Path(sys.executable).with_name("moonpool")
SECRET = "sk-ant-canary-9f27c1"


class Canary:
    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.mark = directory / "mark"
        self.program = directory / "run.sh"
        self.program.write_text(f"#!/bin/sh\necho sang >> {self.mark}\ncat\n")
        self.program.chmod(0o755)

    @property
    def sang(self) -> bool:
        return self.mark.exists()


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path / "canary")


def git(directory: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
        cwd=directory,
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"},
    )


@pytest.fixture
def trapped(workspace: Path, canary: Canary) -> Path:
    """A repository that starts the canary wherever git can be made to start something."""
    (workspace / "a.txt").write_text("one\ntwo\nthree\n")
    git(workspace, "init", "-q")
    git(workspace, "add", ".")
    git(workspace, "commit", "-qm", "a")
    run = canary.program
    with open(workspace / ".git/config", "a") as config:
        config.write(
            f"[core]\n\tfsmonitor = {run}\n\thooksPath = {run.parent}\n\tpager = {run}\n"
            f"\teditor = {run}\n\tsshCommand = {run}\n\tgitProxy = {run}\n\taskPass = {run}\n"
            f"\tattributesFile = {workspace}/.gitattributes\n\talternateRefsCommand = {run}\n"
            f'[filter "x"]\n\tclean = {run}\n\tsmudge = {run}\n\tprocess = {run}\n\trequired\n'
            f'[diff "x"]\n\ttextconv = {run}\n\tcommand = {run}\n[merge "x"]\n\tdriver = {run}\n'
            f'[gpg]\n\tprogram = {run}\n[commit]\n\tgpgSign = true\n[diff]\n\texternal = {run}\n'
            f"[credential]\n\thelper = {run}\n[include]\n\tpath = {run}\n"
            f"[sequence]\n\teditor = {run}\n"
            f'[alias]\n\tapply = !{run}\n\tdiff = !{run}\n[uploadpack]\n\tpackObjectsHook = {run}\n'
        )  # fmt: skip
    (workspace / ".gitattributes").write_text("* filter=x diff=x merge=x ident eol=crlf\n")
    for hook in ("pre-commit", "post-checkout", "applypatch-msg", "pre-applypatch",
                 "post-index-change", "fsmonitor-watchman", "reference-transaction",
                 "post-applypatch"):  # fmt: skip
        (workspace / ".git/hooks" / hook).unlink(missing_ok=True)
        (workspace / ".git/hooks" / hook).symlink_to(run)
    return workspace


def test_no_part_of_a_run_starts_what_a_repository_configures(
    trapped: Path, open_box: OpenBox, canary: Canary
) -> None:
    box = open_box()
    box.write_file("a.txt", b"one\nTWO\nthree\n")
    box.write_file("new/b.txt", b"b\n")
    patch = box.export()
    assert {change.path for change in patch.changes} == {b"a.txt", b"new/b.txt"}
    with box.fresh() as other:
        other.apply(patch)
        assert other.read_file("a.txt") == b"one\nTWO\nthree\n"
    apply_patch(patch.data, trapped, check=True)
    apply_patch(patch.data, trapped, check=False)
    assert (trapped / "a.txt").read_bytes() == b"one\nTWO\nthree\n"
    assert not canary.sang


def test_in_the_container_the_repositorys_configuration_is_gone(
    trapped: Path, open_box: OpenBox
) -> None:
    config = open_box().run("cat .git/config; git config --list").stdout
    for word in (b"fsmonitor", b"filter", b"hookspath", b"hooksPath", b"textconv", b"run.sh"):
        assert word not in config


def test_a_git_file_that_points_at_the_host_is_not_followed(
    workspace: Path, open_box: OpenBox, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "secret.txt").write_text(SECRET)
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-qm", "secret")
    (workspace / ".git").write_text(f"gitdir: {other}/.git\n")
    (workspace / "a").write_text("a\n")
    box = open_box()
    said = box.run("cat .git; git log -p; git status; find / -name '*.txt' -path '*secret*'")
    assert SECRET.encode() not in said.stdout
    box.write_file("a", b"b\n")
    assert [change.path for change in box.export().changes] == [b"a"]


def test_a_repository_borrows_nothing_that_its_references_do_not_name(
    workspace: Path, open_box: OpenBox, tmp_path: Path
) -> None:
    """It names the store of a private repository beside it: of that it has no id."""
    other = tmp_path / "other"
    for directory in (other, workspace):
        directory.mkdir(exist_ok=True)
        git(directory, "init", "-q")
        (directory / "a.txt").write_text("public\n")
        git(directory, "add", ".")
        git(directory, "commit", "-qm", "first")
    (other / "secret.txt").write_text(SECRET)
    git(other, "add", ".")
    git(other, "commit", "-qm", "secret")
    (workspace / ".git/objects/info").mkdir(exist_ok=True)
    (workspace / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")
    (workspace / ".git/refs/heads/main@{0}").write_text("refs/heads/master\n")
    (workspace / ".git/refs/heads/all").symlink_to(other / ".git/refs/heads/master")
    (workspace / ".git/logs/x").symlink_to(other / ".git/logs/HEAD")
    (workspace / ".git/packed-refs").unlink(missing_ok=True)
    (workspace / ".git/packed-refs").symlink_to(other / ".git/refs/heads/master")
    said = open_box().run("git cat-file --batch-all-objects --batch; grep -r canary .git")
    assert b"public" in said.stdout
    assert SECRET.encode() not in said.stdout


def test_links_are_copied_as_links_and_never_followed(
    workspace: Path, open_box: OpenBox, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text(SECRET)
    targets = {
        "absolute": str(tmp_path / "outside/secret"), "climbing": "../outside/secret",
        "directory": "../outside", "passwd": "/etc/passwd", "self": "self", "shadow": "/etc/shadow",
        "memory": "/proc/self/mem", "root": "/",
    }  # fmt: skip
    for name, target in targets.items():
        (workspace / name).symlink_to(target)
    box = open_box()
    found = box.run("for f in *; do printf '%s=%s\\n' $f \"$(readlink $f)\"; done; cat a* c* d*/*")
    assert SECRET.encode() not in found.stdout
    assert dict(line.split("=") for line in found.stdout.decode().split()) == targets
    box.run("rm passwd; echo mine > passwd; ln -sfn /etc/cron.d new; echo x > directory/secret")
    patch = box.export()
    assert {change.path for change in patch.changes} == {b"passwd", b"new"}
    assert (tmp_path / "outside/secret").read_text() == SECRET


def test_what_stands_where_a_file_is_looked_for_ends_no_run(
    workspace: Path, tmp_path: Path, image: str
) -> None:
    """To look where such a link leads is an error of another kind than that there is nothing."""
    for name in (".git", "moonpool.yaml", "AGENTS.md", "pyproject.toml", ".gitignore"):
        (workspace / name).symlink_to("x" * 400)
    (workspace / "requirements.txt").mkdir()
    done = cli(workspace, tmp_path, "run", "x", "-m", told(tmp_path, "echo changed > c"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_link_that_leads_out_is_not_applied_on_the_host(
    workspace: Path, open_box: OpenBox, tmp_path: Path
) -> None:
    (workspace / "d").mkdir()
    (workspace / "d/x").write_text("x\n")
    box = open_box()
    box.run(f"rm -r d; ln -s {tmp_path} d; ln -s ../../.. up")
    with pytest.raises(PatchError):
        apply_patch(box.export().data, workspace, check=False)
    assert (workspace / "d/x").read_text() == "x\n"
    assert not (workspace / "up").is_symlink()


def test_what_is_no_file_stays_on_the_host(workspace: Path, open_box: OpenBox) -> None:
    os.mkfifo(workspace / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(workspace / "socket"))
    (workspace / "setuid").write_text("#!/bin/sh\n")
    (workspace / "setuid").chmod(0o6755)
    box = open_box()
    server.close()
    assert {item.path for item in box.left_behind} >= {b"pipe", b"socket"}
    assert box.run("ls; stat -c %a setuid").stdout == b"setuid\n755\n"


def test_odd_names_survive_and_go_nowhere_else(workspace: Path, open_box: OpenBox) -> None:
    names = [b"new\nline", b"\x1b]0;owned\x07", b"--checkpoint-action=exec=sh", b"-rf", b"a\tb",
             b"\xff\xfe", b"x" * 255, b"$(touch owned)", b"`id`", b"a\\b", b"..."]  # fmt: skip
    for name in names:
        with open(os.fsencode(workspace) + b"/" + name, "w") as file:
            file.write("one\n")
    box = open_box()
    box.run('for f in ./* ./...; do echo two >> "$f"; done')
    patch = box.export()
    assert {change.path for change in patch.changes} == set(names)
    apply_patch(patch.data, workspace, check=False)
    for name in names:
        with open(os.fsencode(workspace) + b"/" + name) as file:
            assert file.read() == "one\ntwo\n"
    assert not (workspace / "owned").exists()


def test_rules_that_are_slow_to_match_do_not_hold_an_export_up(
    workspace: Path, open_box: OpenBox
) -> None:
    slow = "".join(f"{'*a' * 40}{number}b\n" for number in range(500))
    (workspace / ".gitignore").write_text(slow + "**/" * 200 + "x\n" + "[" * 5000 + "\n")
    box = open_box()
    box.run("for i in $(seq 1 20); do echo > " + "a" * 200 + "$i; done")
    assert len(box.export().changes) == 20


def cli(
    directory: Path, home: Path, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(CLI), *arguments],
        cwd=directory,
        env={"HOME": str(home), "MOONPOOL_HOME": str(home / "state"), "LANG": "C.UTF-8",
             "XDG_CACHE_HOME": CACHE_HOME, "PATH": os.environ["PATH"], **environ},
        capture_output=True,
        timeout=100,
        check=False,
    )  # fmt: skip


def told(tmp_path: Path, *commands: str, text: str = "done") -> str:
    """A model that runs these commands, as `-m` takes it."""
    turns: list[dict[str, object]] = [
        {"calls": [{"tool": "bash", "arguments": {"command": command}}]} for command in commands
    ]
    path = tmp_path / "script.yaml"
    path.write_text(json.dumps({"version": 1, "turns": [*turns, {"text": text}]}))
    return f"script:{path}"


@pytest.mark.slow
def test_nothing_in_the_working_directory_is_imported_obeyed_or_configuration(
    workspace: Path, tmp_path: Path, canary: Canary, image: str
) -> None:
    sing = f"import os; os.system('{canary.program} < /dev/null')\n"
    for name in ("docker", "agent", "sandbox", "policies", "images", "yaml", "shutil", "anthropic",
                 "sitecustomize", "usercustomize", "json", "rich", "pydantic"):  # fmt: skip
        (workspace / f"{name}.py").write_text(sing)
        (workspace / name).mkdir()
        (workspace / name / "__init__.py").write_text(sing)
    everything = (
        "version: 1\nname: default\nextends: default\n+commands: [perl]\nexec_workspace: true\n"
    )
    for name in ("default", "default.yaml", ".moonpool.yaml", "moonpool.yaml", "policy.yaml"):
        (workspace / name).write_text(everything)
    for name in (".env", ".envrc", "pyvenv.cfg", "pyproject.toml", "Dockerfile", ".dockerignore"):
        (workspace / name).write_text(f"DOCKER_HOST=unix://{canary.mark}\nMOONPOOL_HOME=/\n*\n")
    for name in ("git", "docker", "python3"):
        (workspace / name).with_suffix(".d").mkdir(exist_ok=True)
        (workspace / f"{name}.d" / name).symlink_to(canary.program)
    done = cli(
        workspace, tmp_path, "run", "x", "-m",
        told(tmp_path, "perl -e 'print 42*42'; /usr/bin/perl -e 'print 42*42'; echo changed > c"),
        PATH=f".:git.d:docker.d:{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"1764" not in done.stdout
    for arguments in (("show", "last"), ("runs",), ("apply", "last", "--check"), ("apply", "last"),
                      ("policy", "show", "default"), ("doctor",)):  # fmt: skip
        cli(workspace, tmp_path, *arguments, PATH=f".:git.d:{os.environ['PATH']}")
    assert not canary.sang


def test_no_secret_of_the_host_enters_the_container_or_the_record(
    workspace: Path, tmp_path: Path, image: str
) -> None:
    (workspace / ".env").write_text(f"TOKEN={SECRET}\n")
    (workspace / "a").write_text("a\n")
    look = (
        "env; cat /proc/*/environ; cat .env; ls -la /; "
        f"grep -rlF {SECRET[:-1]} /etc /home /tmp /var /run /proc/1 2>/dev/null; echo looked > b"
    )
    done = cli(
        workspace, tmp_path, "run", "x", "--json", "-m", told(tmp_path, look),
        ANTHROPIC_API_KEY=SECRET, AWS_SECRET_ACCESS_KEY=SECRET, DOCKER_CANARY=SECRET,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"looked" in b"".join(path.read_bytes() for path in tmp_path.rglob("patch.diff"))
    assert SECRET.encode() not in done.stdout + done.stderr
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


@pytest.mark.slow
def test_nothing_that_a_repository_or_a_model_writes_acts_on_a_terminal_or_in_the_report(
    workspace: Path, tmp_path: Path, image: str
) -> None:
    title, clear = "\x1b]0;owned\x07", "\x1b[2J\x9b2J"
    page = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    task = f"{title}{page}\nverified: not"
    (workspace / "a").write_text("a\n")
    script = (
        "printf '\\033]0;owned\\007\\033[2J\\r\\b<script>alert(1)</script>'; "
        "printf x > $'\\e[2J<img src=x onerror=alert(1)>'; printf x > $'\\u202egnp.exe'; "
        f"printf '%s' '{page}' > page.html; ln -s '{page.replace('/', '')}' link; "
        "printf '\\033]52;c;b3duZWQ=\\007\\n</pre></span>' >> a; "
        "cd /tmp; mkdir $'\\e[5m'; cd $'\\e[5m'"
    )
    done = cli(
        workspace, tmp_path, "run", task, "--accept-risk", "bidi-control", "-m",
        told(tmp_path, script, "pwd; false", text=f"{title}{clear}{page}"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [cli(workspace, tmp_path, *words) for words in (("show", "last"), ("runs",),
             ("apply", "last", "--check"), ("show", "last", "--patch"))]  # fmt: skip
    for output in (done, *shown):
        text = (output.stdout + output.stderr).decode("utf-8", "strict")
        assert not {char for char in text if ord(char) < 32 or 127 <= ord(char) < 160} - {
            "\n",
            "\t",
        }
        assert "\u202e" not in text
        assert "\nverified: not" not in text
    report = next((tmp_path / "state").rglob("report.html")).read_text()
    assert "alert(1)" in report, "it is shown"
    assert "<script" not in report
    assert "<img" not in report
    assert "default-src 'none'" in report
    assert "\x1b" not in report
    assert "\u202e" not in report


def test_the_engine_and_the_workspace_on_the_host_are_as_they_were(
    trapped: Path, open_box: OpenBox, engine: Engine, default_policy: Policy
) -> None:
    def state() -> dict[str, tuple[int, int, bytes]]:
        found = {}
        for path in sorted(trapped.rglob("*")):
            status = path.lstat()
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path)] = (status.st_mode, status.st_mtime_ns, data)
        return found

    before = state()
    box: Sandbox = open_box(default_policy)
    box.run("rm -rf .git a.txt; echo x > b; chmod -R 0 .")
    box.export()
    box.close()
    assert state() == before
    assert box.id not in {row.id for row in engine.containers("moonpool.managed")}


def test_an_index_that_claims_the_operators_secrets_does_not_bring_them_in(
    workspace: Path, open_box: OpenBox
) -> None:
    """A repository that came with its `.git` may say that anything is tracked."""
    names = (".env", "id_rsa", ".npmrc", ".aws/credentials", "key.pem")
    (workspace / ".aws").mkdir()
    for name in names:
        (workspace / name).write_text("A=1\n")
    for words in (["init", "-q"], ["add", "-f", *names]):
        subprocess.run(["git", *words], cwd=workspace, check=True, env={"PATH": "/usr/bin:/bin"})
    secrets = {
        ".env": "DATABASE_URL=postgres://app:s3cr3t@db/app\n",
        "id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cr3t\n",
        ".npmrc": "//registry.example/:_password=s3cr3t\n",
        ".aws/credentials": "aws_secret_access_key = s3cr3t\n",
        "key.pem": "-----BEGIN ENCRYPTED PRIVATE KEY-----\ns3cr3t\n",
    }
    for name, text in secrets.items():
        (workspace / name).write_text(text)
    box = open_box()
    assert b"s3cr3t" not in box.run("cat .env id_rsa .npmrc .aws/* *.pem; grep -r s3cr3t .").stdout
    assert {item.path.decode() for item in box.left_behind} == set(names)


@pytest.mark.parametrize("claim", ["common", "tree", "fake", "fake behind a link"])
def test_a_tree_that_claims_to_be_a_work_tree_pulls_no_other_repository_in(
    claim: str, workspace: Path, tmp_path: Path, open_box: OpenBox
) -> None:
    """Only what a repository says of its own work trees counts, and no word of the tree's."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "secret").write_text("s3cr3t")
    named = {
        f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    for words in (
        ["init", "-q"], ["add", "."], ["commit", "-qm", "s3cr3t"],
        ["worktree", "add", "-q", str(tmp_path / "theirs"), "-b", "b"],
    ):  # fmt: skip
        subprocess.run(
            ["git", *words], cwd=other, check=True, env={"PATH": "/usr/bin:/bin", **named}
        )
    admin = workspace / "fake/worktrees/x"
    admin.mkdir(parents=True)
    (admin / "gitdir").write_text(f"{workspace}/.git\n")
    (admin / "commondir").write_text(f"{other}/.git\n")
    (admin / "HEAD").write_text("ref: refs/heads/b\n")
    (workspace / "link").symlink_to(other / ".git")
    if claim == "fake behind a link":
        # Its common directory is its own, and what is below leads away.
        (admin / "commondir").write_text("../..\n")
        for name in ("objects", "refs", "packed-refs", "config", "info"):
            (workspace / "fake" / name).symlink_to(other / ".git" / name)
        (admin / "index").symlink_to(other / ".git/index")
    target = {
        "common": f"{other}/.git", "tree": "link/worktrees/theirs",
        "fake": "fake/worktrees/x", "fake behind a link": f"{admin}",
    }[claim]  # fmt: skip
    (workspace / ".git").write_text(f"gitdir: {target}\n")
    box = open_box()
    said = box.run("git log --all; git status; git fsck --full; ls -laR .git; cat .git/*")
    assert b"s3cr3t" not in said.stdout
    found = box.run("find . -path '*objects/??/*' -o -name '*.pack' | wc -l; grep -rc s3cr3t .git")
    assert found.stdout.startswith(b"0\n")
