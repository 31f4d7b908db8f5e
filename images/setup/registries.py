"""Where the operator's clients get packages from: what a word of ``setup.network`` means.

Each client is asked itself, on this machine; one that is not here, in the image. Credentials in an
address stay outside. Owns what makes the same client in a set-up use the same registries.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from xml.etree import ElementTree as ET

from images.setup import job
from images.setup.squid import TLS_PORT
from sandbox.errors import SandboxError

_ASK_TIMEOUT_S = 120
_SETTINGS = ("GOSUMDB", "GONOSUMDB", "GONOPROXY")
"""No others: an image's answer sets no variable of another client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistries:
    """One client's registries, and what makes the same client in a set-up use them."""

    hosts: tuple[tuple[str, int], ...]
    """Host and port; ``*.`` before a host: it and all below it."""
    variables: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Content by path relative to the home directory."""


def ask_here(words: Iterable[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """What the clients of this machine say, by word; those that are not here lack."""
    path = ":".join(p for p in environ.get("PATH", "").split(":") if p.startswith("/"))
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", job.source("ask_clients")],
            input=json.dumps({"words": list(words)}).encode(),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd="/", timeout=_ASK_TIMEOUT_S, check=True, env={**environ, "PATH": path},
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return found


def registries(
    word: str, answer: Mapping[str, Any], environ: Mapping[str, str]
) -> ClientRegistries:
    """What a client's answer means.

    Raises:
        SandboxError: it is none, or a registry is not reached by TLS, or only from this machine.
    """
    try:
        index = _remote(map(str, answer["index"]))
        scopes = {str(k): a[0] for k, v in answer["scopes"].items() if (a := _remote([str(v)]))}
        extra = _remote(map(str, answer["extra"]))
        said = answer.get("settings", {})
        settings = {name: _bare_words(str(said[name])) for name in _SETTINGS if name in said}
    except (KeyError, TypeError, AttributeError) as error:
        raise SandboxError(f"what {word} says of its registries can't be read") from error
    if not index:
        raise SandboxError(
            f"{word} is configured to use files of this machine alone, which set-up can't reach: "
            "name a host in setup.network"
        )
    if word == "apt":  # written down with http:// nearly everywhere, and asked by TLS
        index = tuple(address.replace("http://", "https://", 1) for address in index)
    if word == "pip":
        extra = (*extra, *_uv(environ))
    hosts = dict.fromkeys(_host(word, address) for address in (*index, *scopes.values(), *extra))
    variables, files = _own(word, index, scopes, environ)
    variables |= settings
    return ClientRegistries(hosts=tuple(hosts), variables=variables, files=files)


def _host(word: str, address: str) -> tuple[str, int]:
    parts = urlsplit(address.removeprefix("sparse+"))
    host = (parts.hostname or "").lower()
    if parts.scheme != "https":
        raise SandboxError(
            f"set-up reaches registries by TLS only, and {word} is configured to use "
            f"{parts.scheme}://{host}: configure its https:// address, or name hosts instead of "
            f"the word {word} in setup.network"
        )
    if not re.fullmatch(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+", host) or host.startswith("127."):
        raise SandboxError(
            f"{word} is configured to use {host or address!r}, which set-up can't reach: it takes "
            "a host name that other machines know"
        )
    return host, parts.port or TLS_PORT


def _bare(address: str) -> str:
    """An address without user and password, and what else may be a key to it."""
    parts = urlsplit(address.strip())
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=netloc, query="", fragment=""))


def _kept_form(address: str) -> str:
    """An address without credentials, with cargo's word before it where it stands."""
    word = "sparse+" if address.startswith("sparse+") else ""
    return word + _bare(address.removeprefix("sparse+"))


def _bare_words(text: str) -> str:
    """What a setting says, its addresses without credentials."""
    return " ".join(_kept_form(word) if "://" in word else word for word in text.split())


def _remote(addresses: Iterable[str]) -> tuple[str, ...]:
    """Those that are no files of this machine, each once and without credentials."""
    bare = (_kept_form(address) for address in addresses if "://" in address)
    return tuple(dict.fromkeys(address for address in bare if not address.startswith("file:")))


Own = tuple[dict[str, str], dict[str, str]]
"""Variables, and files by path relative to the home directory."""


def _own(
    word: str, index: tuple[str, ...], scopes: Mapping[str, str], environ: Mapping[str, str]
) -> Own:
    match word:
        case "pip":
            return _pip(index, environ), {}
        case "npm":
            return _npm(index[0], scopes)
        case "go":
            return {"GOPROXY": ",".join(index)}, {}
        case "cargo":
            return {}, _cargo(scopes)
        case "maven":
            return {}, _maven(scopes)
        case _:
            return {}, {}


def _pip(index: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    first, rest = index[0], " ".join(index[1:])
    variables = {"PIP_INDEX_URL": first, "UV_DEFAULT_INDEX": (*_uv(environ), first)[0]}
    return variables | ({"PIP_EXTRA_INDEX_URL": rest, "UV_INDEX": rest} if rest else {})


def _uv(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The index that uv is to use instead of pip's; none, or one."""
    named = (environ.get("UV_DEFAULT_INDEX"), environ.get("UV_INDEX_URL"))
    return _remote(filter(None, named))[:1]


_NPM_PATIENCE = {"npm_config_fetch_timeout": "60000", "npm_config_fetch_retries": "4"}
"""Of itself it waits five minutes (in ms) for a connection on which nothing comes any more."""


_REGISTRY_VARIABLES = ("npm_config_registry", "pnpm_config_registry", "YARN_NPM_REGISTRY_SERVER")
"""npm's own, and those of newer pnpm and yarn, which do not read that."""


def _npm(registry: str, scopes: Mapping[str, str]) -> Own:
    lines = "".join(f"{scope}={address}\n" for scope, address in sorted(scopes.items()))
    files = {".npmrc": lines} if lines else {}
    variables = dict.fromkeys(_REGISTRY_VARIABLES, registry)
    return variables | _NPM_PATIENCE, files


def _cargo(scopes: Mapping[str, str]) -> dict[str, str]:
    lines = []
    for name, address in sorted(scopes.items()):
        shown = f'"{address}"' if re.fullmatch(r"[^\s\"\\]+", address) else '""'
        if name == "mirror":
            lines += ["[source.crates-io]", 'replace-with = "mirror"', "[source.mirror]"]
            lines.append(f"registry = {shown}")
        elif re.fullmatch(r"[\w-]+", name):
            lines += [f"[registries.{name}]", f"index = {shown}"]
    return {".cargo/config.toml": "\n".join(lines) + "\n"} if lines else {}


def _maven(scopes: Mapping[str, str]) -> dict[str, str]:
    """It has no variable for a proxy."""
    root = ET.Element("settings")
    proxy = ET.SubElement(ET.SubElement(root, "proxies"), "proxy")
    for name, text in (("protocol", "https"), ("host", "127.0.0.1"), ("port", "3128")):
        ET.SubElement(proxy, name).text = text
    rows = ET.SubElement(root, "mirrors")
    for number, (of, address) in enumerate(sorted(scopes.items())):
        row = ET.SubElement(rows, "mirror")
        for name, text in (("id", f"operator-{number}"), ("mirrorOf", of), ("url", address)):
            ET.SubElement(row, name).text = text
    return {".m2/settings.xml": ET.tostring(root, encoding="unicode")}
