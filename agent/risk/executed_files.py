"""Files that something runs or obeys without being asked: the table, and finding a path in it.

Owns the names, in lower case: on some systems .GitHub is .github. ``name`` is a file at any depth,
``name/`` a folder at any depth, ``/path`` begins at the root, and one ``*`` in a name stands for
anything. Content is not looked at: that such a file changed at all is what a reviewer must know.
"""

from collections.abc import Iterator

from agent.risk.finding import Finding, found
from agent.risk.inspected_patch import InspectedPatch
from agent.risk.paths import SUBMODULE, named
from sandbox.git.manifest import SYMLINK
from sandbox.git.path_rules import folded_path
from sandbox.patch.values import ChangeKind

PLACES: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "ci-workflow": (
        (
            "GitHub runs it",
            ("/.github/workflows/", "/.github/actions/", "action.yml", "action.yaml"),
        ),
        ("GitLab runs it", (".gitlab-ci.yml", ".gitlab-ci.yaml", "/.gitlab/ci/")),
        ("CircleCI runs it", ("/.circleci/",)),
        ("Jenkins runs it", ("jenkinsfile", "jenkinsfile.*", "*.jenkinsfile")),
        (
            "Azure Pipelines runs it",
            ("azure-pipelines*.yml", "azure-pipelines*.yaml", "/.azure-pipelines/"),
        ),
        ("Buildkite runs it", ("/.buildkite/", "buildkite.yml")),
        ("Drone runs it", (".drone.yml", ".drone.star", ".drone.jsonnet")),
        ("Woodpecker runs it", (".woodpecker.yml", ".woodpecker.yaml", "/.woodpecker/")),
        ("Travis runs it", (".travis.yml",)),
        ("AppVeyor runs it", ("appveyor.yml", ".appveyor.yml")),
        ("Bitbucket runs it", ("bitbucket-pipelines.yml",)),
        ("Tekton runs it", ("/.tekton/",)),
        ("Gitea or Forgejo runs it", ("/.gitea/workflows/", "/.forgejo/workflows/")),
        ("Cirrus CI runs it", (".cirrus.yml", ".cirrus.star")),
        ("Semaphore runs it", ("/.semaphore/",)),
        ("TeamCity runs it", ("/.teamcity/",)),
        ("Google Cloud Build runs it", ("cloudbuild.yaml", "cloudbuild.yml", "cloudbuild.json")),
        ("AWS CodeBuild runs it", ("buildspec.yml", "buildspec.yaml")),
        (
            "a documentation or preview service builds with it",
            (".readthedocs.yml", ".readthedocs.yaml", "netlify.toml", "vercel.json"),
        ),
        (
            "a bot merges or updates by it",
            (
                "/.github/dependabot.yml",
                "/.github/dependabot.yaml",
                "renovate.json",
                "renovate.json5",
                ".renovaterc",
                ".renovaterc.json",
                ".mergify.yml",
            ),
        ),
        ("it says who must review", ("codeowners",)),
    ),
    "git-hook": (
        (
            "a git hook",
            (
                ".githooks/",
                ".husky/",
                "/hooks/pre-commit",
                "/hooks/post-checkout",
                "/hooks/pre-push",
                "/hooks/post-merge",
            ),
        ),
        (
            "it names programs that run as git hooks",
            (
                ".pre-commit-config.yaml",
                ".pre-commit-config.yml",
                ".pre-commit-hooks.yaml",
                "lefthook.yml",
                "lefthook.yaml",
                ".lefthook.yml",
                ".lefthook.yaml",
                "lefthook.toml",
                "lefthook.json",
                ".lefthook/",
                ".huskyrc",
                ".huskyrc.*",
                ".lintstagedrc",
                ".lintstagedrc.*",
                ".overcommit.yml",
                ".simple-git-hooks.*",
            ),
        ),
        ("it can put filters and diff drivers to work", (".gitattributes",)),
        ("it says what git fetches, and from where", (".gitmodules", ".lfsconfig")),
        ("git configuration", (".gitconfig",)),
    ),
    "editor-task": (
        ("VS Code reads it on opening the folder", (".vscode/", "*.code-workspace")),
        ("JetBrains reads it on opening the folder", (".idea/", ".run/", ".fleet/")),
        (
            "an editor reads it on opening the folder",
            (
                ".zed/",
                ".helix/",
                ".vimrc",
                ".nvimrc",
                ".exrc",
                ".nvim.lua",
                ".vim/",
                ".nvim/",
                ".dir-locals.el",
                ".dir-locals-2.el",
                "*.sublime-project",
                ".projectile",
            ),
        ),
        (
            "a development container is made by it",
            (".devcontainer/", ".devcontainer.json", ".gitpod.yml", ".gitpod.dockerfile"),
        ),
        (
            "a shell runs it on entering the folder",
            (
                ".envrc",
                ".direnvrc",
                ".autoenv",
                ".autoenv.zsh",
                ".bashrc",
                ".zshrc",
                ".profile",
                ".bash_profile",
                ".zshenv",
                ".in",
                ".out",
            ),
        ),
        (
            "a version manager runs or installs by it",
            (
                ".tool-versions",
                "mise.toml",
                ".mise.toml",
                ".mise/",
                "mise.*.toml",
                ".rtx.toml",
                "devbox.json",
            ),
        ),
        ("a debugger reads it on start", (".gdbinit", ".lldbinit", ".pdbrc")),
    ),
    "agent-instructions": (
        (
            "coding agents obey it",
            (
                "agents.md",
                "agent.md",
                "agents.override.md",
                "claude.md",
                "claude.local.md",
                "gemini.md",
                "qwen.md",
                "conventions.md",
                "skill.md",
                "/.github/copilot-instructions.md",
                "/.github/instructions/",
                "/.github/prompts/",
                "/.github/chatmodes/",
                "/.github/agents/",
                "/.github/skills/",
                ".cursorrules",
                ".cursorignore",
                ".windsurfrules",
                ".clinerules",
                ".roorules",
                ".roomodes",
                ".goosehints",
                ".rules",
                ".aider*",
                "llms.txt",
            ),
        ),
        (
            "it configures a coding agent",
            (
                ".claude/",
                ".cursor/",
                ".codex/",
                ".gemini/",
                ".windsurf/",
                ".cline/",
                ".roo/",
                ".kiro/",
                ".continue/",
                ".junie/",
                ".amazonq/",
                ".augment/",
                ".openhands/",
                ".opencode/",
                "opencode.json",
                ".agents/",
                ".agent/",
                ".trae/",
                ".qwen/",
                ".goose/",
                ".amp/",
            ),
        ),
        (
            "it names tool servers that agents start",
            (".mcp.json", "mcp.json", ".mcp/", "mcp.yaml", "mcp.toml"),
        ),
    ),
    "install-script": (
        ("Python runs it on install, or builds by it", ("setup.py", "setup.cfg", "hatch_build.py")),
        (
            "a build fetches and runs what it says",
            (
                "go.mod",
                "pom.xml",
                "build.gradle",
                "build.gradle.kts",
                "settings.gradle",
                "settings.gradle.kts",
                "build.sbt",
                "mix.exs",
                "package.swift",
                "podfile",
                "pubspec.yaml",
                "deno.json",
                "deno.jsonc",
                "environment.yml",
                "environment.yaml",
                "flake.nix",
                "*.csproj",
                "*.targets",
                "directory.build.props",
            ),
        ),
        (
            "Python runs it at every start",
            ("*.pth", "sitecustomize.*", "usercustomize.*", "sitecustomize/", "usercustomize/"),
        ),
        ("Cargo runs it on build, or builds by it", ("build.rs", ".cargo/")),
        ("npm compiles by it on install", ("binding.gyp",)),
        ("Ruby runs it on install", ("extconf.rb", "*.gemspec", "gemfile", ".bundle/")),
        (
            "it says what a package manager runs, or where it downloads",
            (
                ".npmrc",
                ".yarnrc",
                ".yarnrc.yml",
                ".yarnrc.yaml",
                ".pnpmfile.cjs",
                ".pnpmfile.mjs",
                "pnpm-workspace.yaml",
                ".yarn/plugins/",
                ".yarn/releases/",
                "bunfig.toml",
                "pip.conf",
                "pip.ini",
                "uv.toml",
                "poetry.toml",
                "pdm.toml",
                "hatch.toml",
                ".condarc",
                "nuget.config",
                ".mvn/",
                "/gradle/wrapper/",
                "gradlew",
                "gradlew.bat",
                "mvnw",
                "mvnw.cmd",
                "init.gradle",
                "go.work",
                ".bazelrc",
            ),
        ),
    ),
}


def inspect(subject: InspectedPatch) -> Iterator[Finding]:
    for change in subject.patch.changes:
        old = change.old_path or change.path
        before = {} if old == change.path else dict(places_of(old))
        now = {
            kind: reason + named(change.path, name)
            for name in reversed(subject.aliases.of(change.path))
            for kind, reason in places_of(name)
        }
        if change.new_mode in {SYMLINK, SUBMODULE}:
            now = {**dict(_places_below(change.path)), **now}
        for kind, reason in {**before, **now}.items():
            moved = change.kind == ChangeKind.RENAMED
            how = f"moved from {old.decode('utf-8', 'backslashreplace')}" if moved else change.kind
            yield found(kind, change.path, f"{how}; {reason}")


def places_of(path: bytes) -> Iterator[tuple[str, str]]:
    """Kinds and reasons; a kind may come twice. The time does not depend on the table's size."""
    path = folded_path(path)
    *above, name = path.split(b"/")
    if place := _NAMES.get(name):
        yield place
    for part in above:
        if place := _FOLDERS.get(part):
            yield place
    if path.startswith(_BEGINNINGS):
        yield next(place for start, place in _ANCHORED.items() if path.startswith(start))
    if name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
        for (prefix, suffix), place in _GLOBS.items():
            fits = name.startswith(prefix) and name.endswith(suffix)
            if fits and len(name) >= len(prefix) + len(suffix):
                yield place


def _places_below(path: bytes) -> Iterator[tuple[str, str]]:
    """Of what can only be reached through a link or submodule that takes a folder's place."""
    path = folded_path(path)
    if place := _FOLDERS.get(path.rpartition(b"/")[2]):
        yield place
    for start, place in _ANCHORED.items():
        if start.startswith(path + b"/"):
            yield place


_NAMES: dict[bytes, tuple[str, str]] = {}
_FOLDERS: dict[bytes, tuple[str, str]] = {}
_ANCHORED: dict[bytes, tuple[str, str]] = {}
_GLOBS: dict[tuple[bytes, bytes], tuple[str, str]] = {}
for _kind, _rows in PLACES.items():
    for _reason, _entries in _rows:
        for _entry in _entries:
            _bytes = _entry.encode()
            if _entry.startswith("/"):
                _ANCHORED[_bytes[1:]] = (_kind, _reason)
            elif "*" in _entry:
                _prefix, _, _suffix = _bytes.partition(b"*")
                _GLOBS[_prefix, _suffix] = (_kind, _reason)
            elif _entry.endswith("/"):
                _FOLDERS[_bytes[:-1]] = (_kind, _reason)
            else:
                _NAMES[_bytes] = (_kind, _reason)
_BEGINNINGS = tuple(_ANCHORED)
_PREFIXES = tuple(prefix for prefix, _ in _GLOBS if prefix)
_SUFFIXES = tuple(suffix for prefix, suffix in _GLOBS if not prefix)
