"""The certificate authorities that this machine's administrator added to the public ones.

On a network with an authority of its own, nothing inside an image reaches a package registry
without it. Only what was *added* is taken, never the whole bundle: then an update of the public
bundle changes no image. Public certificates, no keys; knows neither recipes nor engines.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

ANCHOR_DIRECTORIES = (
    Path("/usr/local/share/ca-certificates"),
    Path("/etc/pki/ca-trust/source/anchors"),
    Path("/usr/share/pki/ca-trust-source/anchors"),
    Path("/etc/pki/trust/anchors"),
    Path("/etc/ca-certificates/trust-source/anchors"),
)
"""Where Debian, Red Hat, SUSE and Arch have an administrator put them."""

_FILE_LIMIT_BYTES = 1 << 20
_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)


def local_authorities(directories: Iterable[Path] = ANCHOR_DIRECTORIES) -> Mapping[str, bytes]:
    """PEM certificates by the file name they get in an image, one certificate to a file.

    Only certificate blocks are taken over, whatever else a file holds (a private key lying beside
    its certificate must not travel). Names come from the content: the same authorities give the
    same image, however an administrator named the files.
    """
    found: dict[str, bytes] = {}
    for directory in directories:
        for path in _files(directory):
            for certificate in certificates(path):
                found[f"{hashlib.sha256(certificate).hexdigest()[:16]}.crt"] = certificate
    return found


def certificates(path: Path) -> list[bytes]:
    """The certificates in a file, PEM, each with a newline at its end."""
    blocks = _CERTIFICATE.findall(_content(path))
    return [b"\n".join(block.split(b"\r\n")) + b"\n" for block in blocks]


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.rglob("*") if path.is_file())
    except OSError:
        return []


def _content(path: Path) -> bytes:
    """What can be read of it; an unreadable or outsized file is no authority."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_LIMIT_BYTES + 1)
    except OSError:
        return b""
    return content if len(content) <= _FILE_LIMIT_BYTES else b""
