"""Where a git repository is, as the operator writes it.

Owns which ways to get one there are. An address names its protocol; nothing else is let in, and no
helper program by name (``ext::``).
"""

import os
import re
from pathlib import Path

SCHEMES = ("https", "http", "ssh", "git")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/\s]*)(/\S*)?\Z")
_BY_SSH = re.compile(r"([A-Za-z0-9_.-]+@)?([A-Za-z0-9][A-Za-z0-9.-]*):([^:\s][^\s]*)\Z")


class NoAddress(Exception):
    """Not one that a repository is got from; the message says what to write."""


def protocol(url: str) -> str:
    """The one protocol of an address; ``file`` for a folder of this machine."""
    if url.startswith("/"):
        return "file"
    found = _SCHEME.match(url)
    return found[1].lower() if found else "ssh"


def address(text: str, directory: Path) -> str:
    """An address as git takes it, or the absolute path of a folder.

    Raises:
        NoAddress: it is neither.
    """
    if text.startswith("-") or not text.isprintable() or "::" in text.partition("/")[0]:
        raise NoAddress(
            f"{text!r:.120} is no address: write https://…, ssh://…, or a folder's path"
        )
    found = _SCHEME.match(text)
    if found is not None:
        if found[1].lower() not in SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise NoAddress(f"{found[1]}:// is not taken: one of {known}, or a folder's path")
        if "@" in found[2] and ":" in found[2].partition("@")[0]:
            raise NoAddress(
                "holds a password: leave it out, and let ssh or the server ask for none"
            )
        host = found[2].rpartition("@")[2]
        if not host or host.startswith("-"):
            raise NoAddress(f"{text!r:.120} names no host")
        return text
    if _BY_SSH.match(text) and not os.path.exists(directory / text):
        return text
    path = directory / text
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise NoAddress(f"there is no repository at {path}") from None
    if not any(os.path.exists(real / name) for name in (".git", "HEAD")):
        raise NoAddress(f"{path} holds no git repository")
    return os.fspath(real)
