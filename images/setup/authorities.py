"""The certificate authorities that the operator's own clients trust, for a set-up's clients.

Each client has a name of its own for the file, and some take that name alone: with an npm
``cafile``, ``NODE_EXTRA_CA_CERTS`` counts for nothing. So the whole bundle stands under each.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path

from images.recipes import ANCHOR_DIRECTORIES, certificates, local_authorities

VARIABLES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS",
    "npm_config_cafile", "CARGO_HTTP_CAINFO", "GIT_SSL_CAINFO", "NIX_SSL_CERT_FILE",
)  # fmt: skip
"""What clients call the file."""


def bundle(environ: Mapping[str, str]) -> str:
    """PEM: the system's authorities, those its administrator added, and those that variables of the
    operator's clients name; no key, whatever else a file holds."""
    system = ssl.get_default_verify_paths().cafile
    named = (environ.get(name) or environ.get(name.upper()) for name in VARIABLES)
    found: dict[bytes, None] = {}
    for path in (system, *named):
        if path:
            found |= dict.fromkeys(certificates(Path(path)))
    found |= dict.fromkeys(local_authorities(ANCHOR_DIRECTORIES).values())
    return b"".join(found).decode("ascii")
