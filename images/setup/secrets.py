"""The operator's secrets in a set-up: taken from the environment by name, looked for in its result.

Owns the forms that a value takes where clients write it down. What a hostile package encodes in a
form of its own is not found: secrets are given to set-ups whose packages one trusts with them.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from sandbox.errors import SandboxError

_SHORTEST = 8
_WHOLE_LINE = 16
_PIECE = 30
_BROKEN = 2 * _PIECE
"""From this length on, encoders break base64 into lines of 64 or 76 characters: of two pieces
beside each other one is whole."""


def values(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets by name.

    Raises:
        SandboxError: one is not set, or so short that it stands in files by chance.
    """
    lacking = [name for name in names if not environ.get(name)]
    if lacking:
        raise SandboxError(
            f"set-up needs the secret {', '.join(lacking)} (setup.secrets): set it in the "
            "environment of moonpool"
        )
    short = [name for name in names if len(environ[name]) < _SHORTEST]
    if short:
        raise SandboxError(
            f"the secret {', '.join(short)} has fewer than {_SHORTEST} characters: the layer could "
            "not be searched for it"
        )
    return {name: environ[name] for name in names}


def forms(value: str) -> tuple[bytes, ...]:
    """As it stands, each of its lines, in an address, in JSON, in hexadecimal, and in base64
    wherever it begins and however it is broken into lines."""
    raw = value.encode("utf-8", "surrogateescape")
    found = {
        raw,
        quote(raw, safe="").encode(),
        json.dumps(value)[1:-1].encode(),
        raw.hex().encode(),
    }
    # The first and last line of a key in PEM stand in files by chance.
    lines = (line.strip() for line in raw.splitlines())
    found.update(
        line for line in lines if len(line) >= _WHOLE_LINE and not line.startswith(b"-----")
    )
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * shift + raw)
            # The first and last characters hold bits of what stands beside it.
            whole = text[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
            found.add(whole)
            if len(whole) >= _BROKEN:
                middle = len(whole) // 2
                found |= {whole[middle - _PIECE : middle], whole[middle : middle + _PIECE]}
    return tuple(sorted(found))


def hidden(text: str, secrets: Mapping[str, str]) -> str:
    """A text without the values."""
    for name, value in secrets.items():
        for form in forms(value):
            text = text.replace(form.decode("utf-8", "replace"), f"[{name}]")
    return text


def search(text: str, secrets: Mapping[str, str]) -> list[str]:
    """Names of the secrets whose value stands in a text."""
    data = text.encode("utf-8", "surrogateescape")
    return [name for name, value in secrets.items() if any(form in data for form in forms(value))]
