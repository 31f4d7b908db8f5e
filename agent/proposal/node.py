"""JavaScript: the packages of a lock or a manifest, into the workspace's node_modules."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from agent.proposal.repository import RepositoryFiles, section
from agent.proposal.values import Lines, Proposed, ProposedLine, not_in_recipe

NODE_MAJOR = 24
"""What the recipe holds; a test that runs it compares."""
_UPPER_BOUND = re.compile(r"<=?\s*v?[\d.]+")
_MAJOR = re.compile(r"(?<![\d.])\d{1,4}(?!\d)")
_NAMED_CLIENT = re.compile(r"(pnpm|yarn)@((\d{1,3})(?:\.\d{1,4}){2})(?:\+|$)")
_MAJORS = {"pnpm": range(7, 100), "yarn": range(1, 2), "@yarnpkg/cli-dist": range(3, 100)}
_BROUGHT = "/opt/venv"
_LARGEST_LOCK = 32 << 20
_YARN_4 = 8
"""The first form of a lock that yarn 4 writes."""
_INPUTS = (
    "package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
)  # fmt: skip
_REGISTRY = re.compile(r"(?im)^[^#;\n]{0,200}?(?:registry|_auth|_password)")
_NPM_SETTING = re.compile(
    r"^((?:[a-z-]*(?:peer|hoist|workspace)[a-z-]*|node-linker|resolution-mode|"
    r"exclude-links-from-lockfile)(?:\[\])?)[ \t]*=[ \t]*([A-Za-z0-9*@/._!-]{0,100})\s*$",
    re.ASCII | re.MULTILINE,
)
_MAX_SETTINGS = 50
_YARN_KEYS = (
    "^(packageExtensions|catalogs?|compressionLevel|supportedArchitectures|nmHoistingLimits):"
)
_LEAVE_YARN_KEYS = (
    rf"tr -d '\r' < .yarnrc.yml | awk '/^[^ #]/ {{keep = /{_YARN_KEYS}/}} keep' > /tmp/kept"
    " && mv /tmp/kept .yarnrc.yml"
)
"""What of a client's own file a lock depends on. Where packages come from, by which key, and what
hooks run is the operator's to say. A carriage return ends a line for Yarn, and none for awk."""
_BROWSERS = (
    "playwright", "playwright-chromium", "@playwright/test", "puppeteer", "cypress", "karma",
    "webdriverio", "selenium-webdriver",
)  # fmt: skip
_UNIT_TESTS = ("test:unit", "test-unit", "unit", "test:node")
"""Scripts that need no browser where the script test does."""
_BUILD = re.compile(r"\b(?:build|compile|tsc|tsup|tshy|rollup|babel|esbuild)\b")
"""Of a script prepare; those that install hooks for git do nothing for tests."""
_PATCHES = ("patches", ".yarn/patches")
"""Where pnpm and yarn keep those that they apply to packages."""
_QUIET = "--ignore-scripts --no-audit --no-fund"


def propose(files: RepositoryFiles) -> Proposed | None:
    if "package.json" not in files:
        return None
    manifest = files.json("package.json")
    workspaces = "workspaces" in manifest or "pnpm-workspace.yaml" in files
    notes = [
        *not_in_recipe("Node.js", "", NODE_MAJOR, _least_major(files, manifest), public="node:")
    ]
    notes += (
        f"{name} names a registry or a key for one, which set-up does not take from there: "
        "configure your own npm, or add the host to the network list"
        for name in (".npmrc", ".yarnrc", ".yarnrc.yml")
        if _REGISTRY.search(files.text(name) or "")
    )
    browser = _browser(manifest)
    if browser:
        notes.append(
            f"package.json asks for {browser}, and the recipe has no browser: what tests in one "
            "fails; name an image of your own that has it (image: REFERENCE)"
        )
    scripts = section(manifest, "scripts")
    verify = _verify(scripts, browser)
    proposed = Proposed(
        image="node", reason="package.json is JavaScript's", verify=verify, notes=tuple(notes)
    )
    needs = any(
        isinstance(manifest.get(key), Mapping) and manifest[key]
        for key in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
    )
    if not needs and not workspaces:
        return proposed
    names = [name for name in _INPUTS if name in files]
    if workspaces:
        names.append("**/package.json")
    names += [f"{it}/*" for it in _PATCHES if files.listed(it)]
    commands, programs, settings = _install(files, str(manifest.get("packageManager")))
    line = _settings(files, settings)
    if line:
        commands = (ProposedLine(line, f"what {settings} says that a lock depends on"), *commands)
        names += [settings] if settings == ".yarnrc.yml" else []
    # npm takes what pnpm links to for a source, and runs what builds that.
    rebuild = "pnpm rebuild" if "pnpm" in {it.value for it in programs} else "npm rebuild"
    prepare = [ProposedLine(rebuild, "install scripts of packages, now without a network")]
    # pnpm runs it as it rebuilds.
    if "pnpm" not in rebuild and _BUILD.search(str(scripts.get("prepare"))):
        prepare.append(ProposedLine("npm run prepare", "builds, as an install in a clone does"))
    return proposed._replace(
        inputs=tuple(ProposedLine(it, "says which packages, and which versions") for it in names),
        commands=commands,
        programs=programs,
        network=(ProposedLine("npm", "the registry that your own npm is configured for"),),
        prepare=tuple(prepare),
    )


def _settings(files: RepositoryFiles, name: str) -> str:
    """A line that gives set-up the part of a client's own file that it needs; empty without one."""
    text = files.text(name) or ""
    if name == ".yarnrc.yml":
        return _LEAVE_YARN_KEYS if re.search(_YARN_KEYS, text, re.MULTILINE) else ""
    # Set-up takes no such file: it may hold a key.
    found = _NPM_SETTING.findall(text)[:_MAX_SETTINGS]
    rows = " ".join(shlex.quote("=".join(it)) for it in found)
    return f"printf '%s\\n' {rows} > .npmrc" if found else ""


def _browser(manifest: Mapping[str, Any]) -> str | None:
    """What drives a browser for tests, by the packages that the manifest asks for."""
    asked = {*section(manifest, "dependencies"), *section(manifest, "devDependencies")}
    return next((it for it in _BROWSERS if it in asked), None)


def _verify(scripts: Mapping[str, Any], browser: str | None) -> ProposedLine | None:
    test = scripts.get("test")
    if browser:
        name = next((it for it in _UNIT_TESTS if isinstance(scripts.get(it), str)), None)
        if name:
            reason = f"package.json has this script, and its script test may need {browser}"
            return ProposedLine(f"npm run {name}", reason)
    if not isinstance(test, str) or "no test specified" in test:
        return None
    if re.search(r"\baud(it)?\b", str(scripts.get("posttest"))):
        reason = "package.json has a script test; what it runs after asks the registry"
        return ProposedLine("npm test --ignore-scripts", reason)
    return ProposedLine("npm test", "package.json has a script test")


def _least_major(files: RepositoryFiles, manifest: Mapping[str, Any]) -> int | None:
    """The oldest Node.js that will do, by what the manifest or a version manager's file says."""
    said = section(manifest, "engines").get("node")
    texts = (said, *(files.text(it) for it in (".nvmrc", ".node-version") if it in files))
    text = next((it for it in texts if isinstance(it, str)), "")
    return min(map(int, _MAJOR.findall(_UPPER_BOUND.sub("", text))), default=None)


def _install(files: RepositoryFiles, client: str) -> tuple[Lines, Lines, str]:
    """Commands, by the client whose lock is there, the programs that they bring, its own file.

    Args:
        client: the one that the manifest names, with its version.
    """
    settings = ".npmrc"
    if "package-lock.json" in files or "npm-shrinkwrap.json" in files:
        line = ProposedLine(f"npm ci {_QUIET}", "exactly what the lock of npm says")
        return (line,), (), settings
    lock = next((it for it in ("pnpm-lock.yaml", "yarn.lock") if it in files), None)
    if lock is None:
        reason = "package.json has no lock: the newest that fit"
        line = ProposedLine(f"npm install --no-package-lock {_QUIET}", reason)
        return (line,), (), settings
    text = files.text(lock, _LARGEST_LOCK) or ""
    named = _NAMED_CLIENT.match(client)
    form = re.search(r"(?m)^(?:lockfileVersion: '?|__metadata:\n  version: )(\d{1,2})\b", text)
    version = int(form[1]) if form else 0
    name = package = lock.partition("-")[0].partition(".")[0]
    if name == "pnpm":
        wanted = str({5: 7, 6: 8}.get(version, 10))
        # What pnpm-workspace.yaml names as its hooks may come with a package.
        command = (
            f"{_BROUGHT}/bin/pnpm install --frozen-lockfile --ignore-scripts --ignore-pnpmfile"
        )
    elif version:
        package, wanted = "@yarnpkg/cli-dist", "4" if version >= _YARN_4 else "3"
        settings = ".yarnrc.yml"
        # In the form that every program knows, whatever that file says.
        command = f"YARN_NODE_LINKER=node-modules {_BROUGHT}/bin/yarn install --immutable"
        command += " --mode=skip-build"
    else:
        wanted = "1"
        # It would fetch each package from where the lock found it, and not from your own registry.
        command = (
            f"sed -i.found '/^  resolved /d' yarn.lock && {_BROUGHT}/bin/yarn install "
            '--registry "$npm_config_registry" --frozen-lockfile --ignore-scripts && '
            "mv yarn.lock.found yarn.lock"
        )
    # One that knows these flags, and reads this lock.
    if named and named[1] == name and int(named[3]) in _MAJORS[package]:
        wanted = named[2]
    brought = ProposedLine(
        f"npm install --global --prefix {_BROUGHT} {_QUIET} {package}@{wanted}",
        f"{name}, which the lock is of, outside the workspace and first in PATH",
    )
    return (
        (brought, ProposedLine(command, f"exactly what {lock} says")),
        (ProposedLine(name, "scripts of package.json may call it"),),
        settings,
    )
