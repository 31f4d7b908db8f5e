"""The runs of a folder as a reviewer walks through them: filtered, sorted, a page at a time.

Owns what a row says and which rows a page has. In a batch's folder a row is an attempt at a task,
also where it has no run yet. Refuses to know HTML.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.errors import RecordError, UsageError
from agent.record import outcome as outcomes
from agent.record.outcome import ExportRefused, Finished
from agent.record.runs import delivered_of, run_in
from agent.record.store import runs_directory
from agent.record.summary import RUNNING
from agent.review.decide.marks import Verdict, parts_of
from agent.review.decide.run_rows import RunRow, RunRows, row_of
from agent.review.decide.store import DecidedParts, MarkedPatch, MarkStore
from agent.risk.finding import Severity
from policies.frozen import dataclass
from sandbox.errors import PatchError
from sandbox.patch.selection import file_diffs

PAGE_ROWS = 50
_NOTHING = DecidedParts()
_FINISHED, _REFUSED = outcomes.name_of(Finished), outcomes.name_of(ExportRefused)


class RunFilter(StrEnum):
    """Which rows are shown."""

    ALL = "all"
    OPEN = "to decide"
    """It has a patch that changes something, and nobody decided about it."""
    DECIDED = "decided"
    CLEAN = "verified, no findings"
    RISKY = "with findings"
    FAILED = "not verified or not finished"
    RUNNING = "still going"


class SortKey(StrEnum):
    """By what rows are sorted."""

    TASK = "task"
    OUTCOME = "outcome"
    RISK = "risk"
    SIZE = "size"
    COST = "cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """What a reviewer wants to see."""

    only: RunFilter = RunFilter.ALL
    words: str = ""
    """Part of a name, an id or a workspace, in any case."""
    sort: SortKey | None = None
    """None: as the tasks file has them, or the newest first."""
    backwards: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunListing:
    rows: Sequence[tuple[RunRow, DecidedParts]]
    """Of this page."""
    query: RunQuery
    pages: int
    counts: Mapping[RunFilter, int]
    is_batch: bool


class RunIndex:
    """The rows of a folder with what was decided about them. For any thread."""

    def __init__(self, home: Path, store: MarkStore) -> None:
        self._home = home
        self._store = store
        self._source = RunRows(home)

    def listing(self, query: RunQuery) -> RunListing:
        """A page. Errors as for `rows`."""
        decided = self._store.decided()
        rows = [(row, _decided_of(row, decided)) for row in self._source.rows()]
        kinds = [(kind, [it for it in rows if _fits(kind, *it)]) for kind in RunFilter]
        found = dict(kinds)[query.only]
        wanted = query.words.casefold().strip()
        if wanted:
            found = [it for it in found if wanted in it[0].words.casefold()]
        if query.sort is not None:
            key = _SORTS[query.sort]
            found = sorted(found, key=lambda it: key(it[0]))
        if query.backwards:
            found = found[::-1]
        pages = max(1, -(-len(found) // PAGE_ROWS))
        page = min(max(1, query.page), pages)
        return RunListing(
            rows=found[(page - 1) * PAGE_ROWS : page * PAGE_ROWS],
            query=query,
            pages=pages,
            counts={kind: len(fitting) for kind, fitting in kinds},
            is_batch=self._source.is_batch,
        )

    def beside(self, run_id: str) -> tuple[str | None, str | None]:
        """The runs before and after one, in the order of `rows`."""
        ids = [
            row.run_id for row in self._source.rows() if row.run_id is not None and row.is_chosen
        ]
        if run_id not in ids:
            return None, None
        at = ids.index(run_id)
        return (ids[at - 1] if at else None), (ids[at + 1] if at + 1 < len(ids) else None)

    def accept_clean(self, *, by: str) -> int:
        """Accept all of each patch that is clean (`RunRow.is_clean`), and counts, and that nobody
        decided anything about; gives how many these were. What a run's own summary says decides.

        Raises:
            RecordError: marks can't be written.
        """
        decided = self._store.decided()
        count = 0
        for row in self._source.rows():
            parts = _decided_of(row, decided)
            if not (row.is_clean and row.is_chosen) or parts.accepted or parts.rejected:
                continue
            assert row.run_id is not None
            try:
                run = run_in(runs_directory(self._home) / row.run_id)
                files = file_diffs(delivered_of(run), run.summary.changes)
            except (UsageError, RecordError, PatchError):
                continue  # its own page says what is wrong
            if run.is_running or run.summary.patch_sha256 is None or not row_of(run).is_clean:
                continue
            all_of_it = {
                (file.path, part): Verdict.ACCEPTED for file in files for part in parts_of(file)
            }
            of = MarkedPatch(run=run.id, patch=run.summary.patch_sha256)
            try:
                self._store.decide(of, all_of_it, by=by, seen=0)
            except UsageError:
                continue  # somebody decided meanwhile
            count += 1
        return count


def _decided_of(row: RunRow, decided: Mapping[MarkedPatch, DecidedParts]) -> DecidedParts:
    of = MarkedPatch(run=row.run_id or "", patch=row.patch_sha256 or "")
    return decided.get(of, _NOTHING)


def _fits(  # noqa: PLR0911 - a line for each filter
    kind: RunFilter, row: RunRow, parts: DecidedParts
) -> bool:
    is_decided = bool(parts.accepted or parts.rejected)
    is_going = row.outcome == RUNNING
    match kind:
        case RunFilter.ALL:
            return True
        case RunFilter.OPEN:
            return bool(row.patch_bytes) and row.is_chosen and not (is_decided or is_going)
        case RunFilter.DECIDED:
            return is_decided
        case RunFilter.CLEAN:
            return row.is_clean
        case RunFilter.RISKY:
            return row.worst_finding is not None
        case RunFilter.FAILED:
            is_over = row.run_id is not None and not is_going
            return is_over and (row.outcome != _FINISHED or row.verified is False)
        case RunFilter.RUNNING:
            return is_going


_RISKS = {severity.name.lower(): severity.value for severity in Severity}
_SORTS: Mapping[SortKey, Callable[[RunRow], Any]] = {
    SortKey.TASK: lambda row: (row.name.casefold(), row.attempt),
    SortKey.OUTCOME: lambda row: (row.outcome != _REFUSED, row.outcome == _FINISHED, row.outcome),
    SortKey.RISK: lambda row: -_RISKS.get(row.worst_finding or "", -1),
    SortKey.SIZE: lambda row: -(row.patch_bytes or 0),
    SortKey.COST: lambda row: -(row.usd or 0.0),
}
