"""What may be removed of what runs left behind, by when it was last used."""

import os
import tarfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox import cache
from sandbox.container.prepared_image import layer_file
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_DEADLINE,
    LABEL_MANAGED,
    LABEL_RUN,
    LABEL_SETUP,
    LABEL_SNAPSHOT,
    ContainerInfo,
    ImageInfo,
    VolumeInfo,
)
from sandbox.errors import EngineError
from sandbox.opening.stored import LeftoverKind, StoredItem, stored
from sandbox.prune import UNUSED_AGE_S, leftovers, over_budget
from sandbox.workspace.snapshot import manifest_file


class OneSnapshot(Engine):
    """An engine that holds the copy of one workspace and nothing else."""

    def __init__(self, cache: Path, *, created: str = "", tagged: str = "") -> None:
        self.cache = cache
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


@pytest.mark.parametrize("age_s", [0, UNUSED_AGE_S + 60])
def test_a_copy_stays_while_it_is_used(age_s: int, tmp_path: Path) -> None:
    cache.keep(manifest_file(tmp_path, "k"), b"{}")
    then = time.time() - age_s
    os.utime(manifest_file(tmp_path, "k"), (then, then))
    (found,) = leftovers(OneSnapshot(tmp_path))
    assert (found.kind, found.expired) == (LeftoverKind.SNAPSHOT, bool(age_s))


def test_a_copy_whose_record_is_gone_may_go(tmp_path: Path) -> None:
    assert [found.expired for found in leftovers(OneSnapshot(tmp_path))] == [True]


@pytest.mark.parametrize("which", ["created", "tagged"])
@pytest.mark.parametrize("age_s", [0, UNUSED_AGE_S + 60])
def test_a_copy_of_another_users_counts_from_when_it_came(
    which: str, age_s: int, tmp_path: Path
) -> None:
    """Its record is in that user's cache, which nobody else looks into."""
    then = datetime.fromtimestamp(time.time() - age_s, UTC).isoformat().replace("+00:00", "123Z")
    engine = OneSnapshot(tmp_path, **{"created": "0001-01-01T00:00:00Z", which: then})
    assert [found.expired for found in leftovers(engine)] == [bool(age_s)]


def item(name: str, size: int, age_s: float, *above: str) -> StoredItem:
    return StoredItem(
        kind=LeftoverKind.SNAPSHOT, id=name, own_bytes=size, last_use_s=1e9 - age_s,
        above=frozenset(above),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "gone"),
    [
        (100, set()),
        (99, {"old copy"}),
        (75, {"old copy", "old base"}),
        (60, {"old copy", "old base"}),
        (59, {"old copy", "old base", "copy"}),
        (0, {"old copy", "old base", "copy", "base"}),
    ],
)
def test_beyond_the_budget_what_was_used_least_recently_goes_first(
    budget: int, gone: set[str]
) -> None:
    items = (
        item("base", 30, 1000, "copy"),
        item("copy", 20, 1000),
        item("old base", 30, 5000, "old copy"),
        item("old copy", 10, 5000),
        item("young", 10, 10),
    )
    assert over_budget(items, budget, 1e9) == gone


def test_an_image_stays_as_long_as_one_that_is_made_of_it() -> None:
    items = (item("base", 50, 9000, "young"), item("young", 50, 10))
    assert over_budget(items, 60, 1e9) == set()


class Images(Engine):
    """An engine that holds these images."""

    def __init__(self, cache: Path, *held: ImageInfo) -> None:
        self.cache = cache
        self.held = held

    def volumes(self, label: str) -> list[VolumeInfo]:
        return []

    def images(self, label: str) -> list[ImageInfo]:
        return [image for image in self.held if label in image.labels]


def image(tag: str, size: int, layers: str, *labels: str) -> ImageInfo:
    return ImageInfo(
        id=tag, tags=(tag,) if tag else (), labels=dict.fromkeys(labels, "1"), size_bytes=size,
        created="2026-11-21T00:00:00Z", tagged="", layers=tuple(layers), architecture="amd64",
        os="linux",
    )  # fmt: skip


def test_each_counts_without_what_it_is_made_of(tmp_path: Path) -> None:
    managed, prepared, setup = "moonpool.managed", "moonpool.prepared", "moonpool.setup"
    found = stored(
        Images(
            tmp_path,
            image("moonpool/python:1", 500, "ab", managed),
            image("moonpool/setup:1", 600, "abc", managed, setup),
            image("moonpool/prepared:1", 601, "abcd", managed, setup, prepared),
            image("moonpool/snapshot:1", 651, "abcde", LABEL_SNAPSHOT),
            image("somebody/else:1", 900, "abcdf", managed, setup, prepared),
        )
    )
    assert {(row.kind.value, row.own_bytes, len(row.above)) for row in found} == {
        ("set-up layer", 100, 2),
        ("prepared image", 1, 1),
        ("snapshot", 50, 0),
    }


@pytest.mark.parametrize("age_s", [0, UNUSED_AGE_S + 60])
def test_a_layer_of_a_set_up_stays_while_it_is_used(age_s: int, tmp_path: Path) -> None:
    cache.keep(layer_file(tmp_path, "k"), b"")
    then = time.time() - age_s
    os.utime(layer_file(tmp_path, "k"), (then, then))
    (found,) = leftovers(_OneLayer(tmp_path, image("moonpool/setup:k", 1, "a", LABEL_SETUP)))
    assert (found.kind, found.expired) == (LeftoverKind.SETUP_LAYER, bool(age_s))


@pytest.mark.parametrize("age_s", [60, 2 * 3600])
def test_a_draft_of_a_layer_stays_while_it_may_be_at_work(age_s: int, tmp_path: Path) -> None:
    created = datetime.fromtimestamp(time.time() - age_s, UTC).isoformat()
    draft = replace(image("moonpool/setup:draft-1f", 1, "a", LABEL_SETUP), created=created)
    assert [found.expired for found in leftovers(_OneLayer(tmp_path, draft))] == [age_s > 3600]


class _OneLayer(Images):
    """Such an engine without containers."""

    def containers(self, label: str) -> list[ContainerInfo]:
        return []


class Busy(Images):
    """Another asks the same at this moment, which an engine answers to one only."""

    def volumes(self, label: str) -> list[VolumeInfo]:
        return [VolumeInfo(name="v", labels={label: "k"}, mountpoint="/x", created="")]

    def volume_sizes(self) -> dict[str, int]:
        raise EngineError("a disk usage operation is already running")


def test_a_size_that_the_engine_does_not_say_now_is_none(tmp_path: Path) -> None:
    (found,) = stored(Busy(tmp_path))
    assert (found.id, found.own_bytes) == ("v", 0)


def test_a_container_is_not_ours_by_the_labels_of_its_image(engine: Engine, tmp_path: Path) -> None:
    """Anybody's image may carry them, and whoever starts a container of it has them there too."""
    ref, said = f"somebody/else:{os.urandom(8).hex()}", {LABEL_MANAGED: "1", LABEL_RUN: "a-run"}
    with tarfile.open(tmp_path / "root.tar", "w") as root:
        root.add(__file__, arcname="a-file")
    engine.import_rootfs(tmp_path / "root.tar", ref=ref, labels={**said, LABEL_DEADLINE: "1"})
    later = str(int(time.time()) + 3600)  # nobody else's prune removes it meanwhile
    made: list[str] = []
    try:
        for labels in ({}, said, {LABEL_DEADLINE: later}):
            made += [engine.create({"Image": ref, "Cmd": ["a-file"], "Labels": labels})]
        for label in (LABEL_DEADLINE, LABEL_MANAGED, f"{LABEL_RUN}=a-run"):
            assert {row.id for row in engine.containers(label)} & set(made) == {made[2]}
        assert {item.id for item in leftovers(engine)} & set(made) == {made[2]}
    finally:
        for container in made:
            engine.remove(container)
        engine.remove_image(ref)
