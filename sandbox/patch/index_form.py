"""What git stores of a patch's files, where that is not what stands in the worktree.

`git apply` in a repository, and whatever works on its index or its commits, meets the stored form.
Attributes and configuration say what it is; where the index knows a file as it was copied, its id
decides. Nothing of it is run: what a filter's commands make of a file is not known here.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from policies.errors import listed
from sandbox.git import config
from sandbox.git.attributes import (
    LIMIT_BYTES,
    Attributes,
    AttributesUnknown,
    Conversion,
    LineEnds,
    NotComputed,
)
from sandbox.git.manifest import SYMLINK, Entries, Manifest, ManifestEntry, blob_id
from sandbox.git.store import Store

_NAMED = 3
_ELSEWHERE = "line ends, by a configuration outside of the repository"


@dataclass(slots=True, kw_only=True)
class IndexForm:
    """Both sides of a patch as git stores them. Mutable while it is worked out."""

    before: dict[bytes, ManifestEntry | None] = field(default_factory=dict)
    after: dict[bytes, ManifestEntry | None] = field(default_factory=dict)
    converted: dict[bytes, str] = field(default_factory=dict)
    """Files of which git stores something else, and what says so."""
    unknown: dict[bytes, str] = field(default_factory=dict)
    """Files of which it is not known what git stores, and why."""


def index_form(store: Store, manifest: Manifest, before: Entries, after: Entries) -> IndexForm:
    """The stored form of all these paths, its content in the store.

    Raises:
        PatchError: the store can't be read or written.
    """
    found = IndexForm(before=dict(before), after=dict(after))
    files = dict(manifest.rule_files)
    rules = Attributes(files)
    for path, entry in after.items():
        if path.rpartition(b"/")[2] == b".gitattributes":
            files.pop(path, None)
            if entry is not None and entry.mode != SYMLINK and entry.size <= LIMIT_BYTES:
                files[path] = store.read_bytes(entry.blob)
    new_rules = Attributes(files)
    autocrlf = config.value(files.get(b".git/config", b""), b"core", b"autocrlf")
    for path in after:
        try:
            old = Conversion.by(rules.of(path), autocrlf)
            new = Conversion.by(new_rules.of(path), autocrlf)
            taken = _taken(store, manifest, path, before.get(path), old)
            if taken.line_ends is not old.line_ends:  # the index knows better
                new = replace(new, line_ends=taken.line_ends, words=new.words or taken.words)
            for side, conversion in ((found.before, taken), (found.after, new)):
                side[path], changed = _stored(store, side.get(path), conversion)
                if changed:
                    found.converted[path] = conversion.words
        except (NotComputed, AttributesUnknown) as unknown:
            found.unknown[path] = str(unknown)
    return found


def in_words(form: IndexForm, patch: str) -> str:
    """What a person must know of it; empty where nothing is.

    Args:
        patch: name of the file with the patch in the stored form.
    """
    if form.unknown:
        return (
            f"`git apply` may not fit in this repository: git stores {_listed(form.unknown)} in "
            "a form that is not known here (gitattributes), for Moonpool runs no filter and no "
            "encoder and bounds what it reads of rules. `moonpool apply` writes the files "
            "themselves, and git converts them as they are added"
        )
    if form.converted:
        return (
            f"git stores {_listed(form.converted)} in another form (gitattributes): `git apply` in "
            f"this repository takes {patch}; `moonpool apply` knows which of both it needs"
        )
    return ""


def _listed(paths: Mapping[bytes, str]) -> str:
    rows = sorted(paths.items())
    return listed((f"{os.fsdecode(path)} ({words})" for path, words in rows), _NAMED)


def _stored(
    store: Store, entry: ManifestEntry | None, conversion: Conversion
) -> tuple[ManifestEntry | None, bool]:
    """What git stores of a file, and whether that is something else."""
    if entry is None or entry.mode == SYMLINK or conversion.keeps_all:
        return entry, False
    data = _read(store, entry, conversion)
    stored = conversion.stored(data)
    if stored == data:
        return entry, False
    return ManifestEntry(entry.mode, store.put((stored,), len(stored)), len(stored)), True


def _taken(
    store: Store,
    manifest: Manifest,
    path: bytes,
    entry: ManifestEntry | None,
    conversion: Conversion,
) -> Conversion:
    """How the old side was taken into the index, where its id there tells that."""
    tracked = path in (manifest.tracked or ())
    if entry is None or entry.mode == SYMLINK or not tracked or conversion.filter:
        return conversion
    other_id = manifest.stored.get(path)
    if conversion.keeps_all and (other_id is None or entry.size > LIMIT_BYTES):
        return conversion
    data = _read(store, entry, conversion)
    if b"\r\n" not in data and not conversion.encoding:
        return conversion
    names: Callable[[bytes], str] = blob_id if manifest.object_format == "sha1" else _sha256_id
    known = other_id or entry.blob
    kept = replace(conversion, line_ends=LineEnds.KEPT)
    text = replace(conversion, line_ends=LineEnds.TEXT, words=conversion.words or _ELSEWHERE)
    fitting = (one for one in (conversion, kept, text) if names(one.stored(data)) == known)
    return next(fitting, conversion)


def _read(store: Store, entry: ManifestEntry, conversion: Conversion) -> bytes:
    if entry.size > LIMIT_BYTES:
        raise NotComputed(f"{conversion.words}, too large to convert")
    return store.read_bytes(entry.blob)


def _sha256_id(data: bytes) -> str:
    return sha256(b"blob %d\0%s" % (len(data), data)).hexdigest()
