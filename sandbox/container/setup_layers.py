"""The names of set-up layers, and the record of their last use."""

from pathlib import Path

from sandbox.cache import cache_directory

REPOSITORY = "moonpool/setup"
DRAFT = "draft-"
"""What the tag of one begins with that has not been looked through."""


def layer_file(key: str) -> Path:
    """A file whose age tells when a layer was last used."""
    return cache_directory() / "setup" / key
