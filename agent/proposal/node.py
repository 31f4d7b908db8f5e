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
_LARGEST_LOCK = 32 << 20
_YARN_4 = 8
"""The first form of a lock that yarn 4 writes."""
_INPUTS = (
    "package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
)  # fmt: skip
_PATCHES = ("patches", ".yarn/patches")
"""Where pnpm and yarn keep those that they apply to packages."""
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
    verify = None
    if isinstance(section(manifest, "scripts").get("test"), str):
        verify = ProposedLine("npm test", "package.json has a script test")
    proposed = Proposed(
        image="node", reason="package.json is JavaScript's", verify=verify, notes=tuple(notes)
    )
    if not needs:
        return proposed
    why = "install scripts of packages, now without a network"
    names = [name for name in _INPUTS if name in files]
    if "workspaces" in manifest or "pnpm-workspace.yaml" in names:
        names.append("**/package.json")
    names += [f"{it}/*" for it in _PATCHES if files.listed(it)]
    return proposed._replace(
        inputs=tuple(ProposedLine(it, "says which packages, and which versions") for it in names),
        commands=(_install(files, str(manifest.get("packageManager"))),),
        network=(ProposedLine("npm", "the registry that your own npm is configured for"),),
        prepare=(ProposedLine("npm rebuild", why),),
    )


def _least_major(files: RepositoryFiles, manifest: Mapping[str, Any]) -> int | None:
    """The oldest Node.js that will do, by what the manifest or a version manager's file says."""
    said = section(manifest, "engines").get("node")
    texts = (said, *(files.text(it) for it in (".nvmrc", ".node-version") if it in files))
    text = next((it for it in texts if isinstance(it, str)), "")
    return min(map(int, _MAJOR.findall(_UPPER_BOUND.sub("", text))), default=None)


def _install(files: RepositoryFiles, client: str) -> ProposedLine:
    """By the client whose lock is there.

    Args:
        client: the one that the manifest names, with its version.
    """
    if "package-lock.json" in files or "npm-shrinkwrap.json" in files:
        return ProposedLine(f"npm ci {_QUIET}", "exactly what the lock of npm says")
    lock = next((it for it in ("pnpm-lock.yaml", "yarn.lock") if it in files), None)
    if lock is None:
        reason = "package.json has no lock: the newest that fit"
        return ProposedLine(f"npm install --no-package-lock {_QUIET}", reason)
    text = files.text(lock, _LARGEST_LOCK) or ""
    named = re.match(r"(?:pnpm|yarn)@(\d{1,2})\.", client)
    form = re.search(r"(?m)^(?:lockfileVersion: '?|__metadata:\n  version: )(\d{1,2})\b", text)
    version = int(form[1]) if form else 0
    if lock == "pnpm-lock.yaml":
        major = named[1] if named else {5: 7, 6: 8}.get(version, 10)
        # What pnpm-workspace.yaml names as its hooks may come with a package.
        hooks = "--ignore-pnpmfile"
        line = f"npx --yes pnpm@{major} install --frozen-lockfile --ignore-scripts {hooks}"
    elif version:
        major = named[1] if named else 4 if version >= _YARN_4 else 3
        # In the form that every program knows, whatever .yarnrc.yml says.
        line = (
            f"YARN_NODE_LINKER=node-modules npx --yes @yarnpkg/cli-dist@{major} "
            "install --immutable --mode=skip-build"
        )
    else:
        # It would fetch each package from where the lock found it, and not from your own registry.
        line = (
            "sed -i.found '/^  resolved /d' yarn.lock && npx --yes yarn@1 install "
            '--registry "$npm_config_registry" --frozen-lockfile --ignore-scripts && '
            "mv yarn.lock.found yarn.lock"
        )
    return ProposedLine(line, f"exactly what {lock} says")
