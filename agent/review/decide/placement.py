"""Where a chosen part of a patch is put: files of a directory, or a new branch of its repository.

Owns what is tried when it does not fit, and what a person is shown of that.
"""

from pathlib import Path

from agent.errors import UsageError
from agent.past_runs.reviewed_patch import ReviewedPatch
from agent.record.runs import RecordedRun, baseline_of, index_patch_of
from agent.review.decide.outcome import Applied, ApplyOrder, DoesNotFit
from agent.untrusted_text import one_line
from policies.frozen import dataclass
from sandbox.apply.branch import branch_patch
from sandbox.apply.conflicts import ConflictRegion, conflict_regions
from sandbox.apply.directory import apply_patch
from sandbox.errors import PatchError
from sandbox.git.apply import AppliedAlready, DoesNotApply
from sandbox.patch.baseline import Baseline
from sandbox.workspace.source import NOWHERE, named, on_host

_SUBJECT_WIDTH = 72


def target_of(run: RecordedRun, order: ApplyOrder) -> Path:
    target = order.target or on_host(named(run.summary.workspace))
    if not target.is_dir() or target == NOWHERE:
        raise UsageError(f"{run.summary.workspace} is no directory here: name one to apply to")
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPlacement:
    """A chosen part on its way to a directory, or to a branch."""

    run: RecordedRun
    part: ReviewedPatch
    target: Path
    order: ApplyOrder

    @property
    def place(self) -> str:
        branch = self.order.branch
        return f"branch {branch} in {self.target}" if branch is not None else str(self.target)

    @property
    def is_whole(self) -> bool:
        return self.part.sha256 == self.run.summary.patch_sha256

    def tried(self, *, check: bool) -> Applied | DoesNotFit:
        """Put it there, or with `check`, see whether it would go."""
        merging = baseline_of(self.run) if self.order.three_way else None
        try:
            return self._put(merging, check=check)
        except AppliedAlready:
            return Applied(place=self.place, changes=())
        except DoesNotApply as error:
            return self._looked_at(error)

    def _put(self, merging: Baseline | None, *, check: bool) -> Applied:
        branch = self.order.branch
        if branch is None:
            changes = apply_patch(self.part.patch.data, self.target, check=check, baseline=merging)
            return Applied(place=self.place, changes=changes)
        data = index_patch_of(self.run) if self.is_whole else self.part.patch.data
        run = self.run
        made = branch_patch(
            data,
            self.target,
            branch=branch,
            message=f"{one_line(run.summary.task, _SUBJECT_WIDTH)}\n\nMoonpool run {run.id}",
            check=check,
            baseline=merging,
        )
        return Applied(
            place=self.place,
            changes=made.changes,
            commit=made.commit,
        )

    def _looked_at(self, error: DoesNotApply) -> DoesNotFit:
        """What a person is shown of a patch that does not fit."""
        try:
            old = baseline_of(self.run)
        except (UsageError, PatchError):
            return DoesNotFit(message=str(error), merges=False, regions=())
        if self.order.three_way:
            merges = False
        else:
            try:
                self._put(old, check=True)
            except PatchError as conflict:
                merges = isinstance(conflict, AppliedAlready)
                error = conflict if isinstance(conflict, DoesNotApply) else error
            else:
                merges = True
        regions: tuple[ConflictRegion, ...] = ()
        if not merges and self.order.branch is None:
            regions = conflict_regions(self.part.patch.data, self.target, old)
        return DoesNotFit(message=str(error), merges=merges, regions=regions)
