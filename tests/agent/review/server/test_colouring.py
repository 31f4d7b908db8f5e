"""Colours of source code: found apart, bounded in time, and not waited for."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.review.pages.diff import ColourSpan
from agent.review.pages.patch_view import FileEntry, FileView, HunkView, LineKind, LineView
from agent.review.server import colouring as module
from agent.review.server.colouring import Colouring
from sandbox.patch.selection import FileDiff
from sandbox.patch.values import Change, ChangeKind
from waiting import WAIT_S

OLD = ['"""A text', 'of two lines."""', "def one():", "    return 1"]


def view(path: str, *lines: LineView) -> FileView:
    change = Change(
        path=path.encode(),
        old_path=None,
        kind=ChangeKind.MODIFIED,
        old_mode=0o100644,
        new_mode=0o100644,
        added_lines=1,
        deleted_lines=1,
        old_blob="1" * 40,
        new_blob="2" * 40,
    )
    hunk = HunkView(
        number=1, old_start=4, old_count=1, new_start=4, new_count=1, title="", lines=lines
    )
    diff = FileDiff(path=path.encode(), old_path=None, head=(), hunks=(), raw=b"")
    entry = FileEntry(number=1, diff=diff, change=change, findings=())
    return FileView(entry=entry, hunks=(hunk,))


REMOVED = LineView(kind=LineKind.REMOVED, old=4, new=None, text="    return 1")
ADDED = LineView(kind=LineKind.ADDED, old=None, new=4, text="    return 'x'")


@pytest.fixture
def colouring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Colouring]:
    monkeypatch.setattr(module, "_WAIT_S", float(WAIT_S))
    made = Colouring()
    yield made
    made.close()


def test_a_line_has_the_colours_that_its_whole_file_gives_it(colouring: Colouring) -> None:
    found = colouring.of("a", view("a.py", REMOVED, ADDED), OLD)
    assert ColourSpan(start=4, end=10, kind="k") in list(found(REMOVED))
    assert ColourSpan(start=11, end=12, kind="m") in list(found(REMOVED))
    assert {span.kind for span in found(ADDED)} == {"k", "s"}
    inside = LineView(kind=LineKind.SAME, old=2, new=2, text=OLD[1])
    assert {span.kind for span in found(inside)} == {"s"}


def test_a_file_of_no_known_language_has_none(colouring: Colouring) -> None:
    found = colouring.of("a", view("a.unknown", REMOVED, ADDED), OLD)
    assert list(found(ADDED)) == []


def test_what_takes_too_long_is_shown_without_and_its_process_ends(
    colouring: Colouring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT_S", 0.0)
    assert list(colouring.of("a", view("a.py", REMOVED, ADDED), OLD)(ADDED)) == []
    monkeypatch.setattr(module, "_WAIT_S", float(WAIT_S))
    assert list(colouring.of("a", view("a.py", REMOVED, ADDED), OLD)(ADDED)) == []
    assert list(colouring.of("b", view("a.py", REMOVED, ADDED), OLD)(ADDED)) != []


@pytest.mark.parametrize(
    "said",
    [
        "{}",
        "[[[0, 1]]]",
        '[[[0, 1, "x onclick=alert(1)"]]]',
        '[[[-1, 1, "k"]]]',
        '[[[0, 1, "<"]]]',
        "not json",
        "",
    ],
)
def test_a_process_that_was_taken_over_gets_nothing_onto_the_page(
    colouring: Colouring, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"import sys\nfor line in sys.stdin: print({said!r}, flush=True)"
    real = subprocess.Popen

    def other(_command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        return real([sys.executable, "-c", program], **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", other)
    assert list(colouring.of("a", view("a.py", REMOVED, ADDED), OLD)(ADDED)) == []
