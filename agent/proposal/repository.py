"""A stranger's repository, read as data: bounded, no link followed, nothing of it run or imported.

Owns opening, sizes, and decoding of TOML, JSON and INI; YAML is read as text, so that no alias
unfolds. What can't be read becomes a
problem in words, never an error. Knows no ecosystem.
"""

import configparser
import errno
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sandbox.cache import folder_below, regular_file

_MAX_BYTES = 1 << 20
_MAX_LISTED = 5_000
"""Names that are looked at in one folder."""


class RepositoryFiles:
    """The files of one repository, by their paths relative to it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, tuple[str, ...]] = {}
        self._texts: dict[str, str | None] = {}
        self.problems: list[str] = []
        """What could not be read, in words that may hold the repository's own."""

    def __contains__(self, path: str) -> bool:
        """Is it a file with this name, and no link?"""
        folder, _, name = path.rpartition("/")
        return name in self.listed(folder)

    def matching(self, folder: str, *patterns: str) -> tuple[str, ...]:
        """Paths of files in one folder whose names fit one of the patterns."""
        front = f"{folder}/" if folder else ""
        return tuple(
            front + name
            for name in self.listed(folder)
            if any(fnmatch(name, pattern) for pattern in patterns)
        )

    @property
    def has_git(self) -> bool:
        """Is there a history, or a pointer to one?"""
        return os.path.lexists(self._root / ".git")

    def listed(self, folder: str) -> tuple[str, ...]:
        """Names of the regular files in one folder, sorted; none where it is a link or missing."""
        if folder not in self._listed:
            self._listed[folder] = self._list(folder)
        return self._listed[folder]

    def _list(self, folder: str) -> tuple[str, ...]:
        names = []
        try:
            with self._opened(folder) as opened, os.scandir(opened) as entries:
                for count, entry in enumerate(entries):
                    if count == _MAX_LISTED:
                        self.problems.append(
                            f"{folder or 'the top folder'} holds more than {_MAX_LISTED} entries: "
                            "only so many were looked at"
                        )
                        break
                    if entry.is_file(follow_symlinks=False):
                        names.append(entry.name)
        except (OSError, ValueError):  # of names that no file has, as with a NUL
            return ()
        return tuple(sorted(names))

    def _opened(self, folder: str) -> AbstractContextManager[int]:
        parts = os.fsencode(folder).split(b"/") if folder else []
        if b".." in parts:  # a manifest names files too
            raise OSError(errno.EINVAL, "`..` may lead out of the repository")
        return folder_below(self._root, parts)

    def text(self, path: str, max_bytes: int = _MAX_BYTES) -> str | None:
        """The file as text; None where it is no regular file, too large, or unreadable."""
        if path not in self._texts:
            self._texts[path] = self._text(path, max_bytes)
        return self._texts[path]

    def _text(self, path: str, max_bytes: int) -> str | None:
        folder, _, name = path.rpartition("/")
        try:
            with self._opened(folder) as opened, regular_file(name, directory=opened) as file:
                data = file.read(max_bytes + 1)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.problems.append(f"{path} can't be read: {getattr(error, 'strerror', error)}")
            return None
        if len(data) > max_bytes:
            self.problems.append(f"{path} can't be read: it is larger than {max_bytes} bytes")
            return None
        return data.decode("utf-8", "replace")

    def toml(self, path: str) -> Mapping[str, Any]:
        return self._decoded(path, tomllib.loads)

    def json(self, path: str) -> Mapping[str, Any]:
        return self._decoded(path, json.loads)

    def ini(self, path: str) -> Mapping[str, Any]:
        """Sections, each with its values as text."""
        return self._decoded(path, _sections)

    def _decoded(self, path: str, decode: Callable[[str], Any]) -> Mapping[str, Any]:
        """What a file says; empty where it can't be read or is no mapping."""
        text = self.text(path)
        if text is None:
            return {}
        try:
            data = decode(text)
        # A decoder of a format has errors of its own; a deep nest ends in RecursionError.
        except Exception as error:  # noqa: BLE001 - whatever a hostile file does to a decoder
            self.problems.append(f"{path} can't be read: {type(error).__name__}")
            return {}
        return data if isinstance(data, Mapping) else {}


def _sections(text: str) -> dict[str, dict[str, str]]:
    # No section lends its keys to all others: thousands of each would come to millions.
    parser = configparser.RawConfigParser(strict=False, default_section="")
    parser.read_string(text)
    return {name: dict(parser.items(name)) for name in parser.sections()}


def strings(value: object) -> tuple[str, ...]:
    """The texts of a list that a file holds; nothing of what is something else."""
    return tuple(it for it in value if isinstance(it, str)) if isinstance(value, list) else ()


def section(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The mapping below some keys; empty where there is something else."""
    value: Any = data
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}
