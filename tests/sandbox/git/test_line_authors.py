"""Who wrote what: each line of a patch is traced to the step that it came or went with."""

import random
from pathlib import Path

import pytest

from sandbox.git.line_authors import UNKNOWN, Hunk, Version, hunks
from sandbox.git.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def traced(
    store: Store, base: bytes | None, *steps: tuple[int, bytes | None], final: bytes | None
) -> tuple[Hunk, ...] | None:
    def blob(content: bytes | None) -> str | None:
        return None if content is None else store.put((content,), len(content))

    versions = [Version(step=number, blob=blob(content)) for number, content in steps]
    return hunks(store, base=blob(base), versions=versions, final=blob(final))


def rows(found: tuple[Hunk, ...] | None) -> list[tuple[str, int, int, bytes]]:
    assert found is not None
    return [(line.sign, line.number, line.step, line.text) for hunk in found for line in hunk.lines]


def test_each_line_is_traced_to_the_last_step_that_wrote_it(store: Store) -> None:
    found = traced(
        store,
        b"a\nb\nc\nd\n",
        (3, b"a\nB\nc\nd\n"),
        (5, b"a\nB\nc\n"),
        (9, b"a\nBB\nc\nnew\n"),
        final=b"a\nBB\nc\nnew\n",
    )
    assert rows(found) == [
        ("-", 2, 3, b"b"),
        ("+", 2, 9, b"BB"),
        ("-", 4, 5, b"d"),
        ("+", 4, 9, b"new"),
    ]
    assert found is not None
    assert [hunk.steps for hunk in found] == [(3, 9), (5, 9)]


def test_what_was_written_and_taken_back_is_in_no_hunk(store: Store) -> None:
    assert traced(store, b"a\n", (1, b"evil\n"), (2, b"a\n"), final=b"a\n") == ()


def test_a_new_file_and_one_that_went(store: Store) -> None:
    assert rows(traced(store, None, (4, b"x\ny\n"), final=b"x\ny\n")) == [
        ("+", 1, 4, b"x"),
        ("+", 2, 4, b"y"),
    ]
    assert rows(traced(store, b"x\n", (6, None), final=None)) == [("-", 1, 6, b"x")]


def test_a_file_that_went_and_came_again_is_traced_to_its_last_coming(store: Store) -> None:
    found = traced(store, b"x\n", (1, None), (2, b"x\nnew\n"), final=b"x\nnew\n")
    assert ("+", 2, 2, b"new") in rows(found)


def test_what_no_step_wrote_is_unknown(store: Store) -> None:
    assert rows(traced(store, b"a\n", (1, b"a\nb\n"), final=b"a\nb\nc\n")) == [
        ("+", 2, 1, b"b"),
        ("+", 3, UNKNOWN, b"c"),
    ]


def test_lines_that_look_like_gits_own_are_content(store: Store) -> None:
    evil = b"0" * 40 + b" 1 1 1\n@@ -1,1 +1,1 @@\n--- a\n+++ b\nBinary files differ\n\tx\r\n\x0c\n"
    found = rows(traced(store, b"a\n", (7, b"a\n" + evil), final=b"a\n" + evil))
    assert [(number, step) for _, number, step, _ in found] == [(n, 7) for n in range(2, 9)]
    assert b"".join(text + b"\n" for *_, text in found) == evil


def test_a_binary_file_has_no_lines(store: Store) -> None:
    assert traced(store, b"\0a", (1, b"\0b"), final=b"\0b") is None


def test_random_histories_add_up_to_the_final_content(store: Store) -> None:
    """Old content, minus the lines that went, plus those that came, is the new one; and a line
    that came is never traced to a step before which it was there."""
    dice = random.Random(5)
    for _ in range(40):
        lines = [b"%d" % dice.randrange(9) for _ in range(dice.randint(0, 12))]
        base = list(lines)
        steps = []
        for number in range(1, dice.randint(2, 6)):
            for _ in range(dice.randint(1, 3)):
                at = dice.randint(0, len(lines))
                lines[at : at + dice.randint(0, 2)] = [b"%d" % dice.randrange(99)] * dice.randint(
                    0, 2
                )
            steps.append((number, b"".join(line + b"\n" for line in lines)))
        old = b"".join(line + b"\n" for line in base)
        found = traced(store, old, *steps, final=steps[-1][1])
        assert found is not None
        rebuilt = list(base)
        for hunk in reversed(found):
            gone = [line for line in hunk.lines if line.sign == "-"]
            came = [line.text for line in hunk.lines if line.sign == "+"]
            start = hunk.old_start - 1
            assert rebuilt[start : start + len(gone)] == [line.text for line in gone]
            rebuilt[start : start + len(gone)] = came
            assert all(line.step != UNKNOWN for line in hunk.lines)
        assert rebuilt == lines
