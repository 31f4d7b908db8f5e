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
_SYSTEM = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Where systems keep theirs, as one file."""


def bundles(environ: Mapping[str, str]) -> tuple[str, str]:
    """All authorities that the operator's clients trust, as PEM; then those of them alone that an
    administrator added or a variable of a client names. No key, whatever else a file holds."""
    own = dict.fromkeys(local_authorities(ANCHOR_DIRECTORIES).values())
    # Not the file that Python says it uses: a variable has a say there.
    files = (*_SYSTEM, ssl.get_default_verify_paths().openssl_cafile)
    system = dict.fromkeys(one for path in files for one in certificates(Path(path)))
    named = (environ.get(name) or environ.get(name.upper()) for name in VARIABLES)
    for path in filter(None, named):
        own |= dict.fromkeys(one for one in certificates(Path(path)) if one not in system)
    return b"".join(system | own).decode("ascii"), b"".join(own).decode("ascii")
