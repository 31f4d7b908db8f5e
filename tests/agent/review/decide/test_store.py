"""Marks of reviewers: they survive a reload, and nobody's are written over unseen."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.errors import RecordError, UsageError
from agent.review.decide.marks import WHOLE, Verdict
from agent.review.decide.store import (
    COMMENT_CHARACTERS,
    NAME,
    DecidedParts,
    MarkedMeanwhile,
    MarkedPatch,
)
from agent.review.decide.store import MarkStore as Store

OF = MarkedPatch(run="r", patch="p")
FIRST, SECOND = (b"a\xff.py", 1), (b"a\xff.py", 2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """Of another process: it shares the file alone."""
    made = Store(tmp_path)
    yield made
    made.close()


def test_marks_survive_and_belong_to_one_patch(store: Store, other: Store) -> None:
    store.decide(OF, {FIRST: Verdict.ACCEPTED, SECOND: Verdict.REJECTED}, by="ann", seen=0)
    store.review(OF, b"a\xff.py", done=True, by="ann", seen=1)
    said = store.comment(OF, b"a\xff.py", side="new", line=3, text=" why?\r\n", by="ann")
    marks = other.marks(OF)
    assert marks.verdict(*FIRST) is Verdict.ACCEPTED
    assert marks.verdict(*SECOND) is Verdict.REJECTED
    assert marks.is_reviewed(b"a\xff.py")
    assert marks.comments == (said,)
    assert (said.text, marks.revision) == ("why?", 3)
    later = other.marks(MarkedPatch(run="r", patch="another"))
    assert (later.verdicts, later.comments, later.revision) == ({}, (), 0)


def test_what_another_reviewer_set_since_is_not_written_over(store: Store, other: Store) -> None:
    seen = store.marks(OF).revision
    other.decide(OF, {SECOND: Verdict.REJECTED}, by="bob", seen=seen)
    with pytest.raises(MarkedMeanwhile, match="bob set it to rejected"):
        store.decide(OF, {FIRST: Verdict.ACCEPTED, SECOND: Verdict.ACCEPTED}, by="ann", seen=seen)
    marks = store.marks(OF)
    assert marks.verdict(*FIRST) is Verdict.UNDECIDED, "all of it or nothing"
    assert marks.verdict(*SECOND) is Verdict.REJECTED
    store.decide(OF, {FIRST: Verdict.ACCEPTED}, by="ann", seen=seen)
    store.decide(OF, {SECOND: Verdict.REJECTED}, by="ann", seen=seen)
    assert store.marks(OF).verdicts[SECOND].by == "bob", "the same said twice changes nothing"
    store.decide(OF, {SECOND: Verdict.ACCEPTED}, by="ann", seen=marks.revision)
    assert other.marks(OF).verdict(*SECOND) is Verdict.ACCEPTED


def test_no_mark_and_no_comment_of_many_at_once_is_lost(store: Store, other: Store) -> None:
    def work(one: Store, who: str) -> None:
        for number in range(20):
            one.decide(OF, {(who.encode(), number): Verdict.ACCEPTED}, by=who, seen=0)
            one.comment(OF, who.encode(), side="old", line=number, text=who, by=who)

    threads = [
        threading.Thread(target=work, args=(one, f"{name}{i}"))
        for i in range(2)
        for name, one in (("ann", store), ("bob", other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    marks = store.marks(OF)
    assert (len(marks.verdicts), len(marks.comments), marks.revision) == (80, 80, 160)
    assert len({comment.revision for comment in marks.comments}) == 80
    assert store.decided() == {OF: DecidedParts(accepted=80, rejected=0, comments=80)}


def test_a_file_that_another_one_writes_to_for_the_first_time_is_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME, check_same_thread=False)) as another:
        another.execute("BEGIN IMMEDIATE")
        ending = threading.Timer(0.3, another.rollback)
        ending.start()
        store = Store(tmp_path)
        assert store.decide(OF, {(b"a", WHOLE): Verdict.ACCEPTED}, by="ann", seen=0) == 1
        store.close()
        ending.join()


def test_a_comment_is_withdrawn_once_and_bounded(store: Store) -> None:
    said = store.comment(OF, b"a", side="new", line=0, text="x" * COMMENT_CHARACTERS, by="ann")
    assert [store.withdraw(OF, said.id) for _ in range(2)] == [True, False]
    for text, side, line in (("  ", "new", 1), ("x" * 10_001, "new", 1), ("x", "up", 1)):
        with pytest.raises(UsageError):
            store.comment(OF, b"a", side=side, line=line, text=text, by="ann")
    with pytest.raises(UsageError):
        store.comment(OF, b"a", side="new", line=-1, text="x", by="ann")


def test_a_file_that_is_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    for data in (b"not a database at all, however long this is" * 100, b""):
        (tmp_path / NAME).write_bytes(data)
        store = Store(tmp_path)
        if data:
            with pytest.raises(RecordError):
                store.marks(OF)
            assert (tmp_path / NAME).read_bytes() == data
        else:
            store.decide(OF, {(b"a", WHOLE): Verdict.ACCEPTED}, by="ann", seen=0)
        store.close()
