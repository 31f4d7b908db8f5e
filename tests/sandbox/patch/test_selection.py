"""A part of a patch: what was chosen is in it, to the byte, and nothing else."""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.box import TmpBox
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.patch import baseline
from sandbox.patch.selection import MODE, HunkChoice, PatchHunk, chosen_patch, file_diffs
from sandbox.patch.values import Patch

OLD = "".join(f"line {number}\n" for number in range(1, 41)).encode()
FILES = {"a": OLD, "b": OLD, "gone": b"x\n", "moved": OLD, "bin": bytes(range(256)), "tool": OLD}
WORK = (
    "sed -i -e '3s/.*/three/' -e '20d' -e '38s/.*/+++ b\\/38/' a; echo new > new; rm gone; "
    "mv moved there; sed -i 2s/line/LINE/ there; printf more >> bin; chmod +x tool; "
    "sed -i 5d tool; sed -i '1i @@ -1 +1 @@' b"
)


class Worked:
    """Files, what a shell made of them, and the patch of that."""

    def __init__(self, place: Path, files: Mapping[str, bytes], script: str) -> None:
        self.place, self.files = place, files
        box = TmpBox(files=files)
        box.run(script)
        self.patch = box.preview(keep_old=place / "old")
        box.close()
        found = baseline.load(place / "old")
        assert found is not None
        self.baseline = found

    def chosen(self, choice: HunkChoice) -> Patch:
        return chosen_patch(self.patch.data, self.patch.changes, choice, self.baseline)

    def applied(self, data: bytes) -> dict[str, tuple[bytes, int]]:
        with tempfile.TemporaryDirectory(dir=self.place) as target:
            for name, content in self.files.items():
                (Path(target) / name).write_bytes(content)
            if data:
                apply_patch(data, Path(target), check=False)
            return {
                path.name: (path.read_bytes(), path.stat().st_mode & 0o111)
                for path in Path(target).iterdir()
            }

    def content(self, choice: HunkChoice, name: str) -> bytes:
        return self.applied(self.chosen(choice).data)[name][0]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Worked:
    return Worked(tmp_path_factory.mktemp("worked"), FILES, WORK)


def test_all_of_it_is_the_whole_patch(worked: Worked) -> None:
    whole = dict.fromkeys((change.path for change in worked.patch.changes), None)
    assert worked.chosen(whole).data == worked.patch.data
    assert worked.chosen({}).data == b""


def test_hunks_are_chosen_one_by_one(worked: Worked) -> None:
    for wanted in itertools.chain.from_iterable(
        itertools.combinations((1, 2, 3), count) for count in range(4)
    ):
        lines = OLD.decode().splitlines(keepends=True)
        if 3 in wanted:
            lines[37] = "+++ b/38\n"
        if 2 in wanted:
            del lines[19]
        if 1 in wanted:
            lines[2] = "three\n"
        assert worked.content({b"a": frozenset(wanted)}, "a") == "".join(lines).encode()


def test_other_files_stay_as_they_were(worked: Worked) -> None:
    part = worked.chosen({b"a": frozenset({1}), b"new": None})
    assert {change.path for change in part.changes} == {b"a", b"new"}
    after = worked.applied(part.data)
    assert after["new"][0] == b"new\n"
    assert {name: after[name][0] for name in FILES if name != "a"} == {
        name: content for name, content in FILES.items() if name != "a"
    }


def test_a_mode_is_chosen_apart_from_the_content(worked: Worked) -> None:
    edited = OLD.replace(b"line 5\n", b"")
    assert worked.applied(worked.chosen({b"tool": frozenset({MODE})}).data)["tool"] == (OLD, 0o111)
    assert worked.applied(worked.chosen({b"tool": frozenset({1})}).data)["tool"] == (edited, 0)
    both = worked.chosen({b"tool": frozenset({MODE, 1})})
    assert worked.applied(both.data)["tool"] == (edited, 0o111)


def test_a_file_that_comes_goes_or_is_binary_is_taken_whole(worked: Worked) -> None:
    assert "gone" not in worked.applied(worked.chosen({b"gone": None}).data)
    assert worked.content({b"bin": None}, "bin") == bytes(range(256)) + b"more"
    assert worked.content({b"new": frozenset({1})}, "new") == b"new\n"
    with pytest.raises(PatchError, match="bin is taken as a whole, or not at all"):
        worked.chosen({b"bin": frozenset({1})})


def test_a_moved_file_moves_with_any_of_its_hunks(worked: Worked) -> None:
    after = worked.applied(worked.chosen({b"there": frozenset({1})}).data)
    assert after["there"][0] == OLD.replace(b"line 2\n", b"LINE 2\n", 1)
    assert "moved" not in after


def test_content_that_looks_like_a_hunk_is_content(worked: Worked) -> None:
    assert worked.content({b"b": frozenset({1})}, "b") == b"@@ -1 +1 @@\n" + OLD


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({b"a": frozenset({4})}, "a has 3 hunks, and no 4"),
        ({b"a": frozenset({MODE})}, "a has 3 hunks, and no mode"),
        ({b"there": frozenset({2})}, "there has 1 hunk, and no 2"),
        ({b"moved": None}, "the patch touches no moved"),
        ({b"../a": None}, "the patch touches no ../a"),
    ],
)
def test_what_is_not_there_is_refused(worked: Worked, choice: HunkChoice, words: str) -> None:
    with pytest.raises(PatchError) as raised:
        worked.chosen(choice)
    assert str(raised.value) == words


def test_a_patch_that_is_not_what_is_known_of_it_is_refused(worked: Worked) -> None:
    for changes in (worked.patch.changes[1:], (*worked.patch.changes, worked.patch.changes[0])):
        with pytest.raises(PatchError, match="than are known of it"):
            file_diffs(worked.patch.data, changes)


_LINES = st.lists(st.sampled_from(["a\n", "b\n", "@@ -1 +1 @@\n", "\n", "-- x\n"]), max_size=30)


def _by_numbers(old: list[bytes], hunks: Sequence[PatchHunk], wanted: frozenset[int]) -> bytes:
    """The old lines with these hunks, put in by their line numbers alone."""
    lines = list(old)
    for number in sorted(wanted, reverse=True):
        hunk = hunks[number - 1]
        first, _, count = hunk.header.split()[1].lstrip(b"-").partition(b",")
        at = int(first) - 1 + (count == b"0")
        new = [line[1:] for line in hunk.lines if line[:1] in (b"+", b" ")]
        if hunk.lines[-1].startswith(b"\\") and hunk.lines[-2][:1] in (b"+", b" "):
            new[-1] = new[-1].removesuffix(b"\n")
        lines[at : at + int(count or b"1")] = new
    return b"".join(lines)


@settings(max_examples=20)
@given(old=_LINES, new=_LINES, end=st.sampled_from(["", "end"]), data=st.data())
def test_any_choice_is_what_its_hunks_say(
    tmp_path_factory: pytest.TempPathFactory,
    old: list[str], new: list[str], end: str, data: st.DataObject,
) -> None:  # fmt: skip
    place = tmp_path_factory.mktemp("any")
    content = ("".join(old) + "1\n" * 7 + end).encode()
    (place / "new").write_bytes(("".join(new) + "1\n" * 7 + "2\n").encode())
    worked = Worked(place, {"f": content}, f"cat {place}/new > f")
    if not worked.patch.changes:
        return
    (diff,) = file_diffs(worked.patch.data, worked.patch.changes)
    wanted = data.draw(st.frozensets(st.sampled_from(diff.choices)))
    expected = _by_numbers(content.splitlines(keepends=True), diff.hunks, wanted)
    assert worked.content({b"f": wanted}, "f") == expected
