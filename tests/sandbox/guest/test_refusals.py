"""Refused programs: what is made of a command's words, and what is believed."""

import os
import time
from pathlib import Path

import pytest

from sandbox.guest.refusals import Refusals, suspicious, words

OPEN, CLOSE = "\u2018\u2019"
DENIED = [
    (b"bash: line 1: /usr/bin/perl: Permission denied", b"/usr/bin/perl"),
    (b"bash: ./s: /usr/bin/perl: bad interpreter: Permission denied", b"/usr/bin/perl"),
    (f"find: {OPEN}perl{CLOSE}: Permission denied".encode(), b"perl"),
    (b"xargs: perl: Permission denied", b"perl"),
    (f"env: {OPEN}perl{CLOSE}: Permission denied".encode(), b"perl"),
    (b"nohup: failed to run command 'perl': Permission denied", b"perl"),
    (b"cp: cannot open '/usr/bin/perl' for reading: Permission denied", b"/usr/bin/perl"),
    (b"make[1]: execvp: perl: Permission denied", b"perl"),
    (b"sh: 1: perl: Permission denied", b"perl"),
    (b"PermissionError: [Errno 13] Permission denied: '/usr/bin/perl'", b"/usr/bin/perl"),
    (b"Error: spawn perl EACCES", b"perl"),
    (b"  errno: -13, code: 'EACCES', path: '/opt/a b/tool',", b"/opt/a b/tool"),
    (b"fork/exec /usr/bin/perl: permission denied", b"/usr/bin/perl"),
    (b"Errno::EACCES: Permission denied - perl", b"perl"),
    (b'Can\'t exec "perl": Permission denied at x line 1.', b"perl"),
    (b"gcc: fatal error: cannot execute '/usr/lib/cc1': execv: Permission denied", b"/usr/lib/cc1"),
]


@pytest.mark.parametrize(("line", "name"), DENIED)
def test_the_refused_name_is_among_the_words_of_what_programs_print(
    line: bytes, name: bytes
) -> None:
    assert suspicious(1, [b"", line])
    assert name in words(1, [b"fine\n" + line + b"\n"], b"")


def test_a_usual_end_is_not_looked_into() -> None:
    assert not suspicious(1, [b"FAILED tests/test_a.py\n", b""])


def test_where_only_the_exit_code_speaks_the_script_is_looked_into() -> None:
    assert suspicious(126, [b"", b""])
    assert b"/usr/bin/perl" in words(126, [], b"(/usr/bin/perl -e 1) 2>/dev/null; exit 126")


def test_a_flood_gives_a_bounded_number_of_words() -> None:
    flood = b"".join(b"%d: x%d: Permission denied\n" % (n, n) for n in range(30_000))
    assert len(words(1, [flood, flood], b"")) <= 256
    line = b"'x" * 500_000 + b": Permission denied"
    assert len(words(1, [line], b"a " * 100_000)) <= 256


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, mode in (("allowed", 0o755), ("listed", 0o755), ("perl", 0o755), ("data", 0o644)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("")
    (tmp_path / "folder" / "inside").chmod(0o755)
    (tmp_path / "link").symlink_to("perl")
    (tmp_path / "alias").symlink_to("allowed")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe", 0o777)
    return tmp_path


def among(place: Path, *names: str) -> list[str]:
    top = os.fsencode(place)
    rules = Refusals([top + b"/allowed", top + b"/listed", top + b"/folder"])
    found = rules.among([os.fsencode(name) for name in names], [top], b"/nonexistent:" + top)
    return [os.path.relpath(os.fsdecode(path), place) for path in found]


def test_only_what_is_a_program_and_not_covered_by_a_rule_is_believed(place: Path) -> None:
    assert among(place, "perl", "link", "./perl", f"{place}/folder/../perl") == ["perl", "link"]


@pytest.mark.parametrize(
    "forged", ["allowed", "alias", "folder/inside", "data", "folder", "pipe", "loop", "nothing",
               "../" * 40, "/etc/passwd", "/", ".", "..", "a\nb", "x" * 4000]
)  # fmt: skip
def test_naming_what_is_allowed_or_no_program_gets_nothing_reported(
    forged: str, place: Path
) -> None:
    assert among(place, forged, f"./{forged}") == []


def test_what_is_reported_is_bounded(place: Path) -> None:
    for number in range(100):
        (place / f"tool{number}").write_text("")
        (place / f"tool{number}").chmod(0o755)
    assert len(among(place, *(f"tool{number}" for number in range(100)))) == 32


class KeptWaiting(Refusals):
    """By a busy machine, before each look."""

    def refuses(self, path: bytes) -> bool:
        time.sleep(0.15)
        return super().refuses(path)


def test_a_guest_that_is_kept_waiting_tells_of_a_refusal_all_the_same(place: Path) -> None:
    top = os.fsencode(place)
    assert KeptWaiting([]).among([b"perl"], [top], b"/nonexistent:" + top) == [top + b"/perl"]
