"""JavaScript workspaces by every client that a lock may be of.

Opt-in (`make test-real`): it needs the registry. The client itself writes the lock, by `docker run`
on the engine's bridge. With what `init` proposes for it, and no edit, each workspace finds the
version that it asks for, sealed and offline, by a script that calls the client itself.
"""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from acceptance.real_packages import MOONPOOL, plainly
from images.build import ensure
from sandbox.engine.docker import Engine

SCRIPT = """version: 1
turns:
  - calls:
      - {tool: bash, arguments: {command: npm test}}
  - expect: "2.0.0 and 2.1.3"
    text: They are there.
"""
WORKSPACES = {"workspaces": ["packages/*"]}
PNPM_12 = "export pnpm_config_pm_on_fail=ignore; npx --yes pnpm@12 install --lockfile-only"
CLIENTS: Mapping[str, tuple[Mapping[str, object], str, str, str]] = {
    "npm": (WORKSPACES, "1.0.0", "package-lock.json", "npm install --package-lock-only"),
    "yarn 1": (WORKSPACES, "1.0.0", "yarn.lock", "npx --yes yarn@1 install --ignore-scripts"),
    "yarn 4": (
        WORKSPACES,
        "workspace:*",
        "yarn.lock",
        "touch yarn.lock; npx --yes @yarnpkg/cli-dist@4 install --mode=update-lockfile",
    ),
    "pnpm 8": ({}, "workspace:*", "pnpm-lock.yaml", "npx --yes pnpm@8 install --lockfile-only"),
    "pnpm 12": ({"packageManager": "pnpm@12.21.0"}, "workspace:*", "pnpm-lock.yaml", PNPM_12),
}
"""What the manifest says beside, how a workspace names another, the lock, and what writes it."""
SETTINGS = {
    ".npmrc": "auto-install-peers=false\nlegacy-peer-deps=true\n",
    ".yarnrc.yml": 'compressionLevel: mixed\npackageExtensions:\n  "semver@*":\n    dependencies:\n'
    '      ms: "2.1.3"\n',
}
"""What a lock may depend on: pnpm refuses its own that was made with others."""
SCRIPTS = {
    "npm": "npm run look --workspace new",
    "yarn": "yarn workspace new run look",
    "pnpm": "pnpm --filter new run look",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_each_workspace_finds_its_own_version(client: str, tmp_path: Path) -> None:
    said, other, lock, command = CLIENTS[client]
    test = "const old = require('old'), ms = require('ms/package.json').version\nconsole.log(old, "
    whole = {
        "name": "all",
        "private": True,
        "scripts": {"test": SCRIPTS[client.partition(" ")[0]]},
        **said,
    }
    files: dict[str, object] = {
        "package.json": {**whole, "devDependencies": {"semver": "^7"}},
        "packages/old/package.json": {
            "name": "old", "version": "1.0.0", "dependencies": {"ms": "2.0.0"},
        },
        "packages/old/index.js": "module.exports = require('ms/package.json').version\n",
        "packages/new/package.json": {
            "name": "new", "version": "1.0.0", "scripts": {"look": "node ."},
            "dependencies": {"ms": "2.1.3", "old": other},
        },
        "packages/new/index.js": f"{test}'and', ms)\n",
    }  # fmt: skip
    files |= SETTINGS
    if "workspaces" not in said:
        files["pnpm-workspace.yaml"] = "packages:\n  - packages/*\n"
    root = tmp_path / "repository"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content if isinstance(content, str) else json.dumps(content))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(root, ".")
    image = ensure(Engine.connect(os.environ), "node", on_progress=print)
    script = f"mkdir /tmp/r; cd /tmp/r; tar x; {{ {command}; }} >&2 && cat {lock}"
    locked = plainly(image, "npm", script, packed.getvalue())
    assert locked.returncode == 0, locked.stderr.decode()
    (root / lock).write_bytes(locked.stdout)

    policy = tmp_path / "policy.yaml"
    policy.write_bytes(subprocess.check_output([MOONPOOL, "init"], cwd=root))
    (tmp_path / "script.yaml").write_text(SCRIPT)
    done = subprocess.run(
        [MOONPOOL, "run", "look", "-w", str(root), "-p", str(policy),
         "-m", f"script:{tmp_path}/script.yaml", "--verify", "npm test", "--json"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "MOONPOOL_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["outcome"] == "finished"
    report = json.loads((tmp_path / "home/runs" / summary["run_id"] / "run.json").read_text())
    assert report["verification"]["type"] == "verified"
