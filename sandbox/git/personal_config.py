"""What of a person's own git configuration decides whether a work tree is clean.

Owns that short list, and where git looks for it (git-config(1), "FILES"). Reads values and runs
nothing; files that one of them includes are not read.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from sandbox.git import config

_KEYS = (b"autocrlf", b"eol", b"safecrlf", b"filemode", b"symlinks", b"ignorecase",
         b"precomposeunicode")  # fmt: skip
_LIMIT = 1 << 20


def settings(environ: Mapping[str, str]) -> bytes:
    """Those settings as a configuration, to stand before a repository's own; empty where none is
    said."""
    found: dict[bytes, bytes] = {}
    for file in _files(environ):
        try:
            with file.open("rb") as opened:
                text = opened.read(_LIMIT)
        except OSError:
            continue
        found |= {key: said for key in _KEYS if (said := config.value(text, b"core", key))}
    lines = b"".join(b"\t%s = %s\n" % row for row in found.items())
    return config.sanitized(b"[core]\n" + lines) if found else b""


def _files(environ: Mapping[str, str]) -> list[Path]:
    """The later one wins."""
    files = [] if environ.get("GIT_CONFIG_NOSYSTEM") else [Path("/etc/gitconfig")]
    if (instead := environ.get("GIT_CONFIG_GLOBAL")) is not None:
        return [*files, Path(instead)]
    home = Path(environ.get("HOME") or os.devnull)
    own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [*files, own / "git" / "config", home / ".gitconfig"]
