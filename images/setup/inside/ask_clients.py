"""Asks package clients where they get packages from. Python 3.8, standard library.

Run on the operator's machine as its own process, or in an image. Reads one line of JSON,
``words``, and prints one: by word, ``index``, ``extra`` (addresses), ``scopes`` (address by what it
is for), ``settings`` (variables as the client has them) and ``cooldown`` (the client takes a date
before which a release must be); nothing for a client that is not there. What a client is configured
to use counts, or else what it was made to use. Credentials in addresses stay in: the reader takes
them off.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

_BINARY_LIMIT = 1 << 27


def _said(*command: str) -> str:
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd="/", timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _answer(
    index: list[str],
    extra: list[str] | tuple[str, ...] = (),
    scopes: dict[str, str] | None = None,
    settings: dict[str, str] | None = None,
    *,
    cooldown: bool = False,
) -> dict[str, object]:
    return {
        "index": index, "extra": list(extra), "scopes": scopes or {}, "settings": settings or {},
        "cooldown": cooldown,
    }  # fmt: skip


_PIP = """
import json
from importlib.util import find_spec
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
settings = Configuration(isolated=False)
settings.load()
said = {}
for key, value in settings.items():
    # Newer ones give a table for each file.
    rows = value.items() if isinstance(value, dict) else ((key, value),)
    said.update((name.rpartition(".")[2], str(text)) for name, text in rows)
# Read and not imported, which takes longer.
with open(find_spec("pip._internal.cli.cmdoptions").origin, encoding="utf-8") as options:
    cooldown = "uploaded_prior_to" in options.read()
print(json.dumps([
    said.get("index-url", PyPI.simple_url).split() + said.get("extra-index-url", "").split(),
    PyPI.netloc, PyPI.file_storage_domain, cooldown,
]))
"""


def pip() -> dict[str, object] | None:
    for python in (sys.executable, "python3", "python"):
        said = _said(python, "-I", "-c", _PIP)
        if said:
            index, public, files, cooldown = json.loads(said)
            extra = ["https://" + files] if any(public in address for address in index) else []
            return _answer(index, extra, cooldown=cooldown)
    return None


def npm() -> dict[str, object] | None:
    try:
        said = json.loads(_said("npm", "config", "list", "--json"))
    except ValueError:
        return None
    scopes = {key: value for key, value in said.items() if re.match(r"@[\w.-]+:registry\Z", key)}
    if not said.get("registry"):
        return None
    return _answer([said["registry"]], scopes=scopes, cooldown="before" in said)


def apt() -> dict[str, object] | None:
    said = _said("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    if not said:
        # What is listed there needs lists that were fetched; an image has none.
        listed = "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null; :"
        said = _said("sh", "-c", listed)
    found = dict.fromkeys(re.findall(r"^[^#\n]*?(https?://[^\s\]]+)", said, re.MULTILINE))
    return _answer(list(found)) if found else None


def cargo() -> dict[str, object] | None:
    program = shutil.which("cargo")
    if program is None:
        return None
    mirror, scopes = _cargo_settings()
    if mirror:
        return _answer([mirror], scopes=dict(scopes, mirror=mirror))
    # It has no command that says so without a project, and the address is in the program.
    with open(os.path.realpath(program), "rb") as file:
        data = file.read(_BINARY_LIMIT)
    found = re.search(rb"sparse\+(https://[a-z0-9-]+\.([a-z0-9.-]+)/)", data)
    if found is None:
        return None
    return _answer([found.group(1).decode()], ["https://*." + found.group(2).decode()], scopes)


def _cargo_settings() -> tuple[str, dict[str, str]]:
    """What takes the public registry's place, and the others by name. Never a token."""
    try:
        import tomllib  # noqa: PLC0415 - an image's Python may have none

        folder = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
        with open(os.path.join(folder, "config.toml"), "rb") as file:
            said = tomllib.load(file)
        name = said.get("source", {}).get("crates-io", {}).get("replace-with")
        mirror = str(said.get("source", {}).get(name, {}).get("registry", ""))
        others = {key: str(row["index"]) for key, row in said.get("registries", {}).items()}
    except (ImportError, OSError, ValueError, AttributeError, KeyError, TypeError):
        return "", {}
    return mirror, others


def go() -> dict[str, object] | None:
    # Whom it asks for what, and what it must be told again: `go env -w` writes no variable.
    names = ("GOSUMDB", "GONOSUMDB", "GONOPROXY")
    proxies, *lines = _said("go", "env", "GOPROXY", *names).split("\n") + [""] * 4
    if not proxies:
        return None
    settings = {name: line for name, line in zip(names, lines) if line}  # noqa: B905 - 3.8
    # The name of a key may stand before or instead of an address: `sum.example+1f2e https://…`.
    sums = settings.get("GOSUMDB", "off").split()[-1:]
    hosts = [s if "://" in s else "https://" + s.split("+")[0] for s in sums if s != "off"]
    index = [text for text in re.split("[,|]", proxies) if "://" in text]
    return _answer(index, hosts, settings=settings)


def maven() -> dict[str, object] | None:
    program = shutil.which("mvn")
    mirrors = _maven_mirrors()
    if mirrors:
        return _answer(list(mirrors.values()), scopes=mirrors)
    import zipfile  # noqa: PLC0415 - for Maven alone

    own = os.path.join(os.path.dirname(os.path.realpath(program or "/")), "..", "lib")
    for folder in (own, "/usr/share/maven/lib"):
        for name in sorted(os.listdir(folder)) if program and os.path.isdir(folder) else ():
            if re.match(r"maven-model-builder(-[\w.]+)?\.jar\Z", name):
                with zipfile.ZipFile(os.path.join(folder, name)) as jar:
                    model = jar.read("org/apache/maven/model/pom-4.0.0.xml").decode()
                return _answer(re.findall(r"<url>(https?://[^<]+)</url>", model)[:1])
    return None


def _maven_mirrors() -> dict[str, str]:
    """Addresses by what they are a mirror of."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - for Maven alone

    try:
        tree = ET.parse(os.path.expanduser("~/.m2/settings.xml"))  # noqa: S314 - the operator's own
    except (OSError, ET.ParseError):
        return {}
    found = {}
    for mirror in tree.iter():
        if mirror.tag.rpartition("}")[2] == "mirror":
            row = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in mirror}
            if row.get("url"):
                found[row.get("mirrorOf", "central")] = row["url"]
    return found


def main() -> None:
    clients = {"pip": pip, "npm": npm, "apt": apt, "cargo": cargo, "go": go, "maven": maven}
    words = json.loads(sys.stdin.buffer.readline())["words"]
    answers = {word: clients[word]() for word in words}
    print(json.dumps({word: answer for word, answer in answers.items() if answer is not None}))


if __name__ == "__main__":
    main()
