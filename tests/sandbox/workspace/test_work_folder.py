"""The folder of an image that is worked in, found where nobody names it."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from foreign_images import foreign
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo
from sandbox.errors import WorkspaceError
from sandbox.workspace.source import ImageFolder
from sandbox.workspace.work_folder import work_folder

DOCKERFILE = b"""
FROM moonpool/python:latest
USER root
RUN mkdir -p /app /requests/.git /testbed /srv/own && ln -s /requests /linked \
    && touch /app/file && mkdir /odd && touch /odd/.git
WORKDIR /srv/own
"""


@pytest.fixture(scope="module")
def built(engine: Engine, image: str) -> Iterator[ImageInfo]:
    with foreign(engine, "work-folder", {"Dockerfile": DOCKERFILE}) as name:
        info = engine.image(name)
        assert info is not None
        yield info


@pytest.mark.slow
@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (("/testbed", "/app", "/requests"), "/requests"),  # a repository comes before a folder
        (("/none", "/app", "/testbed"), "/app"),
        (("/linked", "/app"), "/app"),  # a link is none
        (("/odd", "/requests"), "/odd"),  # a worktree's .git is a file
        (("/app/file", "/usr/bin", "../x", "/none"), "/srv/own"),  # at last the image's own
        ((), "/srv/own"),
    ],
)
def test_work_folder_is_found(
    engine: Engine, built: ImageInfo, candidates: tuple[str, ...], expected: str
) -> None:
    assert work_folder(engine, built, candidates) == ImageFolder(expected)


def test_image_without_one_is_refused_with_what_was_tried(engine: Engine, image: str) -> None:
    found = engine.image(image)
    assert found is not None
    info = replace(found, directory="")
    with pytest.raises(WorkspaceError, match=re.escape("(/testbed, /none)") + ".* with path"):
        work_folder(engine, info, ("/testbed", "/none", "/usr/bin"))
