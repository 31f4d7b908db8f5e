"""A repository with every way we know to have a program started, and each of our commands in it.

Before the run the repository is trapped on the host; in the container the agent traps it again,
and its patch carries what a patch can. The working directory is the repository, its folders stand
first in PATH, and the host's own environment has git's variables set. No canary, whatever is run.
"""

import os
import subprocess
from pathlib import Path

import pytest

from command_line.running import CACHE_HOME
from escape.test_hostile_workspace import CLI, Canary, canary, git, told

pytestmark = pytest.mark.slow

__all__ = ["canary"]

HOOKS = [
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "p4-prepare-changelist",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "sendemail-validate",
    "update",
]

CONFIG = """
[core]
	fsmonitor = {run}
	hooksPath = {folder}
	pager = {run}
	editor = {run}
	sshCommand = {run}
	gitProxy = {run}
	askPass = {run}
	attributesFile = {tree}/.gitattributes
	excludesFile = {tree}/.gitignore
	alternateRefsCommand = {run}
	worktree = {tree}/sub
	untrackedCache = true
	splitIndex = true
[extensions]
	partialClone = origin
	worktreeConfig = true
[remote "origin"]
	url = ext::{run}
	promisor = true
	partialclonefilter = blob:none
	uploadpack = {run}
	receivepack = {run}
	vcs = {run}
	proxy = {run}
[url "ext::{run}"]
	insteadOf = https://
[protocol]
	allow = always
[filter "x"]
	clean = {run}
	smudge = {run}
	process = {run}
	required = true
[filter "lfs"]
	clean = {run}
	smudge = {run}
	process = {run}
[diff]
	external = {run}
	tool = x
	guitool = x
[diff "x"]
	textconv = {run}
	command = {run}
	cachetextconv = true
[difftool "x"]
	cmd = {run}
[merge]
	tool = x
[merge "x"]
	driver = {run}
	recursive = x
[mergetool "x"]
	cmd = {run}
[gpg]
	program = {run}
[gpg "ssh"]
	program = {run}
	defaultKeyCommand = {run}
[commit]
	gpgSign = true
	template = {run}
[log]
	showSignature = true
[credential]
	helper = !{run}
[sequence]
	editor = {run}
[interactive]
	diffFilter = {run}
[pager]
	apply = {run}
	diff = {run}
	diff-tree = {run}
[browser "x"]
	cmd = {run}
[man "x"]
	cmd = {run}
[web]
	browser = x
[help]
	autocorrect = immediate
[instaweb]
	httpd = {run}
[sendemail]
	smtpServer = {run}
[trailer "x"]
	command = {run}
	cmd = {run}
[submodule "sub"]
	update = !{run}
	url = ext::{run}
	active = true
[uploadpack]
	packObjectsHook = {run}
[receive]
	procReceiveRefs = refs
[maintenance]
	auto = true
[gc]
	auto = 1
	recentObjectsHook = {run}
[fsck]
	skipList = {run}
[alias]
	apply = !{run}
	diff = !{run}
	diff-tree = !{run}
	update-index = !{run}
	cat-file = !{run}
	ls-files = !{run}
	status = !{run}
[include]
	path = {tree}/more.config
[includeIf "gitdir:**"]
	path = {tree}/more.config
"""

ENVIRONMENT_OF_GIT = [
    "GIT_EXTERNAL_DIFF",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "GIT_EDITOR",
    "GIT_PAGER",
    "GIT_SEQUENCE_EDITOR",
    "GIT_PROXY_COMMAND",
    "GIT_TEMPLATE_DIR",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "LESSOPEN",
    "BASH_ENV",
    "ENV",
    "DOCKER_CERT_PATH",
]

MODULES = [
    "agent",
    "anthropic",
    "asyncio",
    "conftest",
    "docker",
    "encodings",
    "git",
    "hashlib",
    "images",
    "json",
    "logging",
    "openai",
    "os",
    "pathlib",
    "policies",
    "pydantic",
    "requests",
    "rich",
    "sandbox",
    "select",
    "selectors",
    "site",
    "sitecustomize",
    "socket",
    "sqlite3",
    "subprocess",
    "tarfile",
    "tempfile",
    "tree_sitter",
    "typing",
    "urllib3",
    "usercustomize",
    "yaml",
    "zlib",
]

PROGRAMS = [
    "bash",
    "cat",
    "containerd",
    "docker",
    "docker-credential-x",
    "git",
    "git-apply",
    "git-diff-tree",
    "git-lfs",
    "less",
    "more",
    "podman",
    "python",
    "python3",
    "runc",
    "sh",
    "ssh",
    "uname",
    "which",
    "xdg-open",
]


def plant(workspace: Path, canary: Canary) -> None:
    """Everything of a tree that some program on the host may take for its own."""
    run = canary.program
    sing = f"import os; os.system('{run} < /dev/null')\n"
    for name in MODULES:
        (workspace / f"{name}.py").write_text(sing)
        (workspace / name).mkdir(exist_ok=True)
        for part in ("__init__", "__main__"):
            (workspace / name / f"{part}.py").write_text(sing)
    for name in ("x.pth", "__editable__.pth", "distutils-precedence.pth"):
        (workspace / name).write_text(sing)
    (workspace / "__main__.py").write_text(sing)
    (workspace / "bin").mkdir()
    for name in PROGRAMS:
        (workspace / "bin" / name).symlink_to(run)
        (workspace / f"{name}.sh").symlink_to(run)
    texts = {
        ".gitattributes": "* filter=x diff=x merge=x ident eol=crlf working-tree-encoding=UTF-16\n"
        "[attr]binary filter=lfs diff=x\n",
        ".gitmodules": f'[submodule "sub"]\n\tpath = sub\n\turl = ext::{run}\n\tupdate = !{run}\n',
        "more.config": f"[core]\n\tfsmonitor = {run}\n\tpager = {run}\n",
        "pyvenv.cfg": f"home = {workspace}/bin\ninclude-system-site-packages = true\n",
        "pyproject.toml": f'[tool.pytest.ini_options]\naddopts = "-p conftest"\n# {run}\n',
        "pip.conf": f"[global]\nindex-url = file://{run}\n",
        ".envrc": f"{run}\n",
        ".env": f"DOCKER_HOST=unix://{canary.mark}\nPYTHONPATH={workspace}\nMOONPOOL_HOME=/\n",
        ".npmrc": f"script-shell={run}\n",
        ".netrc": "default login x password y\n",
        ".dockerignore": "*\n",
        "Dockerfile": f"FROM scratch\nRUN {run}\n",
        "compose.yaml": f"services: {{x: {{build: ., command: {run}}}}}\n",
        "config.json": '{"credsStore": "x", "credHelpers": {"*": "x"}, "proxies": {}}\n',
        ".bashrc": f"{run}\n",
        ".profile": f"{run}\n",
        "Makefile": f"$(shell {run})\n",
    }
    for name, text in texts.items():
        (workspace / name).write_text(text)
    for folder in (".docker", ".git-templates/hooks"):
        (workspace / folder).mkdir(parents=True)
    (workspace / ".docker/config.json").write_text(texts["config.json"])


def trap(workspace: Path, canary: Canary, tmp_path: Path) -> None:
    run = canary.program
    (workspace / "a.txt").write_text("one\ntwo\nthree\n")
    git(workspace, "init", "-q")
    git(workspace, "add", "a.txt")
    git(workspace, "commit", "-qm", "a")
    git(workspace, "replace", "HEAD^{tree}", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "-f")
    head = (workspace / ".git/refs/heads").iterdir().__next__().read_text().strip()
    plant(workspace, canary)
    private = workspace / ".git"
    for name in HOOKS:
        (private / "hooks" / name).unlink(missing_ok=True)
        (private / "hooks" / name).symlink_to(run)
    borrowed = tmp_path / "borrowed"
    (borrowed / "pack").mkdir(parents=True)
    for name, text in {
        "objects/info/alternates": f"{borrowed}\n",
        "info/attributes": "* filter=x diff=x merge=x\n",
        "info/grafts": f"{head}\n",
        "info/sparse-checkout": "/nothing\n",
        "config.worktree": f"[core]\n\tfsmonitor = {run}\n\thooksPath = {run.parent}\n",
        "remotes/origin": f"URL: ext::{run}\n",
        "branches/x": f"ext::{run}\n",
    }.items():
        (private / name).parent.mkdir(parents=True, exist_ok=True)
        (private / name).write_text(text)
    with (private / "config").open("a") as config:
        config.write(CONFIG.format(run=run, folder=run.parent, tree=workspace))
    # A bare repository among the files, a pointer to a repository elsewhere, and one of its own.
    bare = workspace / "bare"
    bare.mkdir()
    for name, text in {
        "HEAD": "ref: refs/heads/x\n",
        "config": f"[core]\n\tbare = false\n\tworktree = ..\n\tfsmonitor = {run}\n",
    }.items():
        (bare / name).write_text(text)
    for folder in ("objects", "refs", "hooks"):
        (bare / folder).mkdir()
    (workspace / "pointer").mkdir()
    (workspace / "pointer/.git").write_text("gitdir: ../bare\n")
    (workspace / "sub").mkdir()
    git(workspace / "sub", "init", "-q")
    (workspace / "sub/.git/commondir").write_text("../../bare\n")
    (workspace / "sub/.git/config").write_text((bare / "config").read_text())
    (workspace / "sub/file").write_text("x\n")


AGENT = """
cat > .gitattributes <<'E'
* filter=x diff=x merge=x -text
* filter=x diff=x merge=x -text
E
printf 'one\\nTWO\\nthree\\n' > a.txt
mkdir -p late .git/hooks
for name in docker json yaml sitecustomize agent; do
  echo 'import os; os.system("{run}")' > late/$name.py
done
printf '[core]\\n\\tfsmonitor = {run}\\n' >> .git/config
printf '#!/bin/sh\\n{run}\\n' > .git/hooks/post-checkout
echo '[submodule "late"]' >> .gitmodules
printf '%s' '$Id$' > late/ident
"""


@pytest.mark.xdist_group("prune")  # takes away what others made ahead
def test_no_command_starts_what_the_repository_or_the_agent_planted(
    workspace: Path, tmp_path: Path, canary: Canary, image: str
) -> None:
    trap(workspace, canary, tmp_path)
    run = str(canary.program)
    environment = {
        **dict.fromkeys(ENVIRONMENT_OF_GIT, run),
        "HOME": str(tmp_path),
        "MOONPOOL_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": CACHE_HOME,
        "LANG": "C.UTF-8",
        "PATH": f".:bin:{workspace}/bin:{os.environ['PATH']}",
        "GIT_DIR": str(workspace / ".git"),
        "GIT_WORK_TREE": str(workspace),
        "GIT_INDEX_FILE": str(workspace / ".git/index"),
        "GIT_OBJECT_DIRECTORY": str(workspace / ".git/objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(workspace / ".git/objects"),
        "GIT_EXEC_PATH": str(workspace / "bin"),
        "GIT_CONFIG_GLOBAL": str(workspace / ".git/config"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": run,
        "GIT_CONFIG_PARAMETERS": f"'core.fsmonitor={run}'",
        "GIT_TRACE": str(canary.mark),
    }

    def moonpool(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [str(CLI), *arguments],
            cwd=workspace,
            env=environment,
            capture_output=True,
            timeout=200,
            check=False,
        )
        assert not canary.sang, (arguments, canary.mark.read_text())
        assert b"Traceback" not in done.stderr, (arguments, done.stderr)
        return done

    model = told(tmp_path, AGENT.replace("{run}", run))
    ran = moonpool("run", "x", "-m", model, "--verify", "grep -q TWO a.txt")
    assert ran.returncode in (0, 5), ran.stdout + ran.stderr
    for arguments in (
        ("show", "last"),
        ("show", "last", "--patch"),
        ("runs",),
        ("blame", "last"),
        ("verify", "last"),
        ("replay", "last"),
        ("resume", "last"),
        ("policy", "check", "compose.yaml"),
        ("policy", "show", "default"),
        ("doctor",),
        ("image", "list"),
        ("apply", "last", "--check"),
        ("apply", "last", "--branch", "planted"),
    ):
        moonpool(*arguments)
    (workspace / "a.txt").write_text("zero\none\ntwo\nthree\nfour\n")
    moonpool("apply", "last")
    merged = moonpool("apply", "last", "--three-way")
    assert merged.returncode == 0, merged.stdout + merged.stderr
    assert "TWO" in (workspace / "a.txt").read_text()
    moonpool("prune")
    again = moonpool("run", "y", "-m", told(tmp_path, "echo again > a.txt"))
    assert again.returncode in (0, 5), again.stdout + again.stderr


def test_the_canaries_do_sing_for_a_git_that_reads_the_repository(
    workspace: Path, tmp_path: Path, canary: Canary
) -> None:
    trap(workspace, canary, tmp_path)
    (workspace / "a.txt").write_text("changed\n")
    subprocess.run(
        ["git", "status"],
        cwd=workspace,
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert canary.sang
