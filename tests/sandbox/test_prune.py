"""What may be removed of what runs left behind, by when it was last used."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox import cache
from sandbox.engine.docker import Engine
from sandbox.engine.labels import LABEL_SNAPSHOT
from sandbox.engine.values import ContainerInfo, ImageInfo, VolumeInfo
from sandbox.prune import SNAPSHOT_AGE_S, LeftoverKind, leftovers
from sandbox.workspace.snapshot import manifest_file


class OneSnapshot(Engine):
    """An engine that holds the copy of one workspace and nothing else."""

    def __init__(self, *, created: str = "", tagged: str = "") -> None:
        self.created = created
        self.tagged = tagged

    def containers(self, label: str) -> list[ContainerInfo]:
        return []

    def volumes(self, label: str) -> list[VolumeInfo]:
        return []

    def images(self, label: str) -> list[ImageInfo]:
        held = ImageInfo(
            id="sha256:1", tags=("moonpool/snapshot:k",), labels={LABEL_SNAPSHOT: "k"},
            size_bytes=0, created=self.created, tagged=self.tagged, layers=(),
            architecture="amd64", os="linux",
        )  # fmt: skip
        return [held] if label in held.labels else []


@pytest.mark.parametrize("age_s", [0, SNAPSHOT_AGE_S + 60])
def test_a_copy_stays_while_it_is_used(
    age_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache.keep(manifest_file("k"), b"{}")
    then = time.time() - age_s
    os.utime(manifest_file("k"), (then, then))
    (found,) = leftovers(OneSnapshot())
    assert (found.kind, found.expired) == (LeftoverKind.SNAPSHOT, bool(age_s))


def test_a_copy_whose_record_is_gone_may_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [found.expired for found in leftovers(OneSnapshot())] == [True]


@pytest.mark.parametrize("which", ["created", "tagged"])
@pytest.mark.parametrize("age_s", [0, SNAPSHOT_AGE_S + 60])
def test_a_copy_of_another_users_counts_from_when_it_came(
    which: str, age_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record is in that user's cache, which nobody else looks into."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    then = datetime.fromtimestamp(time.time() - age_s, UTC).isoformat().replace("+00:00", "123Z")
    engine = OneSnapshot(**{"created": "0001-01-01T00:00:00Z", which: then})
    assert [found.expired for found in leftovers(engine)] == [bool(age_s)]
