"""What in ``config.yaml`` is, or may be, a secret: refused where it stands, and never shown.

Owns the shapes of keys and the names under which secrets are written. A secret that has neither is
not recognised, so that the file's form takes no value where a key could be meant.
"""

import re
from collections.abc import Iterator
from typing import Final

from policies.errors import PolicyError
from policies.file.document import Document, spelled
from policies.file.fields import value_at

_LOOKS_LIKE_KEY: Final = re.compile(
    r"\b(?:sk|pk|rk|sess)[-_][A-Za-z0-9_-]{16,}"
    r"|\b(?:AKIA|ASIA|ABSK)[A-Za-z0-9+/=]{16,}"
    r"|\b(?:gh[opsur]_|github_pat_|hf_|gsk_|xai-|ya29\.|xox[abpr]-|AIza)[A-Za-z0-9_-]{16,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.|-----BEGIN |\b(?:Bearer|Basic)\s+\S{8,}"
)
SECRET_NAME: Final = re.compile(r"(?i)key|token|secret|passw|credential|auth|header")
_NAMED_SECRET: Final = re.compile(
    r"(?P<name>[\w.-]*(?i:key|token|secret|passw|credential|auth|header)[\w.-]*[\"']?[ \t]*:[ \t]*)"
    r"(?:(?<=_env: )(?P<variable>[A-Z_][A-Z0-9_]*)(?=[ \t]*(?:[,}#]|$))|(?P<rest>[^\n]*))",
    re.MULTILINE,
)
_IN_URL: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
NO_KEYS_HERE: Final = (
    "a key is never written into this file: put it into an environment variable"
    " and write that variable's name, as in `api_key_env: ANTHROPIC_API_KEY`"
)
_LEAKED: Final = f"this looks like a key itself; {NO_KEYS_HERE}; others may have read it: revoke it"


def leaks(document: Document) -> Iterator[PolicyError]:
    """A complaint about every value, and every key, that is a secret in the clear."""
    for path, where in document.keys.items():
        if _LOOKS_LIKE_KEY.search(str(path[-1])):
            yield PolicyError(_LEAKED, where=where, key=spelled(path[:-1]))
    for path, where in document.values.items():
        value = value_at(document.data, path)
        if isinstance(value, str) and _LOOKS_LIKE_KEY.search(value):
            yield PolicyError(_LEAKED, where=where, key=spelled(path))


def masked(text: str) -> str:
    """The text without what may be a secret, by shape or by name. It stays as long as it was, so
    that a place in it stays the same."""

    def mask_rest(found: re.Match[str]) -> str:
        rest = found["rest"]
        return found.group() if rest is None else found["name"] + "•" * len(rest)

    return _NAMED_SECRET.sub(mask_rest, without_keys(text))


def without_keys(text: str) -> str:
    """The text without what is a secret by its shape: keys, and what stands before @ in URLs."""
    for shape in (_LOOKS_LIKE_KEY, _IN_URL):
        text = shape.sub(lambda found: "•" * len(found.group()), text)
    return text
