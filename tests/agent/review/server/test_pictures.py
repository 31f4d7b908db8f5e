"""Pictures before and after: raster alone, as their bytes say, and bounded."""

import base64
import struct
import zlib
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fakes.model import call, say
from fakes.reviews import FakeReview, recorded
from fakes.runs import FakeRun
from policies.policy import Policy


def png(width: int = 2, height: int = 2, colour: bytes = b"\xff\0\0") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + colour * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ends = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(ends)


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    files = {"logo.png": png(), "evil.svg": b"<svg/>\n", "x.gif": b"\0\1\2"}
    return FakeRun(home=tmp_path, policy=policy, files=files)


@pytest.fixture
def browser(tmp_path: Path) -> TestClient:
    return FakeReview(home=tmp_path).browser()


def written(name: str, data: bytes) -> object:
    text = base64.b64encode(data).decode()
    return call("bash", command=f"echo {text} | base64 -d > {name}")


def test_both_sides_of_a_changed_picture_are_shown(fake: FakeRun, browser: TestClient) -> None:
    new = png(colour=b"\0\xff\0")
    run = recorded(fake, written("logo.png", new), say("done"))  # type: ignore[arg-type]
    page = browser.get(f"run/{run}/diff").text
    assert page.count("<img ") == 2
    for side, content in (("old", png()), ("new", new)):
        answer = browser.get(f"run/{run}/picture/1/{side}")
        assert answer.content == content
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_svg_is_text_whatever_it_is_called(fake: FakeRun, browser: TestClient) -> None:
    run = recorded(
        fake,
        call("write_file", path="evil.svg", content="<svg onload='x'/>\n", overwrite=True),
        call("write_file", path="other.png", content="<svg onload='x'/>\n"),
        say("done"),
    )
    page = browser.get(f"run/{run}/diff").text
    assert "<img " not in page
    assert "&lt;svg onload=" in page
    for number in (1, 2):
        assert browser.get(f"run/{run}/picture/{number}/new").status_code == 404


@pytest.mark.parametrize("size", [(100_000, 1), (1, 100_000)])
def test_a_picture_that_would_fill_the_memory_is_not_shown(
    fake: FakeRun, browser: TestClient, size: tuple[int, int]
) -> None:
    run = recorded(fake, written("logo.png", png(*size)), say("done"))  # type: ignore[arg-type]
    assert browser.get(f"run/{run}/picture/1/new").status_code == 404
    assert browser.get(f"run/{run}/picture/1/old").status_code == 200


def test_what_is_no_picture_is_not_served(fake: FakeRun, browser: TestClient) -> None:
    run = recorded(fake, written("x.gif", b"GIF9\0\1\2\3\0html"), say("done"))  # type: ignore[arg-type]
    assert browser.get(f"run/{run}/picture/1/new").status_code == 404
    assert browser.get(f"run/{run}/picture/1/both").status_code == 404
