"""What may be removed of what runs left behind, by when it was last used."""

import os
import time
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

    def __init__(self) -> None:
        pass

    def containers(self, label: str) -> list[ContainerInfo]:
        return []

    def volumes(self, label: str) -> list[VolumeInfo]:
        return []

    def images(self, label: str) -> list[ImageInfo]:
        held = ImageInfo(
            id="sha256:1", tags=("moonpool/snapshot:k",), labels={LABEL_SNAPSHOT: "k"},
            size_bytes=0, created="", layers=(), architecture="amd64", os="linux",
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
