"""The runs of a folder: filtered, sorted, paged; and what is clean accepted at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.batch.queue.states import AttemptState
from agent.batch.queue.store import BatchQueue
from agent.models.interface import StopReason
from agent.record.store import PATCH, SUMMARY
from agent.review.decide.listing import PAGE_ROWS, RunFilter, RunIndex, RunQuery, SortKey
from agent.review.decide.marks import Verdict
from agent.review.decide.store import MarkedPatch, MarkStore
from fakes.batches import FakeBatch, a_task
from fakes.model import call, say
from fakes.reviews import recorded
from fakes.runs import FakeRun
from fakes.second_opinions import asking, opinion, saying
from policies.policy import Policy

CHANGE = call("bash", command="echo two >> a.py")
FLOW = call("bash", command="mkdir -p .github/workflows; echo x > .github/workflows/x.yml")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MarkStore]:
    made = MarkStore(tmp_path)
    yield made
    made.close()


@pytest.fixture
def runs(tmp_path: Path, policy: Policy) -> list[str]:
    """Ids: clean, not verified, failed, refused, without a change."""
    batch = FakeBatch(directory=tmp_path, policy=policy)
    done = say("Done.")
    made = (
        batch.attempt(a_task(), CHANGE, done, verify="true"),
        batch.attempt(a_task(), CHANGE, done),
        batch.attempt(a_task(), CHANGE, done, verify="false"),
        batch.attempt(a_task(), FLOW, done, verify="true"),
        batch.attempt(a_task(), done, verify="true"),
    )
    return [row.run_id or "" for row in made]


def test_runs_are_shown_newest_first_and_by_what_is_asked(
    runs: list[str], tmp_path: Path, store: MarkStore
) -> None:
    index = RunIndex(tmp_path, store)

    def shown(only: RunFilter = RunFilter.ALL, **more: object) -> list[int]:
        query = RunQuery(only=only, **more)  # type: ignore[arg-type]
        return [runs.index(row.run_id or "") for row, _ in index.listing(query).rows]

    assert shown() == [4, 3, 2, 1, 0]
    assert shown(RunFilter.CLEAN) == [0]
    assert shown(RunFilter.RISKY) == [3]
    assert shown(RunFilter.FAILED) == [3, 2]
    assert shown(RunFilter.OPEN) == [3, 2, 1, 0]
    assert shown(words=runs[2].upper()) == [2]
    assert shown(sort=SortKey.RISK)[0] == 3
    assert shown(backwards=True) == [0, 1, 2, 3, 4]
    assert index.beside(runs[1]) == (runs[2], runs[0])
    assert index.beside("nobody's") == (None, None)


def test_what_is_clean_is_accepted_and_nothing_that_somebody_decided(
    runs: list[str], tmp_path: Path, store: MarkStore
) -> None:
    index = RunIndex(tmp_path, store)
    assert index.accept_clean(by="ann") == 1
    assert index.accept_clean(by="ann") == 0
    counts = index.listing(RunQuery()).counts
    assert (counts[RunFilter.DECIDED], counts[RunFilter.OPEN]) == (1, 3)
    ((row, parts),) = index.listing(RunQuery(only=RunFilter.DECIDED)).rows
    assert (row.run_id, parts.accepted, parts.rejected) == (runs[0], 1, 0)
    of = MarkedPatch(run=runs[0], patch=row.patch_sha256 or "")
    store.decide(of, {(b"a.py", 1): Verdict.REJECTED}, by="bob", seen=None)
    assert index.accept_clean(by="ann") == 0
    assert store.marks(of).verdict(b"a.py", 1) is Verdict.REJECTED


@pytest.mark.parametrize("verdict", ["reject", "unsure", "none"])
def test_what_a_reviewer_did_not_approve_is_not_accepted_with_the_rest(
    tmp_path: Path, policy: Policy, store: MarkStore, verdict: str
) -> None:
    said = say("no", StopReason.REFUSAL) if verdict == "none" else opinion(verdict)
    runs = []
    for answer in (said, opinion("approve")):
        fake = FakeRun(
            home=tmp_path,
            policy=asking(policy),
            files={"a.py": b"one\n"},
            verify="true",
            reviewer=saying(answer),
        )
        runs.append(recorded(fake, CHANGE, say("Done.")))
    index = RunIndex(tmp_path, store)
    assert index.listing(RunQuery()).counts[RunFilter.CLEAN] == 1
    assert index.accept_clean(by="ann") == 1
    ((row, _),) = index.listing(RunQuery(only=RunFilter.DECIDED)).rows
    assert row.run_id == runs[1]


def test_a_patch_that_somebody_changed_is_not_accepted(
    runs: list[str], tmp_path: Path, store: MarkStore
) -> None:
    patch = tmp_path / "runs" / runs[0] / PATCH
    patch.write_bytes(patch.read_bytes().replace(b"+two", b"+evil"))
    assert RunIndex(tmp_path, store).accept_clean(by="ann") == 0


def test_a_run_that_changed_is_read_anew_and_a_damaged_one_is_named(
    runs: list[str], tmp_path: Path, store: MarkStore
) -> None:
    index = RunIndex(tmp_path, store)
    index.listing(RunQuery())
    for run, text in ((runs[0], "{"), (runs[1], "")):
        (tmp_path / "runs" / run / SUMMARY).write_text(text)
    (tmp_path / "runs" / "no run").mkdir()
    rows = {row.run_id: row for row, _ in index.listing(RunQuery()).rows}
    assert [rows[run].outcome for run in runs[:2]] == ["unreadable"] * 2
    assert set(rows) == set(runs)


def test_a_page_has_so_many_rows_and_all_are_counted(tmp_path: Path, store: MarkStore) -> None:
    for number in range(2 * PAGE_ROWS + 1):
        directory = tmp_path / "runs" / f"r{number:04}"
        directory.mkdir(parents=True)
        (directory / SUMMARY).write_text("{}")
    index = RunIndex(tmp_path, store)
    listing = index.listing(RunQuery(page=99))
    assert (listing.pages, len(listing.rows)) == (3, 1)
    assert listing.rows[0][0].run_id == "r0000"


def test_a_batch_is_shown_task_by_task_with_those_that_wait(
    tmp_path: Path, policy: Policy, store: MarkStore
) -> None:
    tasks = [a_task("one"), a_task("two")]
    queue = BatchQueue.open(tmp_path, create=True)
    queue.enlist(tasks, attempts=1)
    batch = FakeBatch(directory=tmp_path, policy=policy)
    row = batch.attempt(tasks[0], CHANGE, say("Done."), verify="true")
    taken = queue.take(row.run_id or "")
    assert taken is not None
    queue.ended(taken, AttemptState.DONE, row)
    queue.close()
    listing = RunIndex(tmp_path, store).listing(RunQuery())
    assert listing.is_batch
    assert [(row.name, row.outcome) for row, _ in listing.rows] == [
        ("one", "finished"),
        ("two", "waiting"),
    ]
    assert RunIndex(tmp_path, store).accept_clean(by="ann") == 1
