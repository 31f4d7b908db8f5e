"""A workspace copy as an image layer, found again by content.

Owns what the host remembers of a copy: the engine's id of the image that holds it, and the
manifest: what exactly was copied, which is what the patch will be made against. Everything kept
on the host for it is a cache. How a copy is made is `copying`'s.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from policies.frozen import dataclass
from policies.policy import WorkspaceRules
from sandbox import cache
from sandbox.container.prepared_image import PreparedImage
from sandbox.engine.images import reference
from sandbox.errors import SandboxError, WorkspaceError
from sandbox.git.config import PersonalConfig
from sandbox.git.manifest import Manifest, ManifestEntries
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.threads import Recent
from sandbox.workspace.scan import Scan, content_id
from sandbox.workspace.source import Workspace

_FORM = 4
"""Version of the kept manifest's form; one of another form is as good as none."""
_PIECE_ROWS = 1000
COPY_FORM = 2
"""Version of what is made of one and the same workspace; a copy of another is not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    image: str
    """The engine's reference of the image that holds image, guest and workspace."""
    key: str
    left_out: tuple[LeftOut, ...]
    """What was not copied, and what was and does not work there (`LeftOutKind.UNUSABLE`)."""
    manifest_file: Path
    """Where the manifest is kept, in the cache."""

    def manifest(self) -> Manifest:
        """What was copied. Those who ask for the same share it.

        Raises:
            WorkspaceError: the host's cache was cleared while the sandbox ran.
        """
        file = self.manifest_file
        return _manifests.get(file, lambda: _load_manifest(file))


_manifests = Recent[Manifest](2)
"""By file. A hundred thousand files take 60 MB, so not for many workspaces."""


def recorded(cache_directory: Path, key: str, left_out: tuple[LeftOut, ...]) -> Snapshot:
    """A copy by its key, of which the manifest is in a cache."""
    return Snapshot(
        image=reference(key),
        key=key,
        left_out=left_out,
        manifest_file=manifest_file(cache_directory, key),
    )


def manifest_file(cache_directory: Path, key: str) -> Path:
    """Where the manifest of a copy is kept; its age tells when the copy was last used."""
    return cache_directory / "manifests" / f"{key}.{_FORM}"


class RememberedCopy(NamedTuple):
    """The last copy of a workspace, and how that was."""

    fingerprint: str
    racy: dict[str, str]
    """Blobs of the files that were young then, by path."""
    snapshot: Snapshot
    walk: str
    """As `Scan.walk`."""

    def is_shown_by(self, walk: str) -> bool:
        """Whether a walk of now tells that nothing changed; of young files it can't."""
        return bool(walk) and walk == self.walk and not self.racy


class SnapshotMemory:
    """What was copied the last time from one workspace under the same rules."""

    def __init__(
        self,
        cache_directory: Path,
        workspace: Workspace,
        rules: WorkspaceRules,
        prepared: PreparedImage,
        *,
        personal: PersonalConfig,
    ) -> None:
        where = os.path.realpath(workspace) if isinstance(workspace, Path) else str(workspace)
        text = repr((where, rules, prepared.key, personal, COPY_FORM))
        name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._cache = cache_directory
        self._file = cache_directory / "workspaces" / f"{name}.json"
        self.full_copy_file = self._file.with_suffix(".full")
        """Where the last copy of all of it is remembered (`FullCopy`)."""

    def recall(self) -> RememberedCopy | None:
        try:
            raw = json.loads(self._file.read_bytes())
            left_out = tuple(
                LeftOut(path=os.fsencode(path), reason=reason, kind=LeftOutKind(kind))
                for path, reason, kind in raw["left_out"]
            )
            key = raw["key"]
            copied = recorded(self._cache, key, left_out)
            os.utime(copied.manifest_file)  # its age tells `prune` when it was last used
            return RememberedCopy(raw["fingerprint"], raw["racy"], copied, raw["walk"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, looked: Scan, snapshot: Snapshot, manifest: Manifest) -> None:
        """Remember a copy, and what it holds."""
        keep_manifest(snapshot.manifest_file, manifest)
        racy = {
            os.fsdecode(path): manifest.entries[path].blob
            for path in looked.racy
            if path in manifest.entries
        }
        # A young file that git owns has no blob of ours to compare: no trust in this look then.
        if any(path not in manifest.entries for path in looked.racy):
            racy[""] = ""
        record = {
            "fingerprint": looked.fingerprint,
            "racy": racy,
            "walk": looked.walk,
            "key": snapshot.key,
            "left_out": [
                [os.fsdecode(item.path), item.reason, item.kind] for item in snapshot.left_out
            ],
        }
        cache.keep(self._file, json.dumps(record).encode())

    def settle(self, looked: Scan, remembered: RememberedCopy) -> None:
        """After a look that shows what was remembered: what was young and is not any more need not
        be compared by content again, and the newest walk is the one to be compared with.

        A change from now on shows in a file's times, since they are older than the look.
        """
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, SandboxError):
            record = json.loads(self._file.read_bytes())
            if remembered.racy == record["racy"] and looked.fingerprint == record["fingerprint"]:
                young = set(map(os.fsdecode, looked.racy))
                racy = {path: blob for path, blob in remembered.racy.items() if path in young}
                record |= {"racy": racy, "walk": looked.walk}
                cache.keep(self._file, json.dumps(record).encode())


def unchanged(looked: Scan, remembered: RememberedCopy) -> bool:
    """Whether a look shows the tree that was remembered, young files compared by content."""
    racy = remembered.racy
    if looked.fingerprint != remembered.fingerprint or "" in racy:
        return False
    return all(content_id(looked, os.fsencode(name)) == blob for name, blob in racy.items())


def keep_manifest(file: Path, manifest: Manifest) -> None:
    """Remember what was copied, for `Snapshot.manifest`."""
    cache.keep_pieces(file, dump_manifest(manifest))


def dump_manifest(manifest: Manifest) -> Iterator[bytes]:
    """In pieces: as one text, a hundred thousand files would take twice their room once more."""
    rest = (
        None if manifest.tracked is None else sorted(manifest.tracked),
        dict(manifest.rule_files),
        dict(manifest.stored),
        manifest.object_format,
        dict(manifest.links),
    )
    return cache.sealed(chain((rest,), ManifestEntries.of(manifest.entries).pieces(_PIECE_ROWS)))


def _load_manifest(file: Path) -> Manifest:
    try:
        values = cache.unsealed(file)
        tracked, rule_files, stored, object_format, links = next(values)
        entries = ManifestEntries()
        for paths, rows in values:
            entries.extend(paths, rows)
    except (OSError, ValueError, TypeError, StopIteration) as error:
        raise WorkspaceError(
            f"the record of what was copied is gone from the cache ({file.name}): run again"
        ) from error
    return Manifest(
        entries=entries,
        tracked=None if tracked is None else frozenset(tracked),
        rule_files=rule_files,
        stored=stored,
        object_format=object_format,
        links=links,
    )
