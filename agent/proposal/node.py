"""JavaScript: the packages of a lock or a manifest, into the workspace's node_modules."""

import re
from collections.abc import Mapping
from typing import Any

from agent.proposal.repository import RepositoryFiles, section
from agent.proposal.values import Proposed, ProposedLine, not_in_recipe

NODE_MAJOR = 24
"""What the recipe holds; a test that runs it compares."""
_UPPER_BOUND = re.compile(r"<=?\s*v?[\d.]+")
_MAJOR = re.compile(r"(?<![\d.])\d{1,4}(?!\d)")
_INPUTS = (
    "package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
)  # fmt: skip
_QUIET = "--ignore-scripts --no-audit --no-fund"


def propose(files: RepositoryFiles) -> Proposed | None:
    if "package.json" not in files:
        return None
    manifest = files.json("package.json")
    needs = any(
        isinstance(manifest.get(key), Mapping) and manifest[key]
        for key in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
    )
    notes = [*not_in_recipe("Node.js", "", NODE_MAJOR, _least_major(files, manifest))]
    if ".npmrc" in files or ".yarnrc" in files or ".yarnrc.yml" in files:
        notes.append(
            "the repository configures its package client, perhaps with another registry: set-up "
            "does not see that file; configure your own npm, or add the host to the network list"
        )
    if "workspaces" in manifest:
        notes.append("workspaces: add the package.json of each of them to the inputs")
    verify = None
    if isinstance(section(manifest, "scripts").get("test"), str):
        verify = ProposedLine("npm test", "package.json has a script test")
    proposed = Proposed(
        image="node", reason="package.json is JavaScript's", verify=verify, notes=tuple(notes)
    )
    if not needs:
        return proposed
    why = "install scripts of packages, now without a network"
    return proposed._replace(
        inputs=tuple(
            ProposedLine(name, "says which packages, and which versions")
            for name in _INPUTS
            if name in files
        ),
        commands=(_install(files),),
        network=(ProposedLine("npm", "the registry that your own npm is configured for"),),
        prepare=(ProposedLine("npm rebuild", why),),
    )


def _least_major(files: RepositoryFiles, manifest: Mapping[str, Any]) -> int | None:
    """The oldest Node.js that will do, by what the manifest or a version manager's file says."""
    said = section(manifest, "engines").get("node")
    texts = (said, *(files.text(it) for it in (".nvmrc", ".node-version") if it in files))
    text = next((it for it in texts if isinstance(it, str)), "")
    return min(map(int, _MAJOR.findall(_UPPER_BOUND.sub("", text))), default=None)


def _install(files: RepositoryFiles) -> ProposedLine:
    if "package-lock.json" in files or "npm-shrinkwrap.json" in files:
        return ProposedLine(f"npm ci {_QUIET}", "exactly what the lock of npm says")
    if "pnpm-lock.yaml" in files:
        line = "npx --yes pnpm@9 install --frozen-lockfile --ignore-scripts"
        return ProposedLine(line, "exactly what pnpm-lock.yaml says")
    if "yarn.lock" in files:
        line = "npx --yes yarn@1 install --frozen-lockfile --ignore-scripts"
        return ProposedLine(line, "exactly what yarn.lock says")
    return ProposedLine(
        f"npm install --no-package-lock {_QUIET}", "package.json has no lock: the newest that fit"
    )
